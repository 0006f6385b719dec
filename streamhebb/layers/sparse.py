"""A layer of fixed fan-in that learns."""

from __future__ import annotations

from typing import Unpack

from streamhebb.layers.makeup import Parts
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.synapses import SparseSynapse


class Sparse(PlasticLayer):
    """A layer of neurons that each see a fixed random choice of inputs.

    The choice is wiring: drawn from ``seed``, saved with the weights, never learned. Weights are
    ``(n_out, fan_in)``, in the order of ``wiring``, ``(n_out, fan_in)`` input numbers.

    Args:
        n_in: inputs.
        n_out: neurons.
        fan_in: inputs that each neuron sees.
        seed: of the choice.
        parts: rule, competition and more; see
            [`PlasticLayer`][streamhebb.layers.plastic.PlasticLayer]. A rule that asks for a dense
            term made of inputs does not fit here.

    Example:
        >>> import torch
        >>> layer = Sparse(784, 100, fan_in=32)
        >>> layer.respond(torch.rand(1, 784)).shape, layer.weight.shape
        (torch.Size([1, 100]), torch.Size([100, 32]))
    """

    sample_ndim = 1

    def __init__(
        self, n_in: int, n_out: int, fan_in: int, *, seed: int = 0, **parts: Unpack[Parts]
    ) -> None:
        super().__init__(SparseSynapse(n_in, n_out, fan_in, seed), **parts)
        self.n_in = n_in
        self.n_out = n_out
        self.fan_in = fan_in
        self.seed = seed
