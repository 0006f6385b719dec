"""What wakes a layer: by default every sample; or only one that brings something new.

A stage that is not woken neither computes nor learns, and does not wake those above it. The last
answer stands. What is compared is the input of each stage, so a picture may wake the first layer
and, where its output stays as it was, nobody above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from streamhebb.parts import require


class Wake(Protocol):
    """Says whether an input brings anything.

    Attributes:
        remembers: whether the last input that woke the stage is looked at.
    """

    @property
    def remembers(self) -> bool:
        """Whether the last input that woke the stage is looked at."""
        ...

    def wakes(self, x: Tensor, before: Tensor | None) -> bool:
        """Whether ``x`` is news after ``before``, the last input that was; ``None`` at first."""
        ...


@dataclass(frozen=True)
class OnChange:
    r"""Woken by an input that differs from the last one that woke it: $\max|x - x'| > threshold$.

    Slow drift adds up: the comparison is with the input that last woke the stage.

    Args:
        threshold: 0 is any change at all.

    Example:
        >>> rule = OnChange(0.1)
        >>> rule.wakes(torch.tensor([0.55]), torch.tensor([0.5]))
        False
    """

    threshold: float = 0.0
    remembers = True

    def __post_init__(self) -> None:
        require("OnChange", "threshold", self.threshold, at_least=0)

    def wakes(self, x: Tensor, before: Tensor | None) -> bool:
        """Whether any number has changed by more than the threshold."""
        if before is None or before.shape != x.shape or before.dtype != x.dtype:
            return True
        if not self.threshold:
            return not torch.equal(x, before)
        low, high = torch.aminmax(x - before)
        return not max(-float(low), float(high)) <= self.threshold  # NaN is news


@dataclass(frozen=True)
class OnSpike:
    """Woken by an input that is not zero everywhere.

    Example:
        >>> OnSpike().wakes(torch.zeros(1, 3), None)
        False
    """

    remembers = False

    def wakes(self, x: Tensor, before: Tensor | None) -> bool:
        """Whether anything is not 0."""
        return bool(x.any())


class Standing:
    """What a net with a [`Wake`][streamhebb.wake.Wake] keeps from sample to sample.

    Attributes:
        inputs: the last input that woke each stage.
        features: the last output of the last stage.
        scores: the last answer.
        passed: how often each stage was passed over.
    """

    def __init__(self, stages: int) -> None:
        self.inputs: list[Tensor | None] = [None] * stages
        self.features: Tensor | None = None
        self.scores: Tensor | None = None
        self.passed = [0] * stages

    def clear(self) -> None:
        """Forget the last inputs and the last answer; the counts stay."""
        self.inputs = [None] * len(self.inputs)
        self.features = self.scores = None

    def state(self) -> dict[str, Any]:
        """Everything, for a snapshot: tensors and plain data."""
        tensors = {f"input {n}": x for n, x in enumerate(self.inputs) if x is not None}
        if self.features is not None:
            tensors["features"] = self.features
        if self.scores is not None:
            tensors["scores"] = self.scores
        return {"passed": list(self.passed), **tensors}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.passed = list(state.get("passed", [0] * len(self.inputs)))
        self.inputs = [state.get(f"input {n}") for n in range(len(self.inputs))]
        self.features, self.scores = state.get("features"), state.get("scores")
