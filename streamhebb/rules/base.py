"""The contract of a plasticity rule."""

from __future__ import annotations

from typing import ClassVar, Protocol

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate


class PlasticityRule(Protocol):
    """A local law of change, the same for dense, convolutional and grouped synapses.

    A rule is a frozen dataclass of hyperparameters. It sees one
    [`Activity`][streamhebb.values.Activity] and its own state, uses arithmetic only, and returns
    what it wants changed. It writes nothing.

    Attributes:
        competes: whether the rule is meant for neurons that compete; a layer built without a
            ``competition`` then gets soft winner-take-all, else independent linear neurons.
    """

    competes: ClassVar[bool]

    def init(self, n_in: int, n_out: int) -> State:
        """Return the state a fresh layer starts with: traces, thresholds; ``{}`` for most rules."""
        ...

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return the wanted change and the next state."""
        ...
