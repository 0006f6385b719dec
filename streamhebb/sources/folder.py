"""A folder of pictures as a stream."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from streamhebb.errors import SourceError
from streamhebb.sources._checks import MAX_PIXELS, optional_whole, picture_size, span, whole
from streamhebb.sources._late import late
from streamhebb.sources._pictures import picture
from streamhebb.sources.base import Unclosed
from streamhebb.values import Label, Sample, Shape

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_log = logging.getLogger(__name__)


class ImageFolder(Unclosed):
    """Pictures of a folder, ``(C, H, W)`` in [0, 1], scaled to one size.

    If sub-folders hold pictures, their names are the labels, and pictures beside them are refused
    and counted in ``counts["unlabelled"]``. Otherwise the pictures of the folder itself come
    without labels. Pictures that cannot be read are skipped and counted in
    ``counts["unreadable"]``; the log names them. Files with other suffixes and hidden ones are not
    looked at.

    ``id`` is the number of the file in sorted order. ``start`` counts samples handed out, so what
    is skipped is read again to know which files were no samples.

    With ``classes`` labels are whole numbers: the place of a sub-folder's name among them.

    Args:
        path: the folder.
        size: ``(height, width)`` to scale to.
        gray: one channel instead of three.
        seed: of the order; ``None`` is the sorted order.
        start: samples of the stream to skip.
        limit: length of the whole stream counted from its beginning, ``None`` for all of it.
        classes: names of the sub-folders, in the order of the labels; ``None`` for names as labels.
        class_names: readable names of ``classes``, in the same order.
        name: for displays; ``None`` is the folder's.

    Raises:
        SourceError: no such folder, no pictures in it, other sub-folders than ``classes``, or
            (while iterating) none that can be read.
        MissingExtraError: Pillow is not installed; the extra is ``data``.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: tuple[int, int],
        gray: bool = False,
        seed: int | None = None,
        start: int = 0,
        limit: int | None = None,
        classes: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name if name is None else name
        self._size = picture_size(size)
        self.gray = gray
        self.shape: Shape = (1 if gray else 3, *self._size)
        self.seed = optional_whole(seed, "seed", 0)
        self.start = whole(start, "start", 0)
        self.limit = optional_whole(limit, "limit", 0)
        self._image = late("PIL.Image", "reading pictures", "data")
        self._turned = late("PIL.ImageOps", "reading pictures", "data").exif_transpose
        if not self.path.is_dir():
            raise SourceError(f"{self.path} is not a folder")
        here, self._files, self.classes = _listing(self.path)
        if classes is not None:
            self._files = _numbered(self.path, self._files, self.classes or (), classes)
            self.classes = tuple(range(len(classes)))
        self.class_names = None if class_names is None else tuple(class_names)
        self._refused = len(here) if self.classes else 0
        self.counts = {"unreadable": 0, "unlabelled": self._refused}
        if not self._files:
            raise SourceError(
                f"{self.path} holds no pictures; put {', '.join(sorted(SUFFIXES))} files into it "
                "or into one sub-folder for each label"
            )

    def __len__(self) -> int:
        """Samples left, if all pictures can be read."""
        return span(len(self._files), self.start, self.limit) or 0

    def __iter__(self) -> Iterator[Sample]:
        self.counts.update(unreadable=0, unlabelled=self._refused)
        if self.limit is not None and self.start >= self.limit:
            return
        position = 0
        for row in self._order():
            path, label = self._files[row]
            x = self._read(path)
            if x is None:
                continue
            if position >= self.start:
                yield Sample(x, target=label, id=row)
            position += 1
            if position == self.limit:
                return
        if position == 0:
            raise SourceError(f"none of the {len(self._files)} pictures in {self.path} can be read")

    @property
    def labels(self) -> list[Label | None]:
        """Labels of all pictures, in sorted order of the files."""
        return [label for _, label in self._files]

    def pixels(self, row: int) -> np.ndarray[Any, Any]:
        """One picture as bytes, ``(C, H, W)`` uint8, by its number in sorted order.

        Raises:
            SourceError: if it cannot be read.
        """
        path = self._files[row][0]
        try:
            found = self._decoded(path)
        except Exception as error:  # Pillow raises many kinds on damaged files
            raise SourceError(
                f"{path} cannot be read ({error}): fetch it again, or take it out"
            ) from error
        found = found[:, :, None] if found.ndim == 2 else found
        return np.ascontiguousarray(found.transpose(2, 0, 1))

    def _order(self) -> list[int]:
        if self.seed is None:
            return list(range(len(self._files)))
        # Frozen by numpy's policy (NEP 19), like the order of ArraySource.
        bits = np.random.MT19937(np.random.SeedSequence([self.seed, 0]))
        order: list[int] = np.random.RandomState(bits).permutation(len(self._files)).tolist()
        return order

    def _read(self, path: Path) -> Tensor | None:
        try:
            return picture(self._decoded(path))
        except Exception as error:  # noqa: BLE001 - Pillow raises many kinds on damaged or hostile files
            self.counts["unreadable"] += 1
            _log.warning("%s cannot be read and is skipped: %s", path, error)
            return None

    def _decoded(self, path: Path) -> np.ndarray[Any, Any]:
        with self._image.open(path, formats=_FORMATS) as image:
            # Only the header has been read: a bomb is refused before it is unpacked.
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            return np.asarray(self._scaled(image))

    def _scaled(self, image: Any) -> Any:
        height, width = self._size
        mode = "L" if self.gray else "RGB"
        image.draft(mode, (width, height))  # JPEG: decode no larger than needed
        if image.mode.startswith("I;16"):
            # Pillow would clip 16 bits to 8 instead of scaling them.
            image = self._image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError(f"mode {image.mode} has no known scale; store it with 8 bits")
        image = self._turned(image)
        return image.convert(mode).resize((width, height), self._image.Resampling.BILINEAR)


def _numbered(
    path: Path,
    files: list[tuple[Path, Label | None]],
    found: Sequence[Label],
    classes: Sequence[str],
) -> list[tuple[Path, Label | None]]:
    """The same files with numbers for labels."""
    numbers: dict[Label | None, int] = {name: number for number, name in enumerate(classes)}
    wrong = [name for name in found if name not in numbers]
    lost = [name for name in classes if name not in found]
    if wrong or lost:
        said = f"no pictures of {lost[0]}" if lost else f"pictures of {wrong[0]}"
        raise SourceError(
            f"{path} holds {said}; it needs a folder for each of the {len(classes)} classes, and "
            f"no other"
        )
    return [(file, numbers[name]) for file, name in files]


def _listing(
    path: Path,
) -> tuple[list[Path], list[tuple[Path, Label | None]], tuple[Label, ...] | None]:
    """Pictures beside the sub-folders, pictures to hand out with their labels, all labels."""
    entries = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    here = [p for p in entries if _is_picture(p)]
    labelled: list[tuple[Path, Label | None]] = [
        (p, folder.name)
        for folder in entries
        if folder.is_dir()
        for p in sorted(folder.rglob("*"))
        if _is_picture(p)
    ]
    if labelled:
        return here, labelled, tuple(dict.fromkeys(label for _, label in labelled))
    return here, [(p, None) for p in here], None


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
