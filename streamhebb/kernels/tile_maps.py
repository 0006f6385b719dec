r"""The maps of [`winograd`][streamhebb.kernels.winograd] in one dimension, for numba.

Each takes vectors that lie ``near`` apart, from ``at`` on, and writes vectors ``far`` apart, from
``to`` on: what a side of a tile is multiplied with, in as few additions as there are. A tile is
mapped along one side first and then along the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vectors import load, spread, store


class Maps1d(NamedTuple):
    """The five maps of a side, all with the arguments ``one, at, near, two, to, far``."""

    weights: Any
    weights_back: Any
    inputs: Any
    outputs: Any
    outputs_back: Any


# -- two outputs -----------------------------------------------------------------------------------


@compiled
def _weights2(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    x, y, z = load(one, at), load(one, at + near), load(one, at + 2 * near)
    half = spread(0.5)
    even, odd = (x + z) * half, y * half
    store(two, to, x)
    store(two, to + far, even + odd)
    store(two, to + 2 * far, even - odd)
    store(two, to + 3 * far, z)


@compiled
def _weights_back2(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    a, b = load(one, at), load(one, at + near)
    c, d = load(one, at + 2 * near), load(one, at + 3 * near)
    half = spread(0.5)
    even = (b + c) * half
    store(two, to, a + even)
    store(two, to + far, (b - c) * half)
    store(two, to + 2 * far, even + d)


@compiled
def _inputs2(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    a, b = load(one, at), load(one, at + near)
    c, d = load(one, at + 2 * near), load(one, at + 3 * near)
    store(two, to, a - c)
    store(two, to + far, b + c)
    store(two, to + 2 * far, c - b)
    store(two, to + 3 * far, b - d)


@compiled
def _outputs2(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    b, c = load(one, at + near), load(one, at + 2 * near)
    store(two, to, load(one, at) + b + c)
    store(two, to + far, b - c - load(one, at + 3 * near))


@compiled
def _outputs_back2(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    x, y = load(one, at), load(one, at + near)
    store(two, to, x)
    store(two, to + far, x + y)
    store(two, to + 2 * far, x - y)
    store(two, to + 3 * far, spread(0.0) - y)


# -- four outputs ----------------------------------------------------------------------------------


@compiled
def _weights4(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    x, y, z = load(one, at), load(one, at + near), load(one, at + 2 * near)
    sixth = spread(1 / 6)
    even, odd = (x + z) * spread(-1 / 6), y * sixth
    wide, half = x * spread(1 / 24) + z * sixth, y * spread(1 / 12)
    store(two, to, x * spread(1 / 4))
    store(two, to + far, even - odd)
    store(two, to + 2 * far, even + odd)
    store(two, to + 3 * far, wide + half)
    store(two, to + 4 * far, wide - half)
    store(two, to + 5 * far, z)


@compiled
def _weights_back4(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    b, c = load(one, at + near), load(one, at + 2 * near)
    d, e = load(one, at + 3 * near), load(one, at + 4 * near)
    sixth = spread(1 / 6)
    close, wide = (b + c) * sixth, d + e
    store(two, to, load(one, at) * spread(1 / 4) - close + wide * spread(1 / 24))
    store(two, to + far, (c - b) * sixth + (d - e) * spread(1 / 12))
    store(two, to + 2 * far, wide * sixth - close + load(one, at + 5 * near))


@compiled
def _inputs4(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    a, b, c = load(one, at), load(one, at + near), load(one, at + 2 * near)
    d, e, f = load(one, at + 3 * near), load(one, at + 4 * near), load(one, at + 5 * near)
    four, five, double = spread(4.0), spread(5.0), spread(2.0)
    even, odd = e - four * c, d - four * b
    wide, twice = e - c, double * (d - b)
    store(two, to, four * a - five * c + e)
    store(two, to + far, even + odd)
    store(two, to + 2 * far, even - odd)
    store(two, to + 3 * far, wide + twice)
    store(two, to + 4 * far, wide - twice)
    store(two, to + 5 * far, four * b - five * d + f)


@compiled
def _outputs4(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    b, c = load(one, at + near), load(one, at + 2 * near)
    d, e = load(one, at + 3 * near), load(one, at + 4 * near)
    even, odd, wide, side = b + c, b - c, d + e, d - e
    store(two, to, load(one, at) + even + wide)
    store(two, to + far, odd + spread(2.0) * side)
    store(two, to + 2 * far, even + spread(4.0) * wide)
    store(two, to + 3 * far, odd + spread(8.0) * side + load(one, at + 5 * near))


@compiled
def _outputs_back4(one: Array, at: int, near: int, two: Array, to: int, far: int) -> None:
    w, x = load(one, at), load(one, at + near)
    y, z = load(one, at + 2 * near), load(one, at + 3 * near)
    even, odd = w + y, x + z
    wide, side = w + spread(4.0) * y, spread(2.0) * x + spread(8.0) * z
    store(two, to, w)
    store(two, to + far, even + odd)
    store(two, to + 2 * far, even - odd)
    store(two, to + 3 * far, wide + side)
    store(two, to + 4 * far, wide - side)
    store(two, to + 5 * far, z)


MAPS = {
    2: Maps1d(_weights2, _weights_back2, _inputs2, _outputs2, _outputs_back2),
    4: Maps1d(_weights4, _weights_back4, _inputs4, _outputs4, _outputs_back4),
}
