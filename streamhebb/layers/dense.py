"""A dense layer that learns."""

from __future__ import annotations

from typing import Unpack

from streamhebb.layers.makeup import Parts
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.synapses import DenseSynapse


class Dense(PlasticLayer):
    """A dense layer of neurons that learn from what they see.

    Args:
        n_in: inputs.
        n_out: neurons.
        parts: rule, competition and more; see
            [`PlasticLayer`][streamhebb.layers.plastic.PlasticLayer].

    Example:
        >>> import torch
        >>> layer = Dense(784, 100)
        >>> layer.respond(torch.rand(1, 784)).shape
        torch.Size([1, 100])
    """

    sample_ndim = 1

    def __init__(
        self,
        n_in: int,
        n_out: int,
        **parts: Unpack[Parts],
    ) -> None:
        super().__init__(DenseSynapse(n_in, n_out), **parts)
        self.n_in = n_in
        self.n_out = n_out
