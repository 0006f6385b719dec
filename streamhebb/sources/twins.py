"""Synthetic twins of the data sets: same shapes, types and classes, made in memory from a seed.

They stand in for data that are not there, in tests and to try a command: ``cifar10-twin`` wherever
a source is named. Each class has a pattern of its own; a sample is that pattern, moved, weaker or
stronger, under noise. They are easy. **What a net reaches on them says nothing of the data set.**
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamhebb.errors import ConfigError
from streamhebb.sources._checks import whole
from streamhebb.sources.arrays import ArraySource
from streamhebb.sources.datasets import CIFAR10_NAMES, FASHION_NAMES, STL10_NAMES
from streamhebb.sources.imagenets import IMAGENETTE_NAMES
from streamhebb.sources.memory import require_memory
from streamhebb.values import Label, Shape

SUFFIX = "-twin"
_SEED = 20230223


class _Kind(NamedTuple):
    """What a data set is like, and how many rows each split of its twin has."""

    shape: Shape
    classes: int
    rows: dict[str, int]
    names: Sequence[str] | None = None
    unlabelled: tuple[str, ...] = ()


_DIGITS = {"train": 1000, "test": 200}
_PHOTOS = {"train": 200, "val": 100}
_KINDS = {
    "mnist": _Kind((1, 28, 28), 10, _DIGITS),
    "fashion-mnist": _Kind((1, 28, 28), 10, _DIGITS, FASHION_NAMES),
    "cifar10": _Kind((3, 32, 32), 10, _DIGITS, CIFAR10_NAMES),
    "cifar100": _Kind((3, 32, 32), 100, _DIGITS),
    "stl10": _Kind(
        (3, 96, 96), 10, {"train": 500, "test": 200, "unlabeled": 500, "train+unlabeled": 1000},
        STL10_NAMES, ("unlabeled",),
    ),
    "imagenette": _Kind((3, 160, 160), 10, _PHOTOS, tuple(IMAGENETTE_NAMES.values())),
    "imagenet": _Kind((3, 160, 160), 1000, _PHOTOS),
}  # fmt: skip


def twin_names() -> tuple[str, ...]:
    """Names of the twins.

    Example:
        >>> twin_names()[0]
        'mnist-twin'
    """
    return tuple(name + SUFFIX for name in _KINDS)


def twin(
    name: str,
    split: str = "train",
    *,
    rows: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    epochs: int = 1,
    start: int = 0,
    limit: int | None = None,
) -> ArraySource:
    """A synthetic data set that looks like another from outside.

    The same arguments give the same bytes on every machine: only whole numbers are computed with.

    Args:
        name: of the data set, with or without ``-twin``.
        split: as the data set has them.
        rows: how many samples; ``None`` is 100 to 1,000.
        size: side of a picture, where the data set lets one choose.
        seed: of the order; ``None`` keeps the stored order, in which classes are mixed.
        epochs: passes over the split.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.

    Raises:
        ConfigError: for a data set, split or size that does not exist.

    Example:
        >>> source = twin("cifar10", rows=20)
        >>> source.shape, source.x.dtype, source.class_names[source.y[0]]
        ((3, 32, 32), dtype('uint8'), 'truck')
    """
    own = name.strip().lower().replace("_", "-").removesuffix(SUFFIX)
    if own not in _KINDS:
        close = difflib.get_close_matches(own, _KINDS, 1, 0.5)
        hint = f"; did you mean {close[0]}{SUFFIX}?" if close else ""
        raise ConfigError(f"{name!r} has no twin; there are {', '.join(twin_names())}{hint}")
    kind = _KINDS[own]
    if split not in kind.rows:
        raise ConfigError(f"{own}{SUFFIX} has no split {split!r}; there are {', '.join(kind.rows)}")
    shape = kind.shape
    if size is not None:
        if own not in ("imagenette", "imagenet"):
            raise ConfigError(f"{own}{SUFFIX} comes in its own size: leave out size")
        shape = (shape[0], whole(size, "size", 1), size)
    count = kind.rows[split] if rows is None else whole(rows, "rows", 1)
    require_memory(8 * count * math.prod(shape), f"{own}{SUFFIX}", "take fewer rows")
    x, labels = _make(own, kind, split, count, shape)
    y: list[Label | None] = labels.tolist()
    if split in kind.unlabelled:
        y = [None] * count
    elif "+" in split:
        y[count // 2 :] = [None] * (count - count // 2)
    return ArraySource(
        x, y, name=f"{own}{SUFFIX}/{split}", classes=range(kind.classes), class_names=kind.names,
        seed=seed, epochs=epochs, start=start, limit=limit,
    )  # fmt: skip


class _Chance:
    """Whole numbers, the same in every version of numpy and on every machine."""

    def __init__(self, *numbers: int) -> None:
        bits = np.random.MT19937(np.random.SeedSequence([_SEED, *numbers]))
        self._state = np.random.RandomState(bits)  # frozen by numpy's policy (NEP 19)

    def whole(self, low: int, high: int, size: Any = None) -> Any:
        """Numbers from ``low`` up to, but without, ``high``."""
        return self._state.randint(low, high, size, np.int64)  # the default is as the system has it

    def mixed(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The same values in another order."""
        return values[self._state.permutation(len(values))]


def _make(
    name: str, kind: _Kind, split: str, count: int, shape: Shape
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pictures and labels; whole numbers throughout, so that rounding is the same everywhere."""
    number, part = list(_KINDS).index(name), list(kind.rows).index(split)
    chance = _Chance(number, part + 1)
    labels = chance.mixed(np.arange(count) % kind.classes)
    height, width = shape[1:]
    shifts = np.stack(
        [chance.whole(-(side // 8), side // 8 + 1, count) for side in (height, width)], 1
    )
    strength = chance.whole(4, 9, count)  # eighths
    dark = name == "mnist"  # strokes on black, as there
    x = np.empty((count, *shape), np.uint8)
    for label in np.unique(labels):
        pattern = _pattern(number, int(label), shape)
        for row in np.flatnonzero(labels == label):
            moved = np.roll(pattern, tuple(shifts[row]), (1, 2)) * strength[row] // 8
            noise = chance.whole(-24, 25, shape)
            values = 2 * (moved - 40) if dark else 128 + moved - 64 * strength[row] // 8
            x[row] = np.clip(values + noise, 0, 255)
    return x, labels


def _pattern(number: int, label: int, shape: Shape) -> np.ndarray[Any, Any]:
    """The pattern of a class, 0 to 127: blotches and stripes of its own."""
    chance = _Chance(number, 0, label)
    channels, height, width = shape
    blotches = _enlarged(chance.whole(0, 128, (channels, 4, 4)), height, width)
    across, down = chance.whole(-3, 4, 2)
    period = max(2, max(height, width) // chance.whole(3, 7))
    rows, columns = np.arange(height)[:, None], np.arange(width)
    stripes = 127 * ((across * rows + down * columns) // period % 2)
    pattern: np.ndarray[Any, Any] = (2 * blotches + stripes) // 3
    return pattern


def _enlarged(grid: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """Bilinear, in whole numbers; the grid wraps around, as moved patterns do."""
    for axis, side in ((1, height), (2, width)):
        cells = grid.shape[axis]
        place = np.arange(side) * cells * 16 // side  # sixteenths of a cell
        weight = (place % 16).reshape((-1, 1) if axis == 1 else (1, -1))
        low = np.take(grid, place // 16, axis)
        high = np.take(grid, (place // 16 + 1) % cells, axis)
        grid = (low * (16 - weight) + high * weight) // 16
    return grid
