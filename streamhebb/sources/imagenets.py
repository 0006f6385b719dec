"""ImageNet and its ten-class part ImageNette: pictures in folders, scaled to one size."""

from __future__ import annotations

from pathlib import Path

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import _find
from streamhebb.sources._checks import whole
from streamhebb.sources._download import download_into_cache
from streamhebb.sources.folder import ImageFolder

IMAGENETTE_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
IMAGENETTE_ROWS = {"train": 9469, "val": 3925}
"""How many pictures there are; archives have published checksums, unpacked folders have none."""


def imagenette(
    split: str = "train",
    *,
    size: int = 160,
    seed: int | None = None,
    start: int = 0,
    limit: int | None = None,
    download: bool = True,
) -> ImageFolder:
    """ImageNette: ten classes of ImageNet that are easily told apart, 9,469 and 3,925 photographs.

    Pictures are read when they are asked for, and scaled to a square, whatever their shape, as
    published. Of the three sizes in which it is handed out the smallest is taken that will do.

    Args:
        split: ``"train"`` or ``"val"``.
        size: side of the square.
        seed: of the order; ``None`` is sorted by class.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.
        download: fetch it into the cache folder if it is nowhere.

    Raises:
        SourceError: missing or incomplete; says what to put where.
        MissingExtraError: it has to be downloaded and torchvision is not installed.

    Source: J. Howard, https://github.com/fastai/imagenette.
    """
    _check("imagenette", split, size)
    folder = _find.imagenette_folder(size)
    if folder is None:
        missing = SourceError(f"imagenette was not found: {_find.wanted('imagenette')}")
        if not download:
            raise missing
        largest = "160px" if size <= 160 else "320px" if size <= 320 else "full"
        download_into_cache("imagenette", size=largest)
        folder = _find.imagenette_folder(size)
        if folder is None:
            raise missing
    found = ImageFolder(
        folder / split, size=(size, size), seed=seed, start=start, limit=limit,
        classes=tuple(IMAGENETTE_NAMES), class_names=tuple(IMAGENETTE_NAMES.values()),
        name=f"imagenette/{split}",
    )  # fmt: skip
    rows = IMAGENETTE_ROWS[split]
    if len(found.labels) != rows:
        raise SourceError(
            f"{folder / split} holds {len(found.labels)} pictures, not {rows}: unpack the archive "
            f"again"
        )
    return found


def imagenet(
    split: str = "train",
    *,
    size: int = 160,
    seed: int | None = None,
    start: int = 0,
    limit: int | None = None,
) -> ImageFolder:
    """ImageNet: photographs of 1,000 kinds in one folder for each; part of the classes will do.

    Pictures are read when they are asked for, and scaled to a square, whatever their shape, as
    published. It cannot be downloaded without registration at https://image-net.org.

    Args:
        split: ``"train"`` or ``"val"``.
        size: side of the square.
        seed: of the order; ``None`` is sorted by class.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.

    Raises:
        SourceError: missing, or not sorted into folders; says what to put where.

    Source: O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge (2015),
    doi:10.1007/s11263-015-0816-y.
    """
    _check("imagenet", split, size)
    folder = _find.imagenet_folder()
    if folder is None or not (folder / split).is_dir():
        raise SourceError(f"imagenet/{split} was not found: {_find.wanted('imagenet')}")
    classes = _classes(folder / split)
    if not classes:
        raise SourceError(
            f"{folder / split} holds no folders; it needs one of pictures for every class"
        )
    return ImageFolder(
        folder / split, size=(size, size), seed=seed, start=start, limit=limit,
        classes=classes, class_names=classes, name=f"imagenet/{split}",
    )  # fmt: skip


def _check(name: str, split: str, size: int) -> None:
    if split not in IMAGENETTE_ROWS:
        raise ConfigError(f"{name} has no split {split!r}; there are {', '.join(IMAGENETTE_ROWS)}")
    whole(size, "size", 1)


def _classes(folder: Path) -> tuple[str, ...]:
    return tuple(
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    )
