"""Products of numbers rounded to bfloat16, summed in float32.

A processor or card with instructions for it multiplies bfloat16 at twice the rate of float32 and
more. Elsewhere the rounded numbers are multiplied as float32: no faster, but nearly the same, so
that what the precision does to learning can be tried on any machine. Weights stay float32: most of
what a step changes is below what bfloat16 can hold.

Torch's own products have one rounding more where there are such instructions: sums are float32, and
are rounded as they are written, to 1/256 of each. Those of numba and triton are not.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.cache
def multiplies(device: str) -> bool:
    """Whether a kind of device has instructions for products of bfloat16.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(False)
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    found = [getattr(torch.cpu, name, None) for name in tests]
    return device == "cpu" and any(bool(test()) for test in found if test is not None)


def rounded(x: Tensor) -> Tensor:
    """Round to bfloat16; as tensors of their own type where bfloat16 cannot be multiplied.

    Example:
        >>> float(rounded(torch.tensor(1.001)))
        1.0
    """
    rounded = x.bfloat16()
    return rounded if multiplies(x.device.type) else rounded.to(x.dtype)


def round_into(x: Tensor, out: Tensor) -> None:
    """As `rounded`, into memory that has the type that `rounded` would give."""
    out.copy_(x if out.dtype == torch.bfloat16 else x.bfloat16())


def margin(coarse: bool) -> float:
    """What a bound is multiplied with, as it is itself rounded; so are, if coarse, the factors."""
    return 1.1 if coarse else 1.0001


def product(one: Tensor, two: Tensor, out: Tensor) -> None:
    """Write the product of matrices, or of stacks of them, whatever precision they are in."""
    if one.dtype == out.dtype:
        torch.matmul(one, two, out=out)
    else:
        out.copy_(torch.matmul(one, two))
