"""The contract of a readout, and the classes it knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from streamhebb.errors import ConfigError, LabelError
from streamhebb.parts import describe_arguments
from streamhebb.values import Label


class Features(NamedTuple):
    """What a readout keeps of one step until the label is learned."""

    x: Tensor
    scores: Tensor


class Readout(nn.Module):
    """Turns features into scores of classes, and learns them in the stream.

    ``respond`` and ``observe`` are pure; only ``learn`` writes. Classes may be fixed
    (``classes=10`` or a list of labels) or open (``None``): then each new label adds a class, at
    any time.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number (labels 0 ... n-1), the labels, or ``None`` for an open set.
        buffers: names of the buffers that have one row per class.

    Raises:
        ConfigError: for a number of classes or features below 1, or labels given twice.
    """

    def __init__(
        self, n_in: int | None, classes: int | Sequence[Label] | None, buffers: tuple[str, ...]
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if n_in is not None and n_in < 1:
            raise ConfigError(f"{name}: n_in={n_in} is not allowed; it must be at least 1")
        self.n_in = n_in
        self.classes = _plain_classes(name, classes)
        self.open = classes is None
        known = range(self.classes) if isinstance(self.classes, int) else self.classes or ()
        self._labels: list[Label] = list(known)
        self._index = {label: row for row, label in enumerate(self._labels)}
        if len(self._index) != len(self._labels):
            raise ConfigError(f"{name}: classes={classes!r} names a label twice")
        self._class_buffers = buffers
        # Snapshots of a readout that has grown have more rows than a fresh one.
        self.register_load_state_dict_pre_hook(_fit_to_snapshot)  # type: ignore[no-untyped-call]

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes known so far, in the order of the scores."""
        return tuple(self._labels)

    def build(self, n_in: int) -> None:
        """Make the buffers, once the number of features is known."""
        raise NotImplementedError

    def respond(self, x: Tensor) -> Tensor:
        """Return scores ``(B, n_classes)`` for features ``(B, n_in)``; changes nothing."""
        raise NotImplementedError

    def observe(self, x: Tensor) -> tuple[Tensor, Features]:
        """Return scores and what ``learn`` needs; changes nothing."""
        scores = self.respond(x)
        return scores, Features(x, scores)

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Learn the labels of what was seen; ``None`` marks a sample without a label."""
        raise NotImplementedError

    def probabilities(self, scores: Tensor) -> Tensor:
        """Turn scores into probabilities, same shape."""
        return torch.softmax(scores, -1)

    def reset(self, generator: Any = None) -> None:
        """Forget everything, classes of an open set included."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Describe the readout as plain JSON data."""
        return describe_arguments(self)

    # -- classes -------------------------------------------------------------------------------

    def check(self, target: Iterable[Label | None]) -> None:
        """Refuse labels that cannot be learned; changes nothing.

        Raises:
            LabelError: for a label outside fixed classes, or one that cannot be a label.
        """
        for label in target:
            if label is None:
                continue
            if not isinstance(label, (int, str, bool)):
                raise LabelError(
                    f"label {label!r} of type {type(label).__name__} is not allowed; labels are "
                    f"int, str or bool"
                )
            if label not in self._index and not self.open:
                raise LabelError(
                    f"label {label!r} is outside the classes {_short(self._labels)}; correct the "
                    f"label, or build the readout with classes=None to let classes appear"
                )

    def add_classes(self, labels: Iterable[Label]) -> None:
        """Make room for labels not known yet.

        Raises:
            LabelError: if the set of classes is fixed.
        """
        labels = [plain(label) for label in labels]
        self.check(labels)
        fresh = [label for label in dict.fromkeys(labels) if label not in self._index]
        if not fresh:
            return
        for label in fresh:
            self._index[label] = len(self._labels)
            self._labels.append(label)
        self._resize(len(self._labels))
        self._start(len(self._labels) - len(fresh))

    def _resize(self, rows: int) -> None:
        for name in self._class_buffers:
            old = getattr(self, name)
            if old is not None and old.shape[0] != rows:
                new = old.new_zeros(rows, *old.shape[1:])
                new[: min(rows, old.shape[0])] = old[:rows]
                setattr(self, name, new)

    def _start(self, first: int) -> None:
        """Prepare the rows of the classes from this number on; as they come, they are 0."""

    def _forget(self) -> None:
        """Set all buffers to 0, and forget the classes of an open set."""
        if self.open:
            self._labels.clear()
            self._index.clear()
        self._resize(len(self._labels))
        for value in self.buffers():
            value.zero_()

    def _labelled(
        self, seen: Features, target: Sequence[Label | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features, scores and one-hot targets of the samples that have a label."""
        self.add_classes(label for label in target if label is not None)
        rows = [row for row, label in enumerate(target) if label is not None]
        x, scores = seen
        if len(rows) < len(target):
            x, scores = x[rows], scores[rows]
        missing = len(self._labels) - scores.shape[1]
        if missing:  # classes that appeared after the prediction: their weights are still 0
            scores = torch.cat([scores, scores.new_zeros(scores.shape[0], missing)], 1)
        hot = torch.zeros_like(scores)
        for row, label in enumerate(label for label in target if label is not None):
            hot[row, self._index[label]] = 1
        return x, scores, hot

    def get_extra_state(self) -> dict[str, Any]:
        """The labels, for ``state_dict``."""
        return {"labels": list(self._labels)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the labels."""
        self._labels = list(state["labels"])
        self._index = {label: row for row, label in enumerate(self._labels)}


def _fit_to_snapshot(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    extra = state.get(f"{prefix}_extra_state")
    if isinstance(module, Readout) and module.open and extra is not None:
        module._resize(len(extra["labels"]))


def _short(labels: Sequence[Label]) -> str:
    shown = [repr(label) for label in labels]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:5], "...", *shown[-2:]])


def plain(label: Any) -> Any:
    """Bring a label to a plain Python value: numpy and torch scalars, and whole floats, to ``int``.

    ``1``, ``1.0`` and ``True`` are one label, as they are equal in Python; ``"1"`` is another.

    Example:
        >>> plain(torch.tensor(3)), plain(3.0)
        (3, 3)
    """
    item = getattr(label, "item", None)
    if callable(item) and getattr(label, "ndim", 0) == 0:
        label = item()
    # scikit-learn and csv files hand out 3.0 for class 3
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _plain_classes(owner: str, classes: Any) -> int | list[Label] | None:
    """Check what was asked for, and bring it to what JSON can hold."""
    if classes is None:
        return None
    count = plain(classes)
    if isinstance(count, int) and not isinstance(count, bool):
        if count >= 1:
            return count
        raise ConfigError(f"{owner}: classes={classes} is not allowed; it must be at least 1")
    ok = isinstance(classes, Iterable) and not isinstance(classes, (str, bytes))
    labels = [plain(label) for label in classes] if ok else []
    if not labels or not all(isinstance(label, (int, str, bool)) for label in labels):
        raise ConfigError(
            f"{owner}: classes={classes!r} is not allowed; give a number of classes, a list of "
            f"labels that are int, str or bool, or None to let classes appear"
        )
    return labels
