"""Random numbers that depend on a seed and on counters only, in any order of asking."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

BITS = 24  # of each number: what a float32 holds exactly
HALF = 1 << (BITS - 1)

# int64 holds the 64 bits of SplitMix64; the constants are written as the signed numbers they are.
GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
MIX = ((30, 0xBF58476D1CE4E5B9 - (1 << 64)), (27, 0x94D049BB133111EB - (1 << 64)), (31, None))


def signed(number: int) -> int:
    """A whole number modulo 2^64, as int64 writes it.

    Example:
        >>> signed(2**64 - 1), signed(2**64 + 5)
        (-1, 5)
    """
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def mixed(z: Tensor) -> Tensor:
    """Mix 64-bit numbers in place, as SplitMix64 does: close ones have nothing in common after."""
    spare = torch.empty_like(z)
    for shift, factor in MIX:
        # Shifts of signed numbers drag the sign along; the mask takes it off.
        torch.bitwise_right_shift(z, shift, out=spare).bitwise_and_((1 << (64 - shift)) - 1)
        z.bitwise_xor_(spare)
        if factor is not None:
            z.mul_(factor)
    return z


@cache
def start(seed: int) -> int:
    """Where the counters of a seed begin."""
    return int(mixed(torch.tensor([signed(seed)]).add_(GAMMA)))


def numbers(seed: int, first: Tensor, rows: int, count: int) -> Tensor:
    """Return random whole numbers from ``-HALF`` to ``HALF - 1``, int32, shape ``(rows, count)``.

    Row ``r`` depends on ``seed`` and ``first + r`` alone.

    Args:
        seed: a whole number from 0 to 2^63 - 1.
        first: the first row's counter, a whole number on the device that is to draw.
        rows: how many.
        count: numbers in a row.

    Example:
        >>> two = numbers(0, torch.tensor(7), 2, 3)
        >>> torch.equal(two[1:], numbers(0, torch.tensor(8), 1, 3))
        True

    Reference:
        G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators,
        OOPSLA 2014. https://doi.org/10.1145/2660193.2660195
    """
    counters = torch.arange(rows, device=first.device).add_(first)
    keys = mixed(counters.mul_(GAMMA).add_(start(seed)))
    # Every 64 bits make two numbers: the mixing is what costs.
    places = torch.arange(1, (count + 1) // 2 + 1, device=first.device).mul_(GAMMA)
    drawn = mixed(keys[:, None] + places)
    return drawn.view(torch.int32)[:, :count] >> (32 - BITS)
