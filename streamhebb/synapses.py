"""How neurons are wired to their input: dense, convolutional, or sparse.

A synapse turns a layer's input into *what each competition sees* (rows of a matrix) and the drive
back into the layer's output. Rules and competitions never know which synapse they are on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.parts import require, require_choice
from streamhebb.values import Shape


class Synapse(Protocol):
    """The wiring of one layer.

    Attributes:
        n_out: number of neurons.
        groups: number of groups of neurons that see, and compete for, separate channels.
        row_size: inputs in one row of what competitions see.
        weight_shape: shape in which weights are drawn and shown, ``(n_out, ...)``.
        nonlocal_parts: names of what looks beyond one synapse and its two neurons.
        methods: how its products can be made; the first is the default.
    """

    @property
    def n_out(self) -> int:
        """Number of neurons."""
        ...

    @property
    def groups(self) -> int:
        """Number of groups."""
        ...

    @property
    def row_size(self) -> int:
        """Inputs in one row of what competitions see."""
        ...

    @property
    def weight_shape(self) -> Shape:
        """Shape of the weights as users see them."""
        ...

    @property
    def nonlocal_parts(self) -> tuple[str, ...]:
        """Names of what looks beyond one synapse and its two neurons."""
        ...

    @property
    def methods(self) -> tuple[str, ...]:
        """How its products can be made; the first is the default."""
        ...

    def flat(self, weight: Tensor) -> Tensor:
        """Bring weights from ``weight_shape`` to the matrix ``(n_out, n_in)``."""
        ...

    def shown(self, matrix: Tensor) -> Tensor:
        """Bring the matrix ``(n_out, n_in)`` back to ``weight_shape``."""
        ...

    def shape(self, shape: Shape) -> Shape:
        """Shape of one sample's output, from that of its input."""
        ...

    def see(self, x: Tensor, method: str = "direct", coarse: bool = False) -> Tensor:
        """Rows that the competitions see: ``(n, n_in)``, or ``(groups, n, n_in)``."""
        ...

    def fold(self, drive: Tensor, x: Tensor) -> Tensor:
        """Bring the drive of all competitions into the layer's output for input ``x``."""
        ...

    def wiring(self) -> Tensor | None:
        """Which inputs each neuron sees, ``(n_out, fan_in)``; ``None`` where it sees all."""
        ...


class _VectorSynapse:
    """What all synapses on vectors have in common: one group, one competition per sample."""

    n_in: int
    n_out: int
    layer: ClassVar[str]  # name of the layer, for errors

    @property
    def groups(self) -> int:
        """One group."""
        return 1

    @property
    def row_size(self) -> int:
        """All inputs."""
        return self.n_in

    @property
    def nonlocal_parts(self) -> tuple[str, ...]:
        """None: every synapse is its own."""
        return ()

    @property
    def methods(self) -> tuple[str, ...]:
        """One only."""
        return ("direct",)

    def flat(self, weight: Tensor) -> Tensor:
        """Return the matrix itself."""
        return weight

    def shown(self, matrix: Tensor) -> Tensor:
        """Return the matrix itself."""
        return matrix

    def shape(self, shape: Shape) -> Shape:
        """``(..., n_in) -> (..., n_out)``."""
        if not shape or shape[-1] != self.n_in:
            raise ShapeError(
                f"{self.layer}({self.n_in}, {self.n_out}) got samples of shape {shape}; it needs "
                f"(..., {self.n_in}). Put Flatten() before it, or set n_in={math.prod(shape)}"
            )
        return (*shape[:-1], self.n_out)

    def see(self, x: Tensor, method: str = "direct", coarse: bool = False) -> Tensor:
        """One row per sample, with all inputs."""
        return x.reshape(-1, self.n_in)

    def fold(self, drive: Tensor, x: Tensor) -> Tensor:
        """Give the drive the leading dimensions of ``x``."""
        return drive.view(*x.shape[:-1], self.n_out)


@dataclass(frozen=True)
class DenseSynapse(_VectorSynapse):
    """Every neuron sees the whole input vector; one competition per sample.

    Args:
        n_in: inputs.
        n_out: neurons.
    """

    n_in: int
    n_out: int
    layer: ClassVar[str] = "Dense"

    def __post_init__(self) -> None:
        require("Dense", "n_in", self.n_in, at_least=1, whole=True)
        require("Dense", "n_out", self.n_out, at_least=1, whole=True)

    @property
    def weight_shape(self) -> Shape:
        """``(n_out, n_in)``."""
        return (self.n_out, self.n_in)

    def wiring(self) -> None:
        """Every neuron sees every input."""


@dataclass(frozen=True)
class ConvSynapse:
    """Every neuron (channel) looks through a window that slides; one competition per output pixel.

    Args:
        n_in: input channels.
        n_out: neurons, that is output channels.
        kernel_size: side of the square window.
        stride: step of the window.
        padding: pixels added on every side.
        padding_mode: ``"reflect"`` (as published) or ``"zeros"``.
        dilation: step between the window's pixels.
        groups: channels and neurons are split in this many separate groups.
    """

    n_in: int
    n_out: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    padding_mode: str = "reflect"
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out", "kernel_size", "stride", "dilation", "groups"):
            require("Conv2d", name, getattr(self, name), at_least=1, whole=True)
        require("Conv2d", "padding", self.padding, at_least=0, whole=True)
        require_choice("Conv2d", "padding_mode", self.padding_mode, ("reflect", "zeros"))
        if self.n_in % self.groups or self.n_out % self.groups:
            raise ConfigError(
                f"Conv2d: groups={self.groups} must divide both n_in={self.n_in} and "
                f"n_out={self.n_out}"
            )

    @property
    def row_size(self) -> int:
        """All pixels of a window."""
        return self.n_in // self.groups * self.kernel_size**2

    @property
    def weight_shape(self) -> Shape:
        """``(n_out, n_in / groups, kernel_size, kernel_size)``."""
        return (self.n_out, self.n_in // self.groups, self.kernel_size, self.kernel_size)

    @property
    def nonlocal_parts(self) -> tuple[str, ...]:
        """The weights that all output pixels share."""
        return ("weight sharing",)

    @property
    def methods(self) -> tuple[str, ...]:
        """Tiles need 3 x 3 windows side by side, and one group."""
        plain = (self.kernel_size, self.stride, self.dilation, self.groups) == (3, 1, 1, 1)
        return tuple(kernels.METHODS) if plain else ("direct",)

    def flat(self, weight: Tensor) -> Tensor:
        """Rows in the order (kernel row, kernel column, channel), as windows are."""
        return weight.permute(0, 2, 3, 1).reshape(self.n_out, -1)

    def shown(self, matrix: Tensor) -> Tensor:
        """A view in the order torch uses."""
        k = self.kernel_size
        return matrix.view(self.n_out, k, k, self.n_in // self.groups).permute(0, 3, 1, 2)

    def _side(self, length: int) -> int:
        reach = self.dilation * (self.kernel_size - 1) + 1
        return (length + 2 * self.padding - reach) // self.stride + 1

    def shape(self, shape: Shape) -> Shape:
        """``(n_in, H, W) -> (n_out, OH, OW)``."""
        if len(shape) != 3 or shape[0] != self.n_in:
            raise ShapeError(
                f"Conv2d({self.n_in}, {self.n_out}) got samples of shape {shape}; it needs "
                f"({self.n_in}, height, width)"
            )
        if self.padding_mode == "reflect" and self.padding >= min(shape[1:]):
            raise ShapeError(
                f"Conv2d: padding={self.padding} reflects beyond an image of {shape[1:]}; it must "
                f"be smaller than each side, or use padding_mode='zeros'"
            )
        out = (self.n_out, self._side(shape[1]), self._side(shape[2]))
        if min(out) < 1:
            raise ShapeError(
                f"Conv2d: a window of {self.kernel_size} with dilation {self.dilation} does not "
                f"fit into an image of {shape[1:]} with padding {self.padding}"
            )
        return out

    def see(self, x: Tensor, method: str = "direct", coarse: bool = False) -> Tensor:
        """One row per output pixel."""
        image = kernels.padded(x, self.padding, self.padding_mode == "reflect")
        kernel = (self.kernel_size, self.kernel_size)
        if self.groups == 1 and not torch.is_grad_enabled():  # they hand no gradient on
            side = kernels.METHODS[method]
            return kernels.Patches(image, side, coarse, kernel, self.stride, self.dilation)
        if self.groups == 1:
            rows = kernels.windows(image, kernel, self.stride, self.dilation)
            return rows.reshape(-1, rows.shape[-1])  # a 1x1 window with a stride is a view
        parts = (
            image.view(*image.shape[:3], self.groups, self.n_in // self.groups)
            .permute(3, 0, 1, 2, 4)
            .contiguous()
        )
        rows = kernels.windows(parts.flatten(0, 1), kernel, self.stride, self.dilation)
        return rows.reshape(self.groups, -1, rows.shape[-1])

    def fold(self, drive: Tensor, x: Tensor) -> Tensor:
        """``(n, n_out)`` to ``(B, n_out, OH, OW)``, channels last in memory."""
        if self.groups > 1:
            drive = drive.transpose(0, 1).reshape(-1, self.n_out)
        sides = (self._side(x.shape[2]), self._side(x.shape[3]))
        return drive.view(x.shape[0], *sides, self.n_out).permute(0, 3, 1, 2)

    def wiring(self) -> None:
        """Every neuron sees its whole window."""


@dataclass(frozen=True)
class SparseSynapse(_VectorSynapse):
    """Every neuron sees a fixed random choice of inputs; one competition per sample.

    Args:
        n_in: inputs.
        n_out: neurons.
        fan_in: inputs that each neuron sees, all different.
        seed: of the choice, which is part of the wiring and never learned.
    """

    n_in: int
    n_out: int
    fan_in: int
    seed: int = 0
    layer: ClassVar[str] = "Sparse"

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out", "fan_in"):
            require("Sparse", name, getattr(self, name), at_least=1, whole=True)
        require("Sparse", "seed", self.seed, at_least=0, whole=True)
        if self.fan_in > self.n_in:
            raise ConfigError(
                f"Sparse: fan_in={self.fan_in} is not allowed; it must be at most n_in={self.n_in}"
            )

    @property
    def weight_shape(self) -> Shape:
        """``(n_out, fan_in)``."""
        return (self.n_out, self.fan_in)

    def wiring(self) -> Tensor:
        """Draw the inputs of each neuron, in rising order, shape ``(n_out, fan_in)``."""
        chance = torch.Generator().manual_seed(self.seed)
        rows = [
            torch.randperm(self.n_in, generator=chance)[: self.fan_in] for _ in range(self.n_out)
        ]
        return torch.stack(rows).sort(1).values
