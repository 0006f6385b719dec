"""Neurons without weights: a layer that runs spiking neurons over the currents it is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from streamhebb.errors import ShapeError
from streamhebb.layers import states
from streamhebb.layers.base import Layer
from streamhebb.neurons import LIF, Neuron
from streamhebb.parts import State, require_choice, require_part
from streamhebb.values import Shape


def check_time(layer: Layer, shape: Shape) -> None:
    """Check that samples have time.

    Raises:
        ShapeError: naming the shape and what is needed.
    """
    if not shape or shape[0] < 1:
        raise ShapeError(
            f"{type(layer).__name__} got samples of shape {shape}; it needs time in front, "
            f"(T, n...). Put an encoder before it, for example ConstantCurrent(20)"
        )


class Spiking(Layer):
    r"""Neurons, one for each value, driven by currents: ``(T, n...) -> (T, n...)``.

    The output is that of the neuron: spikes, or the voltage of a
    [`LI`][streamhebb.neurons.li.LI]. It learns nothing; for neurons behind weights that learn, give
    a plastic layer a ``neuron``.

    Args:
        neuron: the dynamics; ``None`` is [`LIF()`][streamhebb.neurons.lif.LIF].
        carry: whether the neurons' state goes on from sample to sample, as in a live stream of
            single time steps; else every sample finds them at rest. The samples of a micro-batch
            are then parallel streams, and their number must stay the same.

    Raises:
        ConfigError: for something that is no neuron.

    Example:
        >>> from streamhebb.layers import ConstantCurrent
        >>> current = ConstantCurrent(8).respond(torch.tensor([[0.0, 0.5, 5.0]]))
        >>> Spiking().respond(current)[0].sum(0)
        tensor([0., 0., 7.])
    """

    def __init__(self, neuron: Neuron | None = None, carry: bool = False) -> None:
        super().__init__()
        self.neuron = LIF() if neuron is None else neuron
        require_part("Spiking", "neuron", self.neuron, "LIF()")
        require_choice("Spiking", "carry", carry, (True, False))
        self.carry = self.carries = carry
        if carry:
            rest = self.neuron.init(1)
            self.carried_buffers = tuple(f"neuron_{name}" for name in rest)
            states.register_carried(self, "neuron", rest)
            self.register_load_state_dict_pre_hook(states.fit_rows)  # type: ignore[no-untyped-call]

    def shape(self, shape: Shape) -> Shape:
        """Check that there is time."""
        check_time(self, shape)
        return shape

    def respond(self, x: Tensor) -> Tensor:
        """Return the neurons' output, shape ``(B, T, n...)``; changes nothing."""
        return self.observe(x)[0]

    def observe(self, x: Tensor) -> tuple[Tensor, State]:
        """Return the neurons' output, and the state they come to; changes nothing."""
        instants = x.reshape(*x.shape[:2], -1).unbind(1)
        rest = self.neuron.init(instants[0].shape[-1])
        state = states.read_carried(self, "neuron", rest, instants[0])
        outs = []
        for current in instants:
            out, _, state = self.neuron.step(current, state, None)
            outs.append(out)
        return torch.stack(outs, 1).view(x.shape), state

    def advance(self, seen: State) -> None:
        """Keep the neurons' state, if it is carried."""
        if self.carry:
            states.write(self, "neuron", seen)

    def reset(self, generator: Any = None) -> None:
        """Bring the neurons to rest."""
        self.reset_state()

    def reset_state(self) -> None:
        """Bring the neurons to rest."""
        states.empty_carried(self, "neuron", self.neuron.init(1))
