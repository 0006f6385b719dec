"""Layers for the control by back-propagation: the only ones that follow a gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from streamhebb.layers.base import Layer
from streamhebb.parts import require_choice
from streamhebb.synapses import ConvSynapse, DenseSynapse
from streamhebb.values import Shape

NONLOCAL = "back-propagation"
"""What such a layer reports as not local."""


class _Backprop(Layer):
    """Weights, and perhaps a bias, as parameters; first values as torch draws them."""

    weight: Tensor
    bias_weight: Tensor | None

    def __init__(self, synapse: ConvSynapse | DenseSynapse, bias: bool) -> None:
        super().__init__()
        require_choice(type(self).__name__, "bias", bias, (True, False))
        self.synapse = synapse
        self.bias = bias
        self.weight = nn.Parameter(torch.empty(synapse.weight_shape))
        self.bias_weight = nn.Parameter(torch.empty(synapse.n_out)) if bias else None
        self.reset()

    def shape(self, shape: Shape) -> Shape:
        """Shape of one sample's output."""
        return self.synapse.shape(shape)

    def nonlocal_parts(self) -> tuple[str, ...]:
        """The gradient, and weights that all output pixels share."""
        return (NONLOCAL, *self.synapse.nonlocal_parts)

    @torch.no_grad()
    def reset(self, generator: Generator | None = None) -> None:
        r"""Draw $U(-1, 1)/\sqrt F$, the framework's default, with the number of inputs $F$."""
        bound = 1 / math.sqrt(self.synapse.row_size)
        for value in (self.weight, self.bias_weight):
            if value is not None:
                drawn = torch.rand(value.shape, generator=generator)
                value.copy_((2 * drawn - 1) * bound)


class BackpropDense(_Backprop):
    r"""A dense layer for the control by back-propagation: $u = W x + b$.

    It learns in [`train_phases`][streamhebb.evaluate.phases.train_phases] only, by Adam on the
    cross-entropy of the readout; in a stream its weights stay. **Not local.**

    Args:
        n_in: inputs.
        n_out: neurons.
        bias: whether there is one.

    Example:
        >>> BackpropDense(4, 2).respond(torch.ones(1, 4)).shape
        torch.Size([1, 2])
    """

    sample_ndim = 1

    def __init__(self, n_in: int, n_out: int, bias: bool = True) -> None:
        super().__init__(DenseSynapse(n_in, n_out), bias)
        self.n_in = n_in
        self.n_out = n_out

    def respond(self, x: Tensor) -> Tensor:
        """Return the drive, shape ``(B, n_out)``."""
        return F.linear(x, self.weight, self.bias_weight)


class BackpropConv2d(_Backprop):
    """A convolution for the control by back-propagation, padded as the Hebbian one.

    It learns in [`train_phases`][streamhebb.evaluate.phases.train_phases] only, by Adam on the
    cross-entropy of the readout; in a stream its weights stay. **Not local.**

    Args:
        n_in: input channels.
        n_out: output channels.
        kernel_size: side of the square window.
        stride: step of the window.
        padding: pixels added on every side.
        padding_mode: ``"reflect"`` (as published) or ``"zeros"``.
        dilation: step between the window's pixels.
        groups: channels are split in this many separate groups.
        bias: whether there is one; published nets have none.

    Example:
        >>> layer = BackpropConv2d(3, 96, kernel_size=5, padding=2)
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
        bias: bool = False,
    ) -> None:
        synapse: Any = ConvSynapse(
            n_in, n_out, kernel_size, stride, padding, padding_mode, dilation, groups
        )
        super().__init__(synapse, bias)
        self.n_in = n_in
        self.n_out = n_out
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.padding_mode = padding_mode
        self.dilation = dilation
        self.groups = groups

    def respond(self, x: Tensor) -> Tensor:
        """Return the drive, shape ``(B, n_out, OH, OW)``."""
        if self.padding:
            mode = "constant" if self.padding_mode == "zeros" else "reflect"
            x = F.pad(x, (self.padding,) * 4, mode=mode)
        return F.conv2d(
            x, self.weight, self.bias_weight, self.stride, 0, self.dilation, self.groups
        )
