"""How numbers are laid out for products by tiles, in float32 and in bfloat16, for numba.

See [`tile_loops`][streamhebb.kernels.tile_loops].
"""

from __future__ import annotations

from typing import Any, NamedTuple

from streamhebb.kernels import vector_tiles, vectors
from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vector_code import LANES
from streamhebb.kernels.vectors import load, store


class Layout(NamedTuple):
    """How what was mapped is written, and multiplied.

    Args:
        pair: how many numbers are multiplied at once.
        outers: the product.
        inputs: writes $V$ of ``pair`` tiles.
        weights: writes what was made of ``LANES`` weights of ``LANES`` neurons.
        post: writes what was made of what neurons did, of ``pair`` tiles.
    """

    pair: int
    outers: Any
    inputs: Any
    weights: Any
    post: Any


@compiled
def _inputs(
    square: Array, positions: int, values: Array, seen: Array, tiles: int, tile: int,
    channels: int, chan: int,
) -> None:  # fmt: skip
    for p in range(positions):
        store(values, (p * tiles + tile) * channels + chan, load(square, p * LANES))


@compiled
def _weights(square: Array, at: int, turned: Array, mapped: Array, to: int, width: int) -> None:
    vectors.turn(square, at, LANES, mapped, to, width)


@compiled
def _post(square: Array, positions: int, mapped: Array, at: int, near: int) -> None:
    for p in range(positions):
        store(mapped, at + p * near, load(square, p * LANES))


@compiled
def _coarse_inputs(
    square: Array, positions: int, values: Array, seen: Array, tiles: int, tile: int,
    channels: int, chan: int,
) -> None:  # fmt: skip
    pairs = (tiles + 1) // 2
    for p in range(positions):
        one, two = load(square, p * LANES), load(square, (positions + p) * LANES)
        at = ((p * tiles + tile) * channels + chan) // 2
        vectors.put_coarse(values, at, one)
        if tile + 1 < tiles:
            vectors.put_coarse(values, at + channels // 2, two)
        vectors.put_pairs(seen, (p * pairs + tile // 2) * channels + chan, one, two)


@compiled
def _coarse_weights(
    square: Array, at: int, turned: Array, mapped: Array, to: int, width: int
) -> None:
    vectors.turn(square, at, LANES, turned, 0, LANES)
    for c in range(0, LANES, 2):
        one, two = load(turned, c * LANES), load(turned, (c + 1) * LANES)
        vectors.put_pairs(mapped, to + c // 2 * width, one, two)


@compiled
def _coarse_post(square: Array, positions: int, mapped: Array, at: int, near: int) -> None:
    for p in range(positions):
        one, two = load(square, p * LANES), load(square, (positions + p) * LANES)
        vectors.put_pairs(mapped, at + p * near, one, two)


FULL = Layout(1, vector_tiles.outers, _inputs, _weights, _post)
COARSE = Layout(2, vector_tiles.coarse_outers, _coarse_inputs, _coarse_weights, _coarse_post)
