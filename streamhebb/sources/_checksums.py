"""Published checksums of data files, verified before first use and remembered.

A file that was verified is known by its path, size and time of change; it is read again only if
one of them differs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamhebb import files
from streamhebb.errors import SourceError
from streamhebb.sources import _find

# md5, as torchvision lists it; of the unpacked files: taken from packed ones that agree with it.
KNOWN = {
    "MNIST/raw/train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "MNIST/raw/train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "MNIST/raw/t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "MNIST/raw/t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    "FashionMNIST/raw/train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "FashionMNIST/raw/train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "FashionMNIST/raw/t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    "FashionMNIST/raw/train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "FashionMNIST/raw/train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "FashionMNIST/raw/t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "FashionMNIST/raw/t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    "stl10_binary/train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "stl10_binary/train_y.bin": "5a34089d4802c674881badbb80307741",
    "stl10_binary/unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
    "stl10_binary/test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "stl10_binary/test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}
"""Path within a data folder -> md5 of the file. torchvision checks its own batches by itself."""

SHEETS = {
    "train": "b1f9ae979d6bf670e6f4a33541182233fab506862e1c4e49b86c1c57abf748de",
    "test": "1249626010949d8f448e0faf792debbc3da0c50ed31bfff3678c99c37fbc7e48",
}
"""sha256 of the pictures that the CIFAR-10 sheets hold, ``(N, 32, 32, 3)``: WebP has none."""

_MEMORY = "verified.json"
_MOST = 1 << 20  # bytes of it
_seen: dict[str, Any] = {}


def check_file(path: Path) -> None:
    """Compare a file with its published checksum, if it has one.

    Raises:
        SourceError: if it differs.
    """
    expected = next((md5 for key, md5 in KNOWN.items() if _ends(path, key)), None)
    if expected is None or _remembers(str(path.resolve()), [path], expected):
        return
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    if digest.hexdigest() != expected:
        raise SourceError(
            f"{path} is damaged, or another file of that name: its md5 is {digest.hexdigest()}, "
            f"the published one {expected}; delete it and fetch it again"
        )
    _remember(str(path.resolve()), [path], expected)


def check_sheets(folder: Path, split: str, pictures: Callable[[], np.ndarray[Any, Any]]) -> None:
    """Compare what the CIFAR-10 sheets hold with what they held when they were made.

    Args:
        folder: where they are.
        split: ``"train"`` or ``"test"``.
        pictures: gives ``(N, 32, 32, 3)``; asked for only if it is not known yet.

    Raises:
        SourceError: if it differs.
    """
    expected = SHEETS.get(split)
    sheets = sorted(folder.glob(f"{split}-*.webp"))
    name = f"{folder.resolve()} {split}"
    if expected is None or _remembers(name, sheets, expected):
        return
    if hashlib.sha256(pictures().tobytes()).hexdigest() != expected:
        raise SourceError(
            f"the {split} sheets in {folder} do not hold the known pictures of CIFAR-10: some are "
            f"damaged or exchanged; fetch the folder again"
        )
    _remember(name, sheets, expected)


def _ends(path: Path, key: str) -> bool:
    parts = tuple(key.split("/"))
    return path.parts[-len(parts) :] == parts


def _state(paths: Sequence[Path]) -> list[list[int]]:
    return [[stat.st_size, stat.st_mtime_ns] for stat in (path.stat() for path in paths)]


def _remembers(name: str, paths: Sequence[Path], digest: str) -> bool:
    return bool((_seen.get(name) or _stored().get(name)) == [digest, _state(paths)])


def _remember(name: str, paths: Sequence[Path], digest: str) -> None:
    _seen[name] = [digest, _state(paths)]
    known = _stored() | {name: _seen[name]}
    text = json.dumps(known, indent=0).encode()
    # Only a memory: where it cannot be kept, the next process verifies again.
    with contextlib.suppress(OSError):
        if len(text) < _MOST:
            _find.cache_folder().mkdir(parents=True, exist_ok=True)
            files.replace(_find.cache_folder() / _MEMORY, text)


def _stored() -> dict[str, Any]:
    path = _find.cache_folder() / _MEMORY
    try:
        if path.stat().st_size > _MOST:
            return {}
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # none yet, or damaged: everything is verified again
    return found if isinstance(found, dict) else {}
