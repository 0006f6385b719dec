"""Test, then train: accuracy on samples at the moment when each was still new."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from streamhebb.errors import ConfigError, LabelError
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.readouts.base import plain
from streamhebb.values import Label, Sample, StepResult


class Prequential:
    """Accuracy over the whole stream, and over the last samples of it.

    A target of ``None`` is unknown and does not count. A prediction of ``None`` (no class known
    yet, sample skipped) counts as wrong. Memory is bounded by the window.

    Args:
        window: how many labelled samples the windowed accuracy looks back.

    Raises:
        ConfigError: for a window below 1.

    Example:
        >>> score = Prequential(window=2)
        >>> for target, prediction in [("a", None), ("a", "a"), ("b", "b"), (None, "a")]:
        ...     score.update(target, prediction)
        >>> score.count, round(score.accuracy, 3), score.window_accuracy
        (3, 0.667, 1.0)

    Reference:
        J. Gama, R. Sebastião, P. P. Rodrigues, On evaluating stream learning algorithms, 2013.
        https://doi.org/10.1007/s10994-012-5320-9
    """

    def __init__(self, window: int = 1000) -> None:
        require("Prequential", "window", window, at_least=1)
        self.window = int(window)
        self.count = 0
        self.right = 0
        self._recent: deque[bool] = deque(maxlen=self.window)
        self._recent_right = 0

    @property
    def accuracy(self) -> float:
        """Share of right predictions over all labelled samples; 0 before the first."""
        return self.right / self.count if self.count else 0.0

    @property
    def window_accuracy(self) -> float:
        """Share of right predictions over the last ``window`` labelled samples."""
        return self._recent_right / len(self._recent) if self._recent else 0.0

    def update(self, target: Any, prediction: Any) -> None:
        """Count one prediction, or the lists of a micro-batch.

        Args:
            target: the label, or one a sample; ``None`` if unknown.
            prediction: what was predicted before the label was learned.

        Raises:
            LabelError: if there are more or fewer predictions than labels.
        """
        if hasattr(target, "tolist"):
            target = target.tolist()
        if not isinstance(target, (list, tuple)):
            self._one(target, prediction)
            return
        if prediction is None:  # no class known yet, or skipped: the same for all
            prediction = [None] * len(target)
        if not isinstance(prediction, (list, tuple)) or len(prediction) != len(target):
            count = len(prediction) if isinstance(prediction, (list, tuple)) else 1
            raise LabelError(f"{count} predictions for {len(target)} labels; give one a label")
        for one, guess in zip(target, prediction, strict=True):
            self._one(one, guess)

    def _one(self, target: Label | None, prediction: Label | None) -> None:
        target = plain(target)
        if target is None:
            return
        hit = prediction is not None and bool(plain(prediction) == target)
        if len(self._recent) == self.window:
            self._recent_right -= self._recent[0]
        self._recent.append(hit)
        self._recent_right += hit
        self.count += 1
        self.right += hit

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on, as plain JSON data."""
        return {
            "window": self.window,
            "count": self.count,
            "right": self.right,
            "recent": "".join("1" if hit else "0" for hit in self._recent),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave; the numbers are then as if never interrupted.

        Raises:
            ConfigError: if that is no such state, or of another window; nothing is changed then.
        """
        try:
            window, count, right = (int(state[name]) for name in ("window", "count", "right"))
            recent = str(state["recent"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"this is no state of a Prequential: {error!r} in {state}") from error
        if window != self.window:
            raise ConfigError(
                f"the state is of a window of {window} samples, this one has {self.window}; build "
                f"Prequential(window={window})"
            )
        hits = recent.count("1")
        whole = len(recent) == min(count, window) and hits + recent.count("0") == len(recent)
        if not (whole and hits <= right <= count):
            raise ConfigError(f"this state of a Prequential contradicts itself: {state}")
        self.count, self.right, self._recent_right = count, right, hits
        self._recent = deque((hit == "1" for hit in recent), maxlen=self.window)


def iter_prequential(
    net: StreamNet, source: Iterable[Any], score: Prequential | None = None
) -> Iterator[tuple[StepResult, Prequential]]:
    """Feed a source to a net, one step an item, and keep the score.

    The same as::

        for sample in source:
            result = net.step(sample)
            score.update(sample.target, result.prediction)

    Args:
        net: learns from every item, after it has predicted.
        source: yields [`Sample`][streamhebb.values.Sample], ``(x, target)`` pairs, or bare
            observations.
        score: goes on counting in this one; ``None`` starts afresh.

    Yields:
        What the step returned, and the score so far.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, SoftmaxReadout, StreamNet
        >>> net = StreamNet(Dense(2, 4), readout=SoftmaxReadout(4))
        >>> pairs = [(torch.rand(2), "the only class")] * 3
        >>> [score.count for _, score in iter_prequential(net, pairs)]
        [1, 2, 3]
    """
    score = Prequential() if score is None else score
    for item in source:
        if isinstance(item, Sample):
            x, target = item.x, item.target
        elif isinstance(item, (tuple, list)) and len(item) == 2:
            x, target = item
        else:
            x, target = item, None
        result = net.step(x, target)
        score.update(target, result.prediction)
        yield result, score
