"""Layers that only rearrange or summarise: pooling and flattening."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers.base import Layer
from streamhebb.parts import require
from streamhebb.values import Shape


class _Pool2d(Layer):
    sample_ndim = 3
    largest: ClassVar[bool]

    def __init__(self, kernel_size: int, stride: int | None = None, padding: int = 0) -> None:
        super().__init__()
        name = type(self).__name__
        require(name, "kernel_size", kernel_size, at_least=1, whole=True)
        stride = kernel_size if stride is None else stride
        require(name, "stride", stride, at_least=1, whole=True)
        require(name, "padding", padding, at_least=0, whole=True)
        if padding > kernel_size // 2:
            raise ConfigError(
                f"{name}: padding={padding} is not allowed; it must be at most half of "
                f"kernel_size={kernel_size}"
            )
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding

    def shape(self, shape: Shape) -> Shape:
        """``(C, H, W) -> (C, OH, OW)``."""
        name = type(self).__name__
        if len(shape) != 3:
            raise ShapeError(f"{name} got samples of shape {shape}; it needs (channels, H, W)")
        sides = [
            (side + 2 * self.padding - self.kernel_size) // self.stride + 1 for side in shape[1:]
        ]
        if min(sides) < 1:
            raise ShapeError(
                f"{name}: a window of {self.kernel_size} does not fit into an image of {shape[1:]}"
                f" with padding {self.padding}"
            )
        return (shape[0], *sides)

    def respond(self, x: Tensor) -> Tensor:
        """Return what is pooled, shape ``(B, C, OH, OW)``."""
        pool = kernels.Pool(self.largest, self.kernel_size, self.stride, self.padding)
        return kernels.pooled(x, pool)


class MaxPool2d(_Pool2d):
    """Largest value of each window.

    Args:
        kernel_size: side of the window.
        stride: step; ``None`` is the side of the window.
        padding: pixels of minus infinity on every side.
    """

    largest = True


class AvgPool2d(_Pool2d):
    """Mean of each window; padding zeros count, as published.

    Args:
        kernel_size: side of the window.
        stride: step; ``None`` is the side of the window.
        padding: pixels of zero on every side.
    """

    largest = False


class Flatten(Layer):
    """One vector per sample, channels first, as torch flattens."""

    def shape(self, shape: Shape) -> Shape:
        """``(...) -> (product,)``."""
        return (math.prod(shape),)

    def respond(self, x: Tensor) -> Tensor:
        """Return shape ``(B, n)``."""
        return x.flatten(1)
