"""Where data sets are looked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_dir

from streamhebb.sources._sheets import is_sheets

IDX_FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
BATCH_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_BATCH_FILES = {"cifar10": "data_batch_1", "cifar100": "train"}
_STEMS = {"train": "train", "test": "t10k"}


def cache_folder() -> Path:
    """The folder that downloads go to."""
    return Path(user_cache_dir("streamhebb"))


def data_folders() -> list[Path]:
    """Folders that are searched, first to last: ``STREAMHEBB_DATA``, then the cache."""
    named = os.environ.get("STREAMHEBB_DATA")
    return [*([Path(named).expanduser()] if named else []), cache_folder()]


def idx_files(name: str, split: str) -> tuple[Path, Path] | None:
    """The files of images and labels of a split, or ``None``."""
    stem = _STEMS[split]
    for folder in data_folders():
        raw = folder / IDX_FOLDERS[name] / "raw"
        images = _plain_or_gz(raw / f"{stem}-images-idx3-ubyte")
        labels = _plain_or_gz(raw / f"{stem}-labels-idx1-ubyte")
        if images and labels:
            return images, labels
    return None


def batch_root(name: str) -> Path | None:
    """The folder that holds torchvision's ``cifar-10-batches-py`` or ``cifar-100-python``."""
    for folder in data_folders():
        if (folder / BATCH_FOLDERS[name] / _BATCH_FILES[name]).is_file():
            return folder
    return None


def sheets_folder() -> Path | None:
    """The folder of the CIFAR-10 sheets."""
    return next((f / "cifar10" for f in data_folders() if is_sheets(f / "cifar10")), None)


def wanted(name: str) -> str:
    """What a user has to put where."""
    if name in IDX_FOLDERS:
        files = (
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
            "and t10k-labels-idx1-ubyte.gz"
        )
        place = f"{IDX_FOLDERS[name]}/raw"
    else:
        files, place = "the unpacked Python batches", BATCH_FOLDERS[name]
    if not os.environ.get("STREAMHEBB_DATA"):
        hint = " (or set STREAMHEBB_DATA to a folder that holds it)"
    else:
        hint = ""
    folders = " or ".join(str(folder / place) for folder in data_folders())
    return f"put {files} into {folders}{hint}"


def _plain_or_gz(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return path if path.is_file() else packed if packed.is_file() else None


def _digits() -> Path | None:
    spec = importlib.util.find_spec("sklearn")
    return Path(spec.origin).parent if spec and spec.origin else None


def _idx(name: str) -> Path | None:
    files = idx_files(name, "train") or idx_files(name, "test")
    return files[0].parent if files else None


def _batches(name: str) -> Path | None:
    root = batch_root(name)
    return root / BATCH_FOLDERS[name] if root else None


_FINDERS: dict[str, Callable[[], Path | None]] = {
    "digits": _digits,
    "mnist": lambda: _idx("mnist"),
    "fashion-mnist": lambda: _idx("fashion-mnist"),
    "cifar10": lambda: _batches("cifar10") or sheets_folder(),
    "cifar100": lambda: _batches("cifar100"),
}


def source_names() -> tuple[str, ...]:
    """Names of the built-in data sets.

    Example:
        >>> source_names()
        ('digits', 'mnist', 'fashion-mnist', 'cifar10', 'cifar100')
    """
    return tuple(_FINDERS)


def found() -> dict[str, Path | None]:
    """Where each built-in data set lies on this machine, ``None`` if nowhere; loads nothing.

    Example:
        >>> sorted(found()) == sorted(source_names())
        True
    """
    return {name: find() for name, find in _FINDERS.items()}
