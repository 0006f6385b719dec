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
STL10_FOLDER = "stl10_binary"
_STL10_PARTS = ("train", "test", "unlabeled")
IMAGENETTE_FOLDERS = {160: "imagenette2-160", 320: "imagenette2-320", 10_000: "imagenette2"}
"""The shorter side of pictures -> the folder that holds them in this size."""
IMAGENET_FOLDER = "imagenet"


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


def stl10_folder() -> Path | None:
    """The folder of STL-10's binary files."""
    for folder in data_folders():
        if any((folder / STL10_FOLDER / f"{part}_X.bin").is_file() for part in _STL10_PARTS):
            return folder / STL10_FOLDER
    return None


def imagenette_folder(size: int) -> Path | None:
    """The folder of ImageNette whose pictures are just as large as asked for, or larger."""
    for folder in data_folders():
        for side, name in IMAGENETTE_FOLDERS.items():
            if side >= size and (folder / name / "train").is_dir():
                return folder / name
    return None


def imagenet_folder() -> Path | None:
    """The folder of ImageNet, with the folders ``train`` and ``val`` in it, or one of them."""
    for folder in data_folders():
        if any((folder / IMAGENET_FOLDER / part).is_dir() for part in ("train", "val")):
            return folder / IMAGENET_FOLDER
    return None


def wanted(name: str) -> str:
    """What a user has to put where."""
    if name in IDX_FOLDERS:
        files = (
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
            "and t10k-labels-idx1-ubyte.gz"
        )
        place = f"{IDX_FOLDERS[name]}/raw"
    elif name in BATCH_FOLDERS:
        files, place = "the unpacked Python batches", BATCH_FOLDERS[name]
    elif name == "stl10":
        files = "the unpacked train_X.bin, train_y.bin, test_X.bin, test_y.bin and unlabeled_X.bin"
        place = STL10_FOLDER
    elif name == "imagenette":
        files = "the folders train and val of the unpacked imagenette2-160.tgz (or -320, or full)"
        place = IMAGENETTE_FOLDERS[160]
    else:
        files = (
            "the folders train and val, each with one folder of pictures for every class "
            "(n01440764 and so on), as image-net.org hands them out after registration,"
        )
        place = IMAGENET_FOLDER
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
    "stl10": stl10_folder,
    "imagenette": lambda: imagenette_folder(1),
    "imagenet": imagenet_folder,
}


def source_names() -> tuple[str, ...]:
    """Names of the built-in data sets.

    Example:
        >>> source_names()[:5]
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
