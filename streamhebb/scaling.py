"""How large a step is: what the raw change is divided by before the rate is applied.

``LayerMax`` reproduces the published runs and looks at the whole layer. The neuron scalings are
strictly local: each neuron divides by a memory of its own changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.parts import State, require
from streamhebb.values import LocalUpdate

TINY = 1e-30  # as published; matters only where every change is zero


class Scaling(Protocol):
    """A map from a raw change to its divisor.

    Attributes:
        local: whether a neuron needs to know only its own change. In a large layer ``divisor`` is
            then asked for a few neurons at a time, with their part of the state.

    One with an attribute ``idle = True`` is the same whether neurons whose change is 0 are among
    those it is asked about or not.
    """

    local: ClassVar[bool]

    def init(self, n_out: int) -> State:
        """Return the state a fresh layer starts with."""
        ...

    def divisor(self, delta: Tensor, groups: int, state: State) -> tuple[Tensor | None, State]:
        """Return the divisor (``None`` for 1) and the next state.

        Args:
            delta: the raw change, shape ``(n_out, n_in)``.
            groups: number of groups of neurons that compete separately.
            state: this layer's own state of the scaling.
        """
        ...


@dataclass(frozen=True)
class NoScaling:
    """The raw change as it is. Rates must be small: a raw change is a sum over all pixels."""

    local: ClassVar[bool] = True
    idle: ClassVar[bool] = True

    def init(self, n_out: int) -> State:
        """No state."""
        return {}

    def divisor(self, delta: Tensor, groups: int, state: State) -> tuple[None, State]:
        """Return 1."""
        return None, state


@dataclass(frozen=True)
class LayerMax:
    r"""Divide by the largest change anywhere in the layer. **Not local**; as published.

    $$c = \max_{ji} |\Delta w_{ji}| + 10^{-30}$$

    With groups the maximum is taken in each group.
    """

    local: ClassVar[bool] = False
    idle: ClassVar[bool] = True

    def init(self, n_out: int) -> State:
        """No state."""
        return {}

    def divisor(self, delta: Tensor, groups: int, state: State) -> tuple[Tensor, State]:
        """Return a scalar, or shape ``(n_out, 1)`` with groups."""
        if groups == 1:
            return kernels.largest(delta) + TINY, state
        largest = delta.view(groups, -1).abs().amax(1) + TINY
        return largest.repeat_interleave(delta.shape[0] // groups)[:, None], state

    def foresee(
        self, update: LocalUpdate, weight: Tensor, top: Tensor, coarse: bool = False
    ) -> Tensor | None:
        """Return the divisor before the change is known; ``None`` if that takes too long.

        Args:
            update: one outer product, and perhaps a decay.
            weight: shape ``(n_out, n_in)``.
            top: largest absolute weight of each neuron or a bound of it, shape ``(n_out,)``.
            coarse: whether the change is made of rounded numbers.
        """
        found = kernels.largest_change(update, weight, top, coarse)
        return None if found is None else found + TINY


def _remember(state: State, name: str, present: Tensor, memory: float) -> State:
    """Exponential average with ``memory`` samples; a plain mean while it is younger than that."""
    age = state["age"] + 1
    return {
        name: torch.lerp(state[name], present, _share(age, memory).to(present.dtype)),
        "age": age,
    }


def _share(age: Tensor, memory: float) -> Tensor:
    """What the present one has in such an average."""
    return (1 / age).clamp_min(1 / memory)


@dataclass(frozen=True)
class NeuronRMS:
    r"""Divide each neuron's change by the running root mean square of its own changes.

    $$c_j = \sqrt{\big\langle \tfrac1{n_{in}} \textstyle\sum_i \Delta w_{ji}^2
      \big\rangle_{memory}}$$

    Strictly local. The average includes the present change.

    A neuron that never wins has only its small anti-Hebbian changes to compare with, so it takes
    full steps too, and these push its radius outward. On normalised input such neurons soon win
    somewhere; without a normalisation before the layer they can run away.

    Args:
        memory: samples the average reaches back; a plain mean while younger.
    """

    memory: float = 100.0
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("NeuronRMS", "memory", self.memory, at_least=1)

    def init(self, n_out: int) -> State:
        """Mean square 0, age 0."""
        return {"mean_square": torch.zeros(n_out), "age": torch.zeros((), dtype=torch.float64)}

    def divisor(self, delta: Tensor, groups: int, state: State) -> tuple[Tensor, State]:
        """Return shape ``(n_out, 1)``."""
        present = kernels.row_norms(delta).square_() / delta.shape[1]
        state = _remember(state, "mean_square", present, self.memory)
        # Squares of changes below 1e-19 are lost in float32, and losers of a soft competition make
        # such changes. Divided by 1e-30 these became steps of 1e6, so the floor is that of squares.
        floor = torch.finfo(present.dtype).tiny
        return (state["mean_square"] + floor).sqrt_()[:, None], state

    def running(self, state: State) -> Tensor:
        """What a kernel needs that divides each neuron's change as soon as it is made.

        Args:
            state: this layer's own state of the scaling.

        Returns:
            Shape ``(n_out, 2)``: the mean square so far, which it writes anew, and the share of the
            present one.

        Example:
            >>> scaling = NeuronRMS(memory=4)
            >>> scaling.running(scaling.init(1))  # nothing so far; the first one will be all
            tensor([[0., 1.]])
        """
        share = _share(state["age"] + 1, self.memory).to(state["mean_square"].dtype)
        return torch.stack((state["mean_square"], share.expand_as(state["mean_square"])), 1)

    def after(self, state: State, running: Tensor) -> State:
        """Return the next state from what that kernel has written.

        Args:
            state: the one before.
            running: what `running` gave, changed.

        Example:
            >>> scaling = NeuronRMS(memory=4)
            >>> scaling.after(scaling.init(1), torch.tensor([[9.0, 1.0]]))["mean_square"]
            tensor([9.])
        """
        return {"mean_square": running[:, 0], "age": state["age"] + 1}


@dataclass(frozen=True)
class NeuronMax:
    r"""Divide each neuron's change by a running mean of its own largest change.

    $$c_j = \big\langle \max_i |\Delta w_{ji}| \big\rangle_{memory}$$

    Strictly local. The average includes the present change.

    Args:
        memory: samples the average reaches back; a plain mean while younger.
    """

    memory: float = 100.0
    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("NeuronMax", "memory", self.memory, at_least=1)

    def init(self, n_out: int) -> State:
        """Mean 0, age 0."""
        return {"largest": torch.zeros(n_out), "age": torch.zeros((), dtype=torch.float64)}

    def divisor(self, delta: Tensor, groups: int, state: State) -> tuple[Tensor, State]:
        """Return shape ``(n_out, 1)``."""
        present = delta.abs().amax(1)
        state = _remember(state, "largest", present, self.memory)
        return (state["largest"] + TINY)[:, None], state
