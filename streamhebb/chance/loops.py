"""The loops of chance that numba compiles; import this module only to run them."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamhebb.kernels.loops import compiled

Array = Any
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _1 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(1)


@compiled
def kept(key: Any, levels: int, stride: int, wanted: int, out: Array) -> None:
    """Draw bits that are 1 by chance.

    Args:
        key: of seed and step, 64 bits.
        levels: binary digits of the chance.
        stride: counters of a word.
        wanted: the digits; the lowest one, which is 1, comes first.
        out: 64 bits each, uint64.
    """
    for w in range(out.size):
        bits = np.uint64(0)
        for level in range(levels - 1, -1, -1):
            z = key + _GAMMA * np.uint64(w * stride + level + 1)
            z = (z ^ (z >> _30)) * _FIRST
            z = (z ^ (z >> _27)) * _SECOND
            z ^= z >> _31
            bits = bits | z if (wanted >> (levels - 1 - level)) & 1 else bits & z
        out[w] = bits


@compiled
def drop(x: Array, bits: Array, scale: Any) -> None:
    """Multiply each number by ``scale`` or 0, as its bit says, in place.

    Args:
        x: flat.
        bits: of 64 numbers each, the lowest bit first, uint64.
        scale: of the type of ``x``.
    """
    whole = x.size // 64
    for w in range(whole):
        word, first = bits[w], 64 * w
        for j in range(64):
            x[first + j] *= scale * x.dtype.type((word >> np.uint64(j)) & _1)
    for i in range(64 * whole, x.size):
        x[i] *= scale * x.dtype.type((bits[whole] >> np.uint64(i - 64 * whole)) & _1)
