"""A convolutional layer that learns."""

from __future__ import annotations

from typing import Unpack

from streamhebb.layers.makeup import Parts
from streamhebb.layers.plastic import PlasticLayer
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
        parts: rule, competition and more; see
            [`PlasticLayer`][streamhebb.layers.plastic.PlasticLayer].

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
        **parts: Unpack[Parts],
    ) -> None:
        synapse = ConvSynapse(
            n_in, n_out, kernel_size, stride, padding, padding_mode, dilation, groups
        )
        super().__init__(synapse, **parts)
        self.n_in = n_in
        self.n_out = n_out
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.padding_mode = padding_mode
        self.dilation = dilation
        self.groups = groups
