"""CIFAR-10 as lossless WebP sheets: 1,000 pictures each, 25 a row, in the original order.

``train-00..49.webp`` and ``test-00..09.webp`` of 800 x 1280 pixels, ``labels.npy`` with the 50,000
training labels and then the 10,000 test labels, ``not_lossless.npy`` with the positions in that
numbering whose pixels are not the original ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamhebb.errors import SourceError
from streamhebb.sources._late import late

_ACROSS, _DOWN, _SIDE = 25, 40, 32
_A_SHEET = _ACROSS * _DOWN
_SHEETS = {"train": range(50), "test": range(10)}
_ROWS = {"train": slice(0, 50_000), "test": slice(50_000, 60_000)}
_CURE = "fetch the folder again, or put torchvision's cifar-10-batches-py beside it"


def is_sheets(folder: Path) -> bool:
    """Whether the folder looks like the sheets."""
    return (folder / "labels.npy").is_file() and (folder / "train-00.webp").is_file()


def read_sheets(
    folder: Path, split: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pictures ``(N, 3, 32, 32)`` and labels ``(N,)``, both uint8, and the rows that are not exact.

    Args:
        folder: where the sheets are.
        split: ``"train"`` or ``"test"``.

    Raises:
        SourceError: a file is missing, damaged, or of the wrong size.
        MissingExtraError: Pillow is not installed.
    """
    image = late("PIL.Image", "reading CIFAR-10 sheets", "data")
    labels = _array(folder / "labels.npy", "uint8", 60_000)
    if labels.shape != (60_000,) or labels.max() > 9:
        raise SourceError(f"{folder / 'labels.npy'} does not hold 60000 labels below 10: {_CURE}")
    numbers = _SHEETS[split]
    x = np.empty((len(numbers) * _A_SHEET, 3, _SIDE, _SIDE), np.uint8)
    for n in numbers:
        grid = _sheet(folder / f"{split}-{n:02d}.webp", image)
        grid = grid.reshape(_DOWN, _SIDE, _ACROSS, _SIDE, 3).transpose(0, 2, 4, 1, 3)
        x[n * _A_SHEET : (n + 1) * _A_SHEET] = grid.reshape(_A_SHEET, 3, _SIDE, _SIDE)
    return x, labels[_ROWS[split]], inexact_rows(folder, split)


def inexact_rows(folder: Path, split: str) -> np.ndarray[Any, Any]:
    """The rows of a split whose pixels are not the original ones; reads one small file.

    Raises:
        SourceError: it is missing or damaged.
    """
    lossy = _array(folder / "not_lossless.npy", "int32", 60_000)
    if lossy.size and not 0 <= lossy.min() <= lossy.max() < 60_000:
        raise SourceError(f"{folder / 'not_lossless.npy'} names rows outside 60000: {_CURE}")
    part = _ROWS[split]
    own: np.ndarray[Any, Any] = np.unique(lossy[(lossy >= part.start) & (lossy < part.stop)])
    return own - part.start


def _sheet(path: Path, image: Any) -> np.ndarray[Any, Any]:
    width, height = _ACROSS * _SIDE, _DOWN * _SIDE
    try:
        with image.open(path, formats=["WEBP"]) as picture:
            # The header alone has been read so far.
            if picture.size != (width, height) or getattr(picture, "n_frames", 1) != 1:
                raise SourceError(
                    f"{path} is {picture.size[0]} x {picture.size[1]} pixels, not one sheet of "
                    f"{width} x {height}: {_CURE}"
                )
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise SourceError(f"{path} is missing: {_CURE}") from error
    except SourceError:
        raise
    except Exception as error:  # Pillow raises many kinds on damaged or oversized files
        raise SourceError(f"{path} is not an intact WebP picture ({error}): {_CURE}") from error


def _array(path: Path, dtype: str, most: int) -> np.ndarray[Any, Any]:
    try:
        # Mapping checks the declared size against the file; a plain load would allocate first.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype != dtype or array.ndim != 1 or array.size > most:
            raise ValueError(f"holds {array.dtype} {array.shape}, not up to {most} {dtype}")
        return np.array(array)
    except FileNotFoundError as error:
        raise SourceError(f"{path} is missing: {_CURE}") from error
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise SourceError(f"{path} is damaged ({error}): {_CURE}") from error
