"""A dense layer that learns."""

from __future__ import annotations

from streamhebb.bias import PriorBias
from streamhebb.competition import Competition
from streamhebb.init import Init
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.rates import Rate
from streamhebb.rules import PlasticityRule
from streamhebb.scaling import Scaling
from streamhebb.synapses import DenseSynapse


class Dense(PlasticLayer):
    """A dense layer of neurons that learn from what they see.

    Args:
        n_in: inputs.
        n_out: neurons.
        rule: see [`PlasticLayer`][streamhebb.layers.plastic.PlasticLayer] for this and the other
            parts.
        competition: who learns.
        rate: how fast.
        scaling: what the raw change is divided by.
        init: how the first weights are drawn.
        norm_p: exponent of the radius.
        bias: a learned prior, or ``None``.
        pre_triangle: centre and rectify the drive before competing.
        trained: only the first so many neurons learn.

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
        *,
        rule: PlasticityRule | None = None,
        competition: Competition | None = None,
        rate: Rate | float | None = None,
        scaling: Scaling | None = None,
        init: Init | None = None,
        norm_p: float = 2.0,
        bias: PriorBias | None = None,
        pre_triangle: bool = False,
        trained: int | None = None,
    ) -> None:
        super().__init__(
            DenseSynapse(n_in, n_out),
            rule=rule,
            competition=competition,
            rate=rate,
            scaling=scaling,
            init=init,
            norm_p=norm_p,
            bias=bias,
            pre_triangle=pre_triangle,
            trained=trained,
        )
        self.n_in = n_in
        self.n_out = n_out
