"""One file that holds everything a run needs to go on: safetensors with a JSON header.

The file is written beside its final name and moved there in one step, so a crash or a full disk
leaves the old snapshot as it was. Nothing is unpickled on reading.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from streamhebb.errors import SnapshotError
from streamhebb.files import replace as replace

FORMAT = "streamhebb-snapshot"
VERSION = 1


def _digest(tensors: Mapping[str, Tensor], meta: str) -> str:
    """Checksum of all that is kept: names, kinds, shapes and values, and what JSON holds."""
    total = hashlib.sha256(meta.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _canonical(meta: Any) -> str:
    """One text for one value, also after a round trip through JSON."""
    return json.dumps(meta, sort_keys=True)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def write(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], meta: Any) -> None:
    """Write a snapshot in one atomic step.

    Args:
        path: the file; its folder is made if needed.
        tensors: name to tensor, on any device.
        meta: anything JSON can hold.

    Raises:
        SnapshotError: if the disk refuses, or ``meta`` holds what JSON cannot; an older
            snapshot at ``path`` is then untouched.
    """
    path = Path(path)
    flat = {name: _plain(tensor) for name, tensor in tensors.items()}
    try:
        meta = json.loads(json.dumps(meta))  # as it will be read: keys become text
    except (TypeError, ValueError) as error:
        raise SnapshotError(
            f"cannot write the snapshot {path}: {error}. Keep numbers, text, lists and dicts only "
            f"in what is saved beside the net"
        ) from error
    digest = _digest(flat, _canonical(meta))
    header = {"format": FORMAT, "version": VERSION, "sha256": digest, "meta": meta}
    data = save(flat, {"streamhebb": json.dumps(header)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data)
    except OSError as error:
        raise SnapshotError(
            f"cannot write the snapshot {path}: {error}. The snapshot that was there is "
            f"untouched; free some space or choose another folder"
        ) from error


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Any]:
    """Read a snapshot back and check that it is whole.

    Returns:
        The tensors, on the CPU, and what was given as ``meta``.

    Raises:
        SnapshotError: if the file is missing, truncated, damaged, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise SnapshotError(f"there is no snapshot at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("streamhebb", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise SnapshotError(
            f"{path} is not a whole snapshot ({error}); use an older one, or start afresh"
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SnapshotError(f"{path} is a safetensors file, but not a snapshot of streamhebb")
    if header.get("version") != VERSION:
        raise SnapshotError(
            f"{path} has snapshot version {header.get('version')!r}; this streamhebb reads "
            f"version {VERSION}. Use the streamhebb that wrote it"
        )
    if header.get("sha256") != _digest(tensors, _canonical(header.get("meta"))):
        raise SnapshotError(f"{path} is damaged: its checksum does not match; use an older one")
    return tensors, header["meta"]
