"""The delta rule: what a readout learns from a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.parts import State, require
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Delta:
    r"""Delta rule; ``post`` is the error, target minus prediction.

    $$\Delta w_{ji} = (target_j - y_j)\, x_i - \lambda\, w_{ji}$$

    Args:
        weight_decay: $\lambda \ge 0$.

    Reference:
        B. Widrow, M. E. Hoff, Adaptive switching circuits, IRE WESCON, 1960.
    """

    weight_decay: float = 0.0
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("Delta", "weight_decay", self.weight_decay, at_least=0)

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``error x - weight_decay w``."""
        decay = None
        if self.weight_decay:
            decay = seen.post.new_full(seen.post.shape, self.weight_decay)
        return LocalUpdate((Outer(seen.post, seen.pre),), decay), state
