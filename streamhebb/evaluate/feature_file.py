"""Features on disk: the numbers in an npy file, and beside it, as JSON, what they are features of.

npy because rows are read whole and in any order: mapped into memory a row is one stretch of the
file, the system keeps what is used again, and every tool reads it. HDF5 would add a dependency, and
chunks and filters that are of no use here.

A file has its final name only when it is whole, and counts only if the JSON beside it, which is
written last, knows its checksum.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb import files, kernels
from streamhebb.errors import FeatureFileError
from streamhebb.net import StreamNet

FORMAT, VERSION = "streamhebb-features", 1
SPARE = 1 << 26
"""Bytes that are left free on the disk."""
_PIECE = 1 << 24


def fingerprint(net: StreamNet, rows: Tensor, **settings: Any) -> dict[str, Any]:
    """Say what features depend on: the layers, the data, the settings, and the versions.

    Readout and counters are not among it.

    Args:
        net: whose features.
        rows: the data.
        settings: batch size, precision and the like.

    Returns:
        Plain JSON data, of which every entry counts.
    """
    layers = hashlib.sha256(_text([_names(net), net.describe()["layers"]]))
    for name, value in net.layers.state_dict().items():
        layers.update(name.encode())
        _feed(layers, value) if isinstance(value, Tensor) else layers.update(_text(value))
    data = hashlib.sha256()
    for part in torch.split(rows, 1000):
        _feed(data, part)
    device, dtype = net.place
    return {
        "layers": layers.hexdigest(),
        "data": data.hexdigest(),
        "device": device.type,
        "dtype": str(dtype),
        "backend": kernels.backend(),
        "versions": {
            "streamhebb": _version("streamhebb"),
            "torch": str(torch.__version__),
            "machine": platform.machine(),
        },
        **settings,
    }


def _names(net: StreamNet) -> list[Any]:
    """Classes, and whether they train: a torch module inside a layer may heed that."""
    modules = net.layers.modules()
    return [f"{type(m).__module__}.{type(m).__qualname__} {m.training}" for m in modules]


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=repr).encode()


def _feed(digest: Any, value: Tensor) -> None:
    digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
    digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def _version(package: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


class FeatureFile:
    """Where the features with a fingerprint are kept.

    Args:
        folder: made if needed. Files of other fingerprints in it are left alone.
        key: the fingerprint.
    """

    def __init__(self, folder: str | os.PathLike[str], key: dict[str, Any]) -> None:
        self.key = json.loads(_text(key))
        name = hashlib.sha256(_text(self.key)).hexdigest()[:16]
        self.path = Path(folder) / f"features-{name}.npy"
        self.note = self.path.with_suffix(".json")

    def open(self) -> Tensor | None:
        """Map them into memory; ``None`` if they are not there, not whole, or of something else.

        What is written to the tensor does not reach the file.
        """
        try:
            note = json.loads(self.note.read_text("utf-8"))
            if note.get("key") != self.key or note.get("version") != VERSION:
                return None
            whole = note.get("sha256") == _checksum(self.path)
            return self._mapped() if whole else None
        except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
            return None
        except OSError as error:
            raise FeatureFileError(f"{self.path} cannot be read: {error}") from error

    def _mapped(self) -> Tensor:
        # Copied where it is written to: a map for reading only cannot become a tensor.
        return torch.from_numpy(np.lib.format.open_memmap(self.path, mode="c"))

    def write(self, parts: Iterable[Tensor], count: int, more: dict[str, Any]) -> Tensor:
        """Write features as they come; all of them or, on any failure, none.

        Args:
            parts: rows, of all samples together.
            count: how many samples.
            more: noted beside them.

        Returns:
            The same as ``open``.

        Raises:
            FeatureFileError: if there is not enough room, or the disk refuses.
        """
        digest = hashlib.sha256()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            files.replace(self.path, self._pieces(parts, count, digest))
            note = {
                "format": FORMAT,
                "version": VERSION,
                "key": self.key,
                "sha256": digest.hexdigest(),
                **more,
            }
            files.replace(self.note, json.dumps(note, indent=2).encode())
            return self._mapped()
        except FeatureFileError:
            raise
        except OSError as error:
            raise FeatureFileError(
                f"features cannot be kept in {self.path.parent}: {error}; free some space, choose "
                f"another folder, or leave out keep"
            ) from error

    def _pieces(self, parts: Iterable[Tensor], count: int, digest: Any) -> Iterator[bytes]:
        """Header and rows. Not a map that is written to: on a full disk that kills the process."""
        head = None
        for part in parts:
            rows = part.cpu().contiguous().numpy()
            if head is None:
                shape = (count, *rows.shape[1:])
                self._check_room(count * rows[0].nbytes)
                head = io.BytesIO()
                kind = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": kind, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(head, header)
                digest.update(head.getvalue())
                yield head.getvalue()
            piece = rows.tobytes()
            digest.update(piece)
            yield piece

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if needed + SPARE > free:
            raise FeatureFileError(
                f"the features take {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free in "
                f"{self.path.parent}; half=True halves them, or choose another folder"
            )


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
