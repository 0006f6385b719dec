"""Passes of several steps over images, for Triton; see [`images`][streamhebb.kernels.images].

On a card a step of one sample takes about as long as the number of its launches says, so each of
these is one launch, or two where one would leave most of the card idle. Work is cut by shape only,
as in [`triton_launch`][streamhebb.kernels.triton_launch].
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from streamhebb.kernels import triton_image_kernels as on_card
from streamhebb.kernels import triton_moment_kernels as statistical
from streamhebb.kernels._triton import launch
from streamhebb.kernels.images import Pool, Pooled
from streamhebb.kernels.triton_launch import pieces, power_of_2

PIXELS = 1024
"""Of a channel, that one program takes; with twice as many, they are cut."""
PARTS = 64
"""Into which they are cut at most."""
AT_ONCE = 4096
"""Numbers that a block of pixels and channels has at most."""
WINDOW = 1024
"""Pixels of the largest window that is pooled here."""
MANY = 1 << 27
"""Pixels of a batch that are left to torch: they, and those around them, are counted in 32 bits."""


def fuses(x: Tensor) -> bool:
    """Whether images have a shape that kernels work on."""
    return x.ndim == 4 and x.numel() > 0 and x.numel() // x.shape[1] < MANY


def moments(x: Tensor, each: bool) -> tuple[Tensor, Tensor]:
    """See `streamhebb.kernels.moments`."""
    mean, var = _moments(x, each, "moments", 2)
    return mean, var


def statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """See `streamhebb.kernels.statistics`."""
    mean, scale, var = _moments(x, False, "batch", 3, eps=eps)
    return mean, scale, var[0]


def running_moments(
    x: Tensor, past: tuple[Tensor, Tensor, Tensor], least: float, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See `streamhebb.kernels.running_moments`."""
    mean, var, middle, scale = _moments(x, True, "running", 4, past, least, eps)
    return mean, var, middle, scale


def _moments(
    x: Tensor, each: bool, end: str, number: int,
    past: tuple[Tensor, ...] = (), least: float = 0.0, eps: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """What is to be known of each channel, by groups of images: ``number`` of ``(groups, C)``."""
    images, channels, height, width = x.shape
    groups = images if each else 1
    count = images // groups * height * width
    wide = power_of_2(channels, 1, 16)
    tall = power_of_2(count, 16, AT_ONCE // wide)
    parts = max(1, min(count // PIXELS, PARTS))
    share = pieces(pieces(count, parts), tall) * tall
    parts = pieces(count, share)
    blocks = groups * pieces(channels, wide)

    found = x.new_empty(number, groups, channels).unbind()
    # An argument that is not there is another one.
    to = (*found, *(x,) * (4 - number))
    known = past or (x,) * 3
    numbers = eps, least, count / max(count - 1, 1)
    sums = to
    if parts > 1:
        means, squares = x.new_empty(2, parts, groups, channels).unbind()
        sums = means, squares, x.new_empty(groups, channels), x
    launch(
        statistical.moments, (blocks, parts), x, *sums, *known,
        channels, height, width, count, share, *x.stride(), *numbers,
        END="part" if parts > 1 else end, BLOCK_P=tall, BLOCK_C=wide,
        num_warps=8 if tall * wide == AT_ONCE else 4,
    )  # fmt: skip
    if parts > 1:
        launch(
            statistical.join, (blocks,), *sums[:3], parts, groups * channels, *to, *known,
            channels, count, share, *numbers,
            END=end, PARTS=power_of_2(parts, 2, PARTS), BLOCK_C=wide, num_warps=4,
        )  # fmt: skip
    return found


def follow(past: tuple[Tensor, Tensor, Tensor], mean: Tensor, var: Tensor, least: float) -> None:
    """See `streamhebb.kernels.follow`."""
    n, channels = mean.shape
    wide = power_of_2(channels, 1, 64)
    launch(
        statistical.follow, (pieces(channels, wide),), *past, mean.contiguous(), var.contiguous(),
        n, channels, least, BLOCK_N=power_of_2(n, 1, 32), BLOCK_C=wide, num_warps=4,
    )  # fmt: skip
    past[2].add_(n)
    torch.autograd.graph.increment_version(past[:2])


def move(mean: Tensor, var: Tensor, to: tuple[Tensor, Tensor], share: float) -> None:
    """See `streamhebb.kernels.move`."""
    n = len(mean)
    block = power_of_2(n, 32, 256)
    launch(
        statistical.lerp, (pieces(n, block),), mean, var, *(v.contiguous() for v in to), n, share,
        BLOCK=block, num_warps=1,
    )  # fmt: skip
    torch.autograd.graph.increment_version((mean, var))


def padded(
    x: Tensor, mean: Tensor | None, scale: Tensor | None, padding: int, reflect: bool
) -> Tensor:
    """See `streamhebb.kernels.padded`; normalises first if there is a mean."""
    images, channels, height, width = x.shape
    high, wide = height + 2 * padding, width + 2 * padding
    out = x.new_empty(images, high, wide, channels)
    some = power_of_2(channels, 1, 64)
    across = power_of_2(wide, 1, 1024 // some)
    middle, factor = (x[:, :, 0, 0] if v is None else v.expand(images, -1) for v in (mean, scale))
    launch(
        on_card.padded, (images * high, pieces(wide, across) * pieces(channels, some)),
        x, middle, factor, out, channels, height, width, high, wide, padding,
        *x.stride(), *middle.stride(), *factor.stride(),
        SCALES=mean is not None, REFLECTS=reflect and padding > 0,
        BLOCK_X=across, BLOCK_C=some, num_warps=4,
    )  # fmt: skip
    return out


def pooled(x: Tensor, power: float, pool: Pool) -> Tensor | None:
    """See `streamhebb.kernels.pooled`; rectifies first; ``None`` if kernels do not serve."""
    sides = _sides(x, pool)
    if pool.kernel**2 > WINDOW or 2 * pool.padding > pool.kernel or min(sides) < 1 or power <= 0:
        return None
    channels, (high, wide) = x.shape[1], sides
    last = high * wide * channels, 1, wide * channels, channels
    found = Pooled.like(x, (len(x), channels, high, wide), last)
    found.pool = partial(_pooled, x, power, pool)
    return found


def rectified(x: Tensor, power: float) -> Tensor | None:
    """See `streamhebb.kernels.rectified`; ``None`` if kernels do not serve."""
    if not x.is_contiguous(memory_format=torch.channels_last) or power <= 0:
        return None  # what it says of its order in memory must be true
    return _pooled(x, power, Pool(True, 1, 1, 0))


def scaled(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor | None:
    """See `streamhebb.kernels.scaled`; ``None`` if kernels do not serve."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return None
    return padded(x, mean, scale, 0, False).permute(0, 3, 1, 2)


def _sides(x: Tensor, pool: Pool) -> list[int]:
    """Of what is pooled."""
    return [(side + 2 * pool.padding - pool.kernel) // pool.stride + 1 for side in x.shape[2:]]


def _pooled(x: Tensor, power: float, pool: Pool, then: float = 1.0) -> Tensor:
    """Rectify, raise to a power, pool, and raise to another."""
    images, channels, height, width = x.shape
    high, wide = _sides(x, pool)
    out = x.new_empty(images, high, wide, channels)
    window = power_of_2(pool.kernel**2, 1, WINDOW)
    some = power_of_2(channels, 16, max(16, 2 * AT_ONCE // window))
    launch(
        on_card.pooled, (images * high * wide,),
        x, out, channels, height, width, high, wide, pool.stride, pool.padding, *x.stride(),
        *_in_two(power), *_in_two(then),
        LARGEST=pool.largest, RAISES=power != 1, THEN=then != 1, WHOLE=channels <= some,
        KERNEL=pool.kernel, BLOCK_W=window, BLOCK_C=some,
        num_warps=8 if window * some >= AT_ONCE else 4,
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


def powers(x: Tensor, power: float) -> Tensor:
    """See `streamhebb.kernels.powers`; of numbers that lie one after the other."""
    out = torch.empty_like(x)
    launch(
        on_card.powers, (pieces(x.numel(), 1024),), x, out, x.numel(), *_in_two(power),
        BLOCK=1024, num_warps=4,
    )  # fmt: skip
    return out


def _in_two(power: float) -> tuple[float, float]:
    """A power as 16 binary digits and the rest.

    Example:
        >>> _in_two(0.5), sum(_in_two(0.7)) == 0.7
        ((0.5, 0.0), True)
    """
    mantissa, exponent = math.frexp(power)
    digits = math.ldexp(round(mantissa * 65536), exponent - 16)
    return digits, power - digits
