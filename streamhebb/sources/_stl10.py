"""Reader of the binary files of STL-10.

``train_X.bin``, ``test_X.bin`` and ``unlabeled_X.bin`` hold pictures of 3 x 96 x 96 bytes, column
by column, and nothing else; ``train_y.bin`` and ``test_y.bin`` hold labels 1 to 10
(https://cs.stanford.edu/~acoates/stl10).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from streamhebb.errors import SourceError
from streamhebb.sources import _find

SIDE = 96
ROWS = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
"""Pictures of each file."""


def read_pictures(path: Path, rows: int) -> np.ndarray[Any, Any]:
    """Pictures, ``(rows, 3, 96, 96)`` uint8; mapped, so that only what is used is read.

    Raises:
        SourceError: missing, or of another size.
    """
    _check_size(path, rows * 3 * SIDE**2, f"{rows} pictures")
    stored = np.memmap(path, np.uint8, "r", shape=(rows, 3, SIDE, SIDE))
    return stored.transpose(0, 1, 3, 2)


def read_labels(path: Path, rows: int) -> np.ndarray[Any, Any]:
    """Labels from 0 to 9, ``(rows,)`` uint8.

    Raises:
        SourceError: missing, of another size, or with labels outside 1 to 10.
    """
    _check_size(path, rows, f"{rows} labels")
    labels = np.fromfile(path, np.uint8, rows)
    if not 1 <= labels.min() <= labels.max() <= 10:
        raise SourceError(
            f"{path} holds labels from {labels.min()} to {labels.max()}, allowed are 1 to 10: "
            f"delete it and fetch it again"
        )
    return labels - 1


def _check_size(path: Path, size: int, holds: str) -> None:
    try:
        found = path.stat().st_size
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror or error}): {_find.wanted('stl10')}"
        ) from error
    if found != size:
        wrong = "is truncated" if found < size else "is longer than it should be"
        raise SourceError(
            f"{path} {wrong}: {found} bytes, {size} for {holds}; delete it and fetch it again"
        )
