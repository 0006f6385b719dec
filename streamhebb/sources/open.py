"""One word or address in, one source out."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import datasets, imagenets
from streamhebb.sources._checks import optional_whole, picture_size, whole
from streamhebb.sources._find import source_names
from streamhebb.sources.arrays import ArraySource
from streamhebb.sources.base import Source
from streamhebb.sources.camera import URL_SCHEMES, Camera
from streamhebb.sources.folder import ImageFolder
from streamhebb.sources.twins import SUFFIX, twin, twin_names
from streamhebb.sources.video import VideoFile

VIDEO_SUFFIXES = frozenset(
    (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
)
FOLDER_SIZE = (32, 32)
"""Size of the pictures of a folder when none is asked for."""

_DOWNLOADABLE: dict[str, Callable[..., ArraySource]] = {
    "mnist": datasets.mnist,
    "fashion-mnist": datasets.fashion_mnist,
    "cifar10": datasets.cifar10,
    "cifar100": datasets.cifar100,
    "stl10": datasets.stl10,
}
_SQUARE = ("imagenette", "imagenet")


def open_source(
    spec: str | Path,
    *,
    seed: int | None = 0,
    split: str | None = None,
    size: tuple[int, int] | None = None,
    gray: bool = False,
    limit: int | None = None,
    start: int = 0,
    epochs: int = 1,
    download: bool = True,
) -> Source:
    """Open the source that a command line names.

    Args:
        spec: ``digits``, ``mnist``, ``fashion-mnist``, ``cifar10``, ``cifar100``, ``stl10``,
            ``imagenette``, ``imagenet``, or the synthetic twin of one, ``cifar10-twin``; a video
            file; a folder of pictures; ``camera:N``; a camera's ``http://``, ``https://`` or
            ``rtsp://``. A data set's name wins over a file of that name; write ``./mnist`` for the
            file.
        seed: order of data sets and folders, ``None`` for the stored order.
        split: of a data set; by default all of ``digits``, ``"train"`` of the others.
        size: ``(height, width)`` to scale pictures to; folders:
            [`FOLDER_SIZE`][streamhebb.sources.open.FOLDER_SIZE] by default; ``imagenet`` and
            ``imagenette``: a square, of 160 by default; not for other data sets.
        gray: one channel instead of three; not for data sets.
        limit: length of the whole stream counted from its beginning.
        start: position in that stream to begin at. A camera has no past: it begins now, and hands
            out ``limit - start`` frames.
        epochs: passes over a data set; 1 for everything else.
        download: fetch a missing data set if there is a network.

    Raises:
        SourceError: unknown, missing or damaged; lists what there is.
        ConfigError: an option that this kind of source does not have.

    Example:
        >>> len(open_source("digits", limit=100, start=40))
        60
    """
    spec = str(spec)
    name = spec.strip().lower().replace("_", "-")
    scheme = spec.partition("://")[0].lower() if "://" in spec else None
    if name in source_names() or name in twin_names():
        own = name.removesuffix(SUFFIX)
        if own in _SQUARE and not gray:
            return _square(name, split, size, seed, start, limit, epochs, download)
        if size is not None or gray:
            raise ConfigError(f"{name} comes in its own size and colours: leave out size and gray")
        if name == "digits":
            return datasets.digits(
                split or "all", seed=seed, epochs=epochs, start=start, limit=limit
            )
        if name != own:
            return twin(own, split or "train", seed=seed, epochs=epochs, start=start, limit=limit)
        return _DOWNLOADABLE[name](
            split or "train",
            seed=seed, epochs=epochs, start=start, limit=limit, download=download,
        )  # fmt: skip
    path = Path(spec).expanduser()
    is_camera = name.startswith("camera:") or scheme in URL_SCHEMES
    is_path = path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES
    if not name or not (is_camera or is_path):  # Path("") would be the working folder
        raise SourceError(_unknown(spec, name, path))
    if split is not None or epochs != 1:
        raise ConfigError(f"{spec} has no split and no epochs: they are for data sets")
    if is_camera:
        left = optional_whole(limit, "limit", 0)
        if left is not None:
            left = max(0, left - whole(start, "start", 0))
        device = spec if scheme else _number(name)
        return Camera(device, size=size, gray=gray, limit=left)
    if path.is_dir():
        size = FOLDER_SIZE if size is None else size
        return ImageFolder(path, size=size, gray=gray, seed=seed, start=start, limit=limit)
    return VideoFile(path, size=size, gray=gray, start=start, limit=limit)


def _square(
    name: str,
    split: str | None,
    size: tuple[int, int] | None,
    seed: int | None,
    start: int,
    limit: int | None,
    epochs: int,
    download: bool,
) -> Source:
    """ImageNet, ImageNette and their twins, whose pictures are scaled to a square."""
    height, width = picture_size((160, 160) if size is None else size)
    if height != width:
        raise ConfigError(f"{name} is scaled to a square: size={size!r} is none")
    split = split or "train"
    if name.endswith(SUFFIX):
        return twin(name, split, size=height, seed=seed, epochs=epochs, start=start, limit=limit)
    if epochs != 1:
        raise ConfigError(f"{name} is read from files, one pass: leave out epochs")
    options: dict[str, Any] = {"size": height, "seed": seed, "start": start, "limit": limit}
    if name == "imagenet":
        return imagenets.imagenet(split, **options)
    return imagenets.imagenette(split, download=download, **options)


def _number(name: str) -> int:
    number = name.removeprefix("camera:")
    if not number.isdecimal():
        raise SourceError(f"{name!r} is not a camera: write camera:N with its number, as camera:0")
    return int(number)


def _unknown(spec: str, name: str, path: Path) -> str:
    choices = (
        f"{', '.join(source_names())}, FILE ({', '.join(sorted(VIDEO_SUFFIXES))}), FOLDER, "
        f"camera:N, {', '.join(f'{scheme}://...' for scheme in URL_SCHEMES)}"
    )
    near = difflib.get_close_matches(name, (*source_names(), *twin_names()), n=1)
    if near:
        hint = f" Did you mean {near[0]!r}?"
    elif path.exists():
        hint = " The file exists, but its suffix is not one of a video."
    else:
        hint = ""
    shown = f"{spec.partition('://')[0]}://..." if "://" in spec else spec
    return f"unknown source {shown!r}.{hint} There are: {choices}"
