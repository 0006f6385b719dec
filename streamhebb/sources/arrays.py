"""Arrays in memory as a stream: shuffled, repeated, and resumable at any position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import ConfigError, DTypeError, LabelError, ShapeError, SourceError
from streamhebb.sources._checks import optional_whole, span, whole
from streamhebb.sources.base import Unclosed
from streamhebb.values import Label, Sample, Shape

_WHITE = np.float32(255)


class ArraySource(Unclosed):
    """A stream over arrays in memory.

    The whole stream is ``epochs`` passes over the rows, each pass in its own seeded order, cut to
    ``limit`` samples counted from the very beginning. ``start`` is a position in that stream: a run
    that stopped after 400 samples goes on with ``start=400`` and otherwise equal arguments, in the
    same order and to the same end, at no cost for what is skipped. The order depends on ``seed``
    and the number of rows only, and never changes with versions of numpy.

    ``uint8`` is kept as it is and divided by 255 as it is handed out; ``bool`` becomes 0 and 1;
    floats become float32 and are not scaled. ``id`` is the row in ``x``; there are no time stamps.

    Args:
        x: array or tensor ``(N, *shape)``.
        y: ``N`` labels, ``None`` among them for rows without a label; or ``None`` for no labels.
        name: for displays.
        classes: all labels that may come; by default those in ``y``, sorted.
        seed: of the order; ``None`` keeps the stored order.
        epochs: passes over the rows.
        start: samples of the stream to skip.
        limit: length of the whole stream, ``None`` for all of it.
        shape: shape of one sample, if another than ``x.shape[1:]``.
        class_names: readable names of ``classes``, in the same order.
        inexact: rows whose content is known to differ from the original data set's.

    Attributes:
        x: the stored array ``(N, *shape)``, ``uint8`` or ``float32``.
        y: list of ``N`` labels, or ``None``.

    Raises:
        ConfigError: arguments that do not fit each other.
        SourceError: no rows.
        ShapeError, DTypeError, LabelError: arrays that cannot be a stream.

    Example:
        >>> source = ArraySource(np.array([[0, 255], [255, 0]], np.uint8), ["a", "b"])
        >>> [(s.x.tolist(), s.target, s.id) for s in source]
        [([0.0, 1.0], 'a', 0), ([1.0, 0.0], 'b', 1)]
    """

    def __init__(
        self,
        x: Any,
        y: Iterable[Any] | None = None,
        *,
        name: str = "arrays",
        classes: Iterable[Label] | None = None,
        seed: int | None = None,
        epochs: int = 1,
        start: int = 0,
        limit: int | None = None,
        shape: Shape | None = None,
        class_names: Iterable[str] | None = None,
        inexact: Iterable[int] = (),
    ) -> None:
        self.name = name
        self.x = _stored(x, shape, name)
        self.y = None if y is None else _labels(y, len(self.x), name)
        self.shape: Shape = self.x.shape[1:]
        self.classes = _classes(self.y, classes, name)
        self.class_names = None if class_names is None else tuple(class_names)
        if self.class_names and len(self.class_names) != len(self.classes or ()):
            raise ConfigError(f"{name}: {len(self.class_names)} class_names for {self.classes!r}")
        self.inexact = tuple(sorted(int(row) for row in inexact))
        if self.inexact and not 0 <= self.inexact[0] <= self.inexact[-1] < len(self.x):
            raise ConfigError(f"{name}: inexact names rows outside {len(self.x)}")
        self.seed = optional_whole(seed, "seed", 0)
        self.epochs = whole(epochs, "epochs", 1)
        self.start = whole(start, "start", 0)
        self.limit = optional_whole(limit, "limit", 0)
        self.counts: dict[str, int] = {}

    def __len__(self) -> int:
        return span(self.epochs * len(self.x), self.start, self.limit) or 0

    def __iter__(self) -> Iterator[Sample]:
        rows = len(self.x)
        epoch, order = -1, np.empty(0, np.intp)
        for position in range(self.start, self.start + len(self)):
            if position // rows != epoch:
                epoch = position // rows
                order = self._order(epoch)
            row = int(order[position % rows])
            target = None if self.y is None else self.y[row]
            yield Sample(_unit(self.x[row]), target=target, id=row)

    def _order(self, epoch: int) -> np.ndarray[Any, Any]:
        if self.seed is None:
            return np.arange(len(self.x))
        # RandomState is frozen by numpy's policy (NEP 19), default_rng is not: a run resumed under
        # another numpy must see the same order.
        bits = np.random.MT19937(np.random.SeedSequence([self.seed, epoch]))
        return np.random.RandomState(bits).permutation(len(self.x))


def _unit(row: np.ndarray[Any, Any]) -> Tensor:
    # Always a copy, so that nobody downstream can change the data set.
    if row.dtype == np.uint8:
        return torch.from_numpy(np.divide(row, _WHITE, dtype=np.float32, order="C"))
    return torch.from_numpy(np.array(row))


def _stored(x: Any, shape: Shape | None, name: str) -> np.ndarray[Any, Any]:
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.ndim < 2:
        raise ShapeError(f"{name}: x has shape {array.shape}; give (N, *shape of one sample)")
    if array.size == 0:
        raise SourceError(f"{name}: x has shape {array.shape} and holds no samples")
    if array.dtype.kind == "f" or array.dtype == np.bool_:
        array = array.astype(np.float32, copy=False)
    elif array.dtype != np.uint8:
        raise DTypeError(
            f"{name}: x has dtype {array.dtype}; allowed are floats, uint8 (divided by 255) "
            "and bool: scale it to floats first"
        )
    if shape is not None:
        if math.prod(shape) != math.prod(array.shape[1:]):
            raise ShapeError(f"{name}: samples of shape {array.shape[1:]} cannot become {shape}")
        array = array.reshape(len(array), *shape)
    # A mapped file stays one: only the rows that are asked for are read.
    return array if isinstance(x, np.memmap) else np.ascontiguousarray(array)


def _labels(y: Iterable[Any], rows: int, name: str) -> list[Label]:
    if isinstance(y, Tensor):
        y = y.detach().cpu().numpy()
    if isinstance(y, np.ndarray):
        labels: list[Any] = y.tolist()
    else:
        labels = [v.item() if isinstance(v, (np.generic, Tensor)) else v for v in y]
    if len(labels) != rows:
        raise ConfigError(f"{name}: {rows} samples but {len(labels)} labels; give one label each")
    for row, label in enumerate(labels):
        try:
            hash(label)
        except TypeError:
            raise LabelError(
                f"{name}: the label of row {row} is a {type(label).__name__}; give an int or str"
            ) from None
    return labels


def _classes(
    labels: list[Label] | None, classes: Iterable[Label] | None, name: str
) -> tuple[Label, ...] | None:
    if labels is None:
        if classes is not None:
            raise ConfigError(f"{name}: classes were given, but no labels y")
        return None
    found = dict.fromkeys(label for label in labels if label is not None)
    if classes is None:
        try:
            return tuple(sorted(found))  # type: ignore[type-var]
        except TypeError:  # labels of mixed types: in order of appearance
            return tuple(found)
    allowed = tuple(classes)
    wrong = [label for label in found if label not in set(allowed)]
    if wrong:
        raise LabelError(f"{name}: label {wrong[0]!r} is outside the classes {allowed!r}")
    return allowed
