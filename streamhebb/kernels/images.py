"""What stands around the products of a convolution: normalise, pad, rectify, pool.

Two steps that follow each other are one pass where the backend has such a pass: what the first step
gives is then [still to be made][streamhebb.lazy].
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.kernels.choice import active
from streamhebb.kernels.torch_backend import raised
from streamhebb.lazy import Lazy, made


class Pool(NamedTuple):
    """How pixels are pooled.

    Args:
        largest: whether to take the largest of a window; else its mean, with zeros outside.
        kernel: side of a window.
        stride: step of the window.
        padding: pixels on every side.
    """

    largest: bool
    kernel: int
    stride: int
    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        """Pool by torch's own operator."""
        pool: Callable[..., Tensor] = F.max_pool2d if self.largest else F.avg_pool2d
        return pool(x, self.kernel, self.stride, self.padding)


class Scaled(Lazy):
    """Images less a mean, times a scale, by channel."""

    x: Tensor
    middle: Tensor
    factor: Tensor
    backend: ModuleType

    def make(self) -> Tensor:
        """Normalise."""
        found: Tensor | None = self.backend.scaled(self.x, self.middle, self.factor)
        if found is None:
            found = (self.x - self.middle[..., None, None]) * self.factor[..., None, None]
        return found


class Rectified(Lazy):
    """What lies above the mean of each pixel, to a power."""

    x: Tensor
    power: float
    backend: ModuleType

    def make(self) -> Tensor:
        """Rectify."""
        found: Tensor | None = self.backend.rectified(self.x, self.power)
        return _rectified(self.x, self.power) if found is None else found


class Pooled(Lazy):
    """Rectified images, pooled, channels last; a power that follows is part of the pass."""

    pool: Callable[[float], Tensor]

    def make(self) -> Tensor:
        """Pool."""
        return self.pool(1.0)


def fuses(x: Tensor) -> bool:
    """Whether the backend works on images like these in passes of several steps."""
    found: bool = active().fuses(made_of(x))
    return found


def made_of(x: Tensor) -> Tensor:
    """What a tensor is made of, if it is still to be made."""
    return x.x if isinstance(x, (Scaled, Rectified)) else x


def moments(x: Tensor, each: bool) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of every channel, $\frac1n \sum (x - \mu)^2$.

    Args:
        x: shape ``(B, C, H, W)``.
        each: whether of each image, ``(B, C)``; else of all of them, ``(1, C)``.

    Example:
        >>> moments(torch.tensor([[[[1.0, 3.0]]]]), each=True)
        (tensor([[2.]]), tensor([[1.]]))
    """
    if fuses(x):
        mean, var = active().moments(made(x), each)
        return mean, var
    if each:
        var, mean = torch.var_mean(x.flatten(2), 2, correction=0)
    else:
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        var, mean = var[None], mean[None]
    return mean, var


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    r"""What normalises a mini-batch, by channel.

    Args:
        x: shape ``(B, C, H, W)``.
        eps: added to the variance.

    Returns:
        Mean and scale, $1 / \sqrt{\sigma^2 + \epsilon}$, both ``(1, C)``, and the variance without
        bias, $\frac{1}{n-1} \sum (x - \mu)^2$, ``(C,)``.

    Example:
        >>> statistics(torch.tensor([[[[1.0, 5.0]]]]), 0.0)
        (tensor([[3.]]), tensor([[0.5000]]), tensor([8.]))
    """
    found: tuple[Tensor, Tensor, Tensor] | None = None
    if fuses(x):
        found = active().statistics(made(x), eps)
    if found is None:
        mean, var = moments(x, each=False)
        count = x.numel() // x.shape[1]
        found = mean, (var + eps).rsqrt_(), var[0] * (count / max(count - 1, 1))
    return found


def running_moments(
    x: Tensor, past: tuple[Tensor, Tensor, Tensor], least: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Moments of each image, and what normalises it after others; see `RunningNorm`.

    Args:
        x: shape ``(B, C, H, W)``.
        past: running mean and variance, ``(C,)``, and how many samples they have seen.
        least: share of an image in the statistics, at least.
        eps: added to the variance.

    Returns:
        Mean and variance of each image, mean and scale to normalise it with, all ``(B, C)``;
        ``None`` if the backend has no pass for them.
    """
    found: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    if fuses(x):
        found = active().running_moments(made(x), past, least, eps)
    return found


def follow(past: tuple[Tensor, Tensor, Tensor], mean: Tensor, var: Tensor, least: float) -> bool:
    """Move running statistics by the moments of samples; see `RunningNorm`.

    Args:
        past: running mean and variance, ``(C,)``, and how many samples they have seen; changed.
        mean: of each sample, ``(B, C)``.
        var: same shape.
        least: share of all of them in the statistics, at least.

    Returns:
        Whether the backend has a pass for it; if not, nothing was done.
    """
    done: bool = active().follow(past, mean, var, least)
    return done


def move(mean: Tensor, var: Tensor, to: tuple[Tensor, Tensor], share: float) -> None:
    r"""Move running statistics in place, $m \leftarrow m + s\,(\mu - m)$.

    Args:
        mean: shape ``(C,)``.
        var: same shape.
        to: what they move to.
        share: of the way.

    Example:
        >>> mean, var = torch.zeros(1), torch.ones(1)
        >>> move(mean, var, (torch.ones(1), torch.ones(1)), 0.25)
        >>> mean, var
        (tensor([0.2500]), tensor([1.]))
    """
    active().move(mean, var, to, share)


def scaled(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    r"""Normalised images, $(x - \mu)\, s$.

    Args:
        x: shape ``(B, C, H, W)``.
        mean: shape ``(1, C)`` or ``(B, C)``.
        scale: same shape.

    Example:
        >>> scaled(torch.ones(1, 1, 1, 2), torch.ones(1, 1), torch.ones(1, 1))
        tensor([[[[0., 0.]]]])
    """
    if not fuses(x):
        return (x - mean[..., None, None]) * scale[..., None, None]
    x = made(x)
    found = Scaled.like(x)
    found.x, found.middle, found.factor, found.backend = x, mean, scale, active()
    return found


def padded(x: Tensor, padding: int, reflect: bool) -> Tensor:
    """Images with pixels added on every side, channels last, contiguous.

    Args:
        x: shape ``(B, C, H, W)``.
        padding: pixels.
        reflect: whether they reflect the image; else they are 0.

    Returns:
        Shape ``(B, H + 2 * padding, W + 2 * padding, C)``.

    Example:
        >>> padded(torch.ones(1, 1, 1, 1), 1, reflect=False)[0, 1]
        tensor([[0.],
                [1.],
                [0.]])
    """
    if fuses(x):
        if isinstance(x, Scaled):
            found: Tensor = active().padded(x.x, x.middle, x.factor, padding, reflect)
        else:
            found = active().padded(made(x), None, None, padding, reflect)
        return found
    if padding:
        x = F.pad(x, (padding,) * 4, mode="reflect" if reflect else "constant")
    return x.permute(0, 2, 3, 1).contiguous()


def rectified(x: Tensor, power: float) -> Tensor:
    r"""What lies above the mean over channels, $\max(0, x_j - \bar x)^{power}$.

    Args:
        x: shape ``(B, C, ...)``.
        power: exponent.

    Example:
        >>> rectified(torch.tensor([[0.0, 1.0, 5.0]]), 2.0)
        tensor([[0., 0., 9.]])
    """
    if not fuses(x):
        return _rectified(x, power)
    x = made(x)
    found = Rectified.like(x)
    found.x, found.power, found.backend = x, power, active()
    return found


def pooled(x: Tensor, pool: Pool) -> Tensor:
    """Pool images.

    Args:
        x: shape ``(B, C, H, W)``.
        pool: how.

    Example:
        >>> pooled(torch.ones(1, 1, 2, 2), Pool(largest=True, kernel=2, stride=2, padding=0))
        tensor([[[[1.]]]])
    """
    if isinstance(x, Rectified) and fuses(x):
        found: Tensor | None = active().pooled(x.x, x.power, pool)
        if found is not None:
            return found
    return pool(made(x))


def powers(x: Tensor, power: float) -> Tensor:
    """Rectified numbers to a power, ``max(0, x) ** power``.

    Example:
        >>> powers(torch.tensor([-1.0, 3.0]), 2.0)
        tensor([0., 9.])
    """
    if isinstance(x, Pooled) and power > 0:
        return x.pool(power)
    found: Tensor = active().powers(made(x), power)
    return found


def _rectified(x: Tensor, power: float) -> Tensor:
    return raised((x - x.mean(1, keepdim=True)).relu_(), power)
