"""The contract of a neuron model."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from streamhebb.parts import State


class Neuron(Protocol):
    """What a neuron makes of its drive, one time step at a time.

    A neuron model is a frozen dataclass of numbers. It owns no state: the layer keeps it, by
    name, so it is saved, restored, reset and moved like all other state.

    Attributes:
        spikes: whether the output is 0 or 1; else it is a graded value.
    """

    spikes: ClassVar[bool]

    def init(self, n_out: int) -> State:
        """Return the state of one sample at rest, each of shape ``(n_out,)``."""
        ...

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        """Advance by one time step; changes nothing.

        Args:
            drive: weighted input $u$, shape ``(..., n_out)``.
            state: as ``init`` names it, each of shape ``(..., n_out)``.
            threshold: what is added to each neuron's own threshold, broadcast to ``drive``, or
                ``None``.

        Returns:
            Output, the voltage on which it was decided, and the next state.
        """
        ...
