"""The contract of a plasticity rule."""

from __future__ import annotations

from typing import Protocol

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate


class PlasticityRule(Protocol):
    """A local law of change, the same for dense, convolutional, grouped and sparse synapses.

    A rule is a frozen dataclass of hyperparameters. It sees one
    [`Activity`][streamhebb.values.Activity] - one instant - and its own state, uses arithmetic
    only, and returns what it wants changed. It writes nothing.

    Three things more may be said, and are taken as shown where they are not:

    * ``modulated: ClassVar[bool] = False``: the rule uses ``seen.modulator`` itself, so the layer
      does not multiply it into the rate.
    * ``nonlocal_parts: ClassVar[tuple[str, ...]] = ()``: names of what in this rule looks at other
      neurons; shown by the net, and reported by ``check_locality``.
    * ``rest(n_in, n_out) -> State``: traces of one sample at rest, shapes ``(n_in,)`` or
      ``(n_out,)``. ``terms`` gets them in ``state`` with the leading dimensions of ``pre``, one row
      for each competition, and returns their next values.
    """

    @property
    def competes(self) -> bool:
        """Whether the rule is meant for neurons that compete; a ``ClassVar[bool]`` will do.

        A layer built without a ``competition`` then gets soft winner-take-all, else independent
        linear neurons.
        """
        ...

    def init(self, n_in: int, n_out: int) -> State:
        """Return the state a fresh layer starts with: thresholds, means; ``{}`` for most rules."""
        ...

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return the wanted change and the next state."""
        ...


def traces(rule: PlasticityRule, n_in: int, n_out: int) -> State:
    """Return a rule's traces at rest; ``{}`` for a rule that keeps none."""
    rest = getattr(rule, "rest", None)
    state: State = {} if rest is None else rest(n_in, n_out)
    return state


def nonlocal_parts(rule: PlasticityRule) -> tuple[str, ...]:
    """Return the names of what in a rule looks at other neurons."""
    return tuple(getattr(rule, "nonlocal_parts", ()))


def modulated(rule: PlasticityRule) -> bool:
    """Whether a rule uses the modulator itself."""
    return bool(getattr(rule, "modulated", False))
