"""The published learning step, written down plainly: one torch call for each thing it says.

It is what somebody writes who reads the paper: a convolution, a softmax, the winner's sign, the
correlation as a convolution of input and output, the largest change, an optimiser's pass and a pass
for the rates. It is the base that speeds are compared with; nothing in the library uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.competition import SoftWTA
from streamhebb.errors import ConfigError
from streamhebb.layers import AvgPool2d, Conv2d, Layer, MaxPool2d, RePU, Triangle
from streamhebb.rates import NormRate


@dataclass
class Block:
    """A convolution that learns, and what stands around it.

    Args:
        weight: ``(K, C, k, k)``; changed in place.
        padding: reflected pixels on every side.
        t: inverse temperature.
        lr: base rate.
        power: exponent of the rate that depends on the radius.
        triangle: power of the activation.
        pool: ``"max"`` or ``"avg"``, kernel, stride, padding.
    """

    weight: Tensor
    padding: int
    t: float
    lr: float
    power: float
    triangle: float
    pool: tuple[str, int, int, int]

    def __post_init__(self) -> None:
        self.mean = self.weight.new_zeros(self.weight.shape[1])
        self.variance = self.weight.new_ones(self.weight.shape[1])
        self.rate = self._rate()

    def _rate(self) -> Tensor:
        radius = self.weight.flatten(1).norm(dim=1)
        rate: Tensor = self.lr * ((radius - 1).abs() + 1e-10) ** self.power
        return rate[:, None, None, None]

    def step(self, x: Tensor, *, learn: bool = True) -> Tensor:
        """Pass a batch on; learn from it.

        Args:
            x: ``(B, C, H, W)``.
            learn: whether weights change.
        """
        x = F.batch_norm(x, self.mean, self.variance, training=True)
        x = F.pad(x, (self.padding,) * 4, mode="reflect")
        u = F.conv2d(x, self.weight)
        if learn:
            self._learn(x, u)
        out = (u - u.mean(1, keepdim=True)).relu() ** self.triangle
        kind, kernel, stride, padding = self.pool
        return (F.max_pool2d if kind == "max" else F.avg_pool2d)(out, kernel, stride, padding)

    def _learn(self, x: Tensor, u: Tensor) -> None:
        share = torch.softmax(self.t * u, 1)
        winner = torch.zeros_like(u).scatter_(1, u.argmax(1, keepdim=True), 1.0)
        y = share * (2 * winner - 1)
        yx = F.conv2d(x.transpose(0, 1), y.transpose(0, 1)).transpose(0, 1)
        yu = (y * u).sum((0, 2, 3))[:, None, None, None]
        delta = yx - yu * self.weight
        delta = delta / (delta.abs().max() + 1e-30)
        self.weight.add_(self.rate * delta)  # the optimiser's pass
        self.rate = self._rate()  # the scheduler's pass


class PlainNet:
    """A net of such blocks.

    Args:
        blocks: from input to output.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = list(blocks)

    @torch.no_grad()
    def step(self, x: Tensor, *, learn: bool = True) -> Tensor:
        """Pass a batch ``(B, C, H, W)`` through; learn from it."""
        for block in self.blocks:
            x = block.step(x, learn=learn)
        return x.flatten(1)


def plain(layers: Sequence[Layer]) -> PlainNet:
    """The plain form of a net of the published kind, from the same weights.

    Args:
        layers: ``BatchNorm``, ``Conv2d``, ``Triangle``, a pool and perhaps ``RePU``, again and
            again; then what has nothing to compute.

    Raises:
        ConfigError: for other layers.
    """
    blocks, at = [], list(layers)
    while len(at) >= 4:
        _norm, conv, triangle, pool, *at = at
        power = 1.0
        after = at[0] if at else None
        if isinstance(after, RePU):  # after the pool, with which it commutes
            power, at = after.power, at[1:]
        blocks.append(_block(conv, triangle, pool, power))
    return PlainNet(blocks)


def _block(conv: Layer, triangle: Layer, pool: Layer, power: float) -> Block:
    found = conv, triangle, pool
    if not (
        isinstance(conv, Conv2d)
        and isinstance(conv.competition, SoftWTA)
        and isinstance(conv.rate, NormRate)
        and isinstance(triangle, Triangle)
        and isinstance(pool, (MaxPool2d, AvgPool2d))
    ):
        raise ConfigError(f"these are not layers of the published kind: {found}")
    kind = "max" if isinstance(pool, MaxPool2d) else "avg"
    return Block(
        conv.kernel.contiguous().clone(),
        conv.padding,
        conv.competition.t,
        conv.rate.lr,
        conv.rate.power,
        triangle.power * power,
        (kind, pool.kernel_size, pool.stride, pool.padding),
    )
