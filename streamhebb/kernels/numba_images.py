"""Passes of several steps over images, for numba; see [`images`][streamhebb.kernels.images]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from streamhebb.kernels import image_loops, torch_backend
from streamhebb.kernels.images import Pool
from streamhebb.kernels.loops import Array
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.passes import WORTH
from streamhebb.kernels.vector_code import LANES
from streamhebb.sharing import cut, in_pieces

_NONE = np.empty((0, 0), np.float32)


def fuses(x: Tensor) -> bool:
    """Whether loops work on images like these."""
    return (
        x.ndim == 4
        and x.dtype == torch.float32
        and x.is_cpu
        and x.numel() > 0
        and not torch.is_grad_enabled()
    )


def _flat(x: Tensor) -> Tensor | None:
    """Images ``(B, C, H, W)`` as one row, channels last; ``None`` if these fill no vectors."""
    if x.shape[1] % LANES:
        return None
    return x.permute(0, 2, 3, 1).contiguous().view(-1)


def _last(x: Tensor) -> Array:
    """Images ``(B, H, W, C)``, as they lie in memory."""
    return x.permute(0, 2, 3, 1).numpy()


def moments(x: Tensor, each: bool) -> tuple[Tensor, Tensor]:
    """See `streamhebb.kernels.moments`."""
    flat, shape = _flat(x), (len(x) if each else 1, x.shape[1])
    mean, var = x.new_empty(shape), x.new_empty(shape)
    if flat is None:
        image_loops.moments(_last(x), mean.numpy(), var.numpy())
    else:
        image_loops.flat_moments(flat.numpy(), mean.numpy(), var.numpy())
    return mean, var


def padded(
    x: Tensor, mean: Tensor | None, scale: Tensor | None, padding: int, reflect: bool
) -> Tensor:
    """See `streamhebb.kernels.padded`; normalises first if there is a mean."""
    batch, channels, height, width = x.shape
    out = fresh((batch, height + 2 * padding, width + 2 * padding, channels), x)
    middle, factor = (
        _NONE if each is None else each.contiguous().numpy() for each in (mean, scale)
    )
    flat = _flat(x)
    if flat is None:
        image_loops.padded(_last(x), middle, factor, padding, reflect, out.numpy())
    else:
        size, to = (batch, height, width, channels), out.view(-1).numpy()
        middle, factor = middle.reshape(-1), factor.reshape(-1)
        image_loops.flat_padded(flat.numpy(), *size, middle, factor, padding, reflect, to)
    return out


def pooled(x: Tensor, power: float, pool: Pool) -> Tensor | None:
    """See `streamhebb.kernels.pooled`; rectifies first; ``None`` if loops do not serve."""
    flat = _flat(x)
    if flat is None:
        return None
    batch, channels, height, width = x.shape
    reach = 2 * pool.padding - pool.kernel
    sides = (height + reach) // pool.stride + 1, (width + reach) // pool.stride + 1
    out = fresh((batch, *sides, channels), x)
    images, outs = flat.view(batch, -1).numpy(), out.view(batch, -1).numpy()
    pieces = cut(batch, WORTH * x.numel())

    def piece(number: int) -> None:
        own = pieces[number]
        size = own.stop - own.start, height, width, channels, float(power)
        some, to = images[own].reshape(-1), outs[own].reshape(-1)
        image_loops.pooled(some, *size, *pool, to)

    in_pieces(piece, len(pieces))
    return out.permute(0, 3, 1, 2)


def powers(x: Tensor, power: float) -> Tensor:
    """See `streamhebb.kernels.powers`."""
    whole = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    serves = x.dtype == torch.float32 and x.is_cpu and x.numel() >= LANES and whole
    if power == 1 or not serves or x.requires_grad:
        return torch_backend.powers(x, power)
    order = (0, 2, 3, 1) if x.ndim == 4 and not x.is_contiguous() else tuple(range(x.ndim))
    back = (0, 3, 1, 2) if x.ndim == 4 and not x.is_contiguous() else order
    flat = x.permute(order)
    out = fresh(tuple(flat.shape), x)
    image_loops.powers(flat.reshape(-1).numpy(), float(power), out.view(-1).numpy())
    return out.permute(back)
