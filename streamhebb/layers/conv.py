"""A convolutional layer that learns."""

from __future__ import annotations

from streamhebb.bias import PriorBias
from streamhebb.competition import Competition
from streamhebb.init import Init
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.rates import Rate
from streamhebb.rules import PlasticityRule
from streamhebb.scaling import Scaling
from streamhebb.synapses import ConvSynapse


class Conv2d(PlasticLayer):
    """A convolutional layer of neurons that learn; every output pixel is a competition.

    Args:
        n_in: input channels.
        n_out: neurons, that is output channels.
        kernel_size: side of the square window.
        stride: step of the window.
        padding: pixels added on every side.
        padding_mode: ``"reflect"`` (as published) or ``"zeros"``.
        dilation: step between the window's pixels.
        groups: channels and neurons are split in this many separate groups.
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
        >>> layer = Conv2d(3, 96, kernel_size=5, padding=2)
        >>> layer.respond(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 96, 32, 32])
    """

    sample_ndim = 3

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        padding_mode: str = "reflect",
        dilation: int = 1,
        groups: int = 1,
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
            ConvSynapse(n_in, n_out, kernel_size, stride, padding, padding_mode, dilation, groups),
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
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.padding_mode = padding_mode
        self.dilation = dilation
        self.groups = groups
