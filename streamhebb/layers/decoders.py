"""Decoders: from spikes or voltages in time to one value each, ``(T, n...) -> (n...)``."""

from __future__ import annotations

from torch import Tensor

from streamhebb.layers.base import Layer
from streamhebb.layers.neurons import check_time
from streamhebb.parts import require
from streamhebb.values import Shape


class _Decoder(Layer):
    def shape(self, shape: Shape) -> Shape:
        """``(T, n...) -> (n...)``."""
        check_time(self, shape)
        return shape[1:]


class SpikeCount(_Decoder):
    """How many spikes each neuron fired.

    Example:
        >>> import torch
        >>> SpikeCount().respond(torch.tensor([[[0.0, 1.0], [1.0, 1.0]]]))
        tensor([[1., 2.]])
    """

    def respond(self, x: Tensor) -> Tensor:
        """Return the sum over time, shape ``(B, n...)``."""
        return x.sum(1)


class SpikeRate(_Decoder):
    """How many spikes a second each neuron fired.

    Args:
        dt: seconds a step.
    """

    def __init__(self, dt: float = 0.001) -> None:
        super().__init__()
        require("SpikeRate", "dt", dt, above=0)
        self.dt = dt

    def respond(self, x: Tensor) -> Tensor:
        """Return the mean over time divided by ``dt``, shape ``(B, n...)``."""
        return x.mean(1) / self.dt


class FirstSpike(_Decoder):
    r"""How early each neuron fired its first spike: $(T - t) / T$, and 0 for silence.

    What [`Latency`][streamhebb.layers.encoders.Latency] encoded comes back, as a share of its
    ``largest``, to within half a step.

    Example:
        >>> import torch
        >>> FirstSpike().respond(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]]))
        tensor([[0.0000, 0.5000, 1.0000]])
    """

    def respond(self, x: Tensor) -> Tensor:
        """Return the earliness, shape ``(B, n...)``."""
        fired = (x > 0).cummax(1).values  # from the first spike on
        return fired.to(x.dtype).mean(1)


class LastVoltage(_Decoder):
    """The last output of each neuron, as of a leaky integrator."""

    def respond(self, x: Tensor) -> Tensor:
        """Return the last step, shape ``(B, n...)``."""
        return x[:, -1]


class MeanVoltage(_Decoder):
    """The mean output of each neuron over time, as of a leaky integrator."""

    def respond(self, x: Tensor) -> Tensor:
        """Return the mean over time, shape ``(B, n...)``."""
        return x.mean(1)
