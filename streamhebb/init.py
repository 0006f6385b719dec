"""Initial weights, drawn so that the expected radius is what was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from streamhebb.parts import require


class Init(Protocol):
    """Draws the initial weights of a layer."""

    def draw(self, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
        """Return float32 weights, shape ``(n_out, ...)``, of expected p-norm ``radius``."""
        ...


def _fan_in(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


def _uniform_scale(radius: float, fan_in: int, p: float) -> float:
    """Scale a of U[0, a) or U(-a, a): the mean of |w|^p is a^p / (p + 1)."""
    return float(((p + 1) * radius**p / fan_in) ** (1 / p))


def _normal_moment(p: float) -> float:
    """Mean of |z|^p for a standard normal z; 1 for p = 2."""
    return 2 ** (p / 2) * math.gamma((p + 1) / 2) / math.sqrt(math.pi)


@dataclass(frozen=True)
class Normal:
    r"""Normal weights: $a\,N(0, 1)$, $a = (R^p / (F M_p))^{1/p}$; for $p = 2$, $R/\sqrt F$.

    Args:
        radius: $R$, the expected p-norm of a neuron's weights.
    """

    radius: float = 25.0

    def __post_init__(self) -> None:
        require("Normal", "radius", self.radius, above=0)

    def draw(self, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
        """Draw the weights."""
        scale = (self.radius**p / (_fan_in(shape) * _normal_moment(p))) ** (1 / p)
        return float(scale) * torch.randn(shape, generator=generator, dtype=torch.float32)


@dataclass(frozen=True)
class Positive:
    r"""Positive weights $a\,U[0, 1)$, $a = ((p + 1) R^p / F)^{1/p}$: for inputs not centred.

    Args:
        radius: $R$, the expected p-norm of a neuron's weights.
    """

    radius: float = 25.0

    def __post_init__(self) -> None:
        require("Positive", "radius", self.radius, above=0)

    def draw(self, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
        """Draw the weights."""
        scale = _uniform_scale(self.radius, _fan_in(shape), p)
        return scale * torch.rand(shape, generator=generator, dtype=torch.float32)


@dataclass(frozen=True)
class Negative:
    r"""Negative weights: $-a\,U[0, 1)$, the mirror image of [`Positive`][streamhebb.init.Positive].

    Args:
        radius: $R$, the expected p-norm of a neuron's weights.
    """

    radius: float = 25.0

    def __post_init__(self) -> None:
        require("Negative", "radius", self.radius, above=0)

    def draw(self, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
        """Draw the weights."""
        return -Positive(self.radius).draw(shape, p, generator)


@dataclass(frozen=True)
class Uniform:
    r"""Uniform weights of mean zero: $a\,U(-1, 1)$.

    The published "zero_mean" has mean 1 and ignores its scale; here the name is true.

    Args:
        radius: $R$, the expected p-norm of a neuron's weights.
    """

    radius: float = 25.0

    def __post_init__(self) -> None:
        require("Uniform", "radius", self.radius, above=0)

    def draw(self, shape: tuple[int, ...], p: float, generator: Generator | None) -> Tensor:
        """Draw the weights."""
        scale = _uniform_scale(self.radius, _fan_in(shape), p)
        return scale * (2 * torch.rand(shape, generator=generator, dtype=torch.float32) - 1)
