r"""Products by tiles for numba: see [`winograd`][streamhebb.kernels.winograd].

Neurons are taken ``BLOCK`` at a time, so that what is made of their weights stays in the cache, and
in it one position of the tiles after the other. What is learned reaches the weights while it is
near. Places that are far apart are fetched before they are needed. Positions lie a vector further
apart than they need: at a multiple of 4096 bytes they would take each other's place in the cache.

Arrays are one-dimensional. With $p = (m + 2)^2$ positions, $T$ tiles and $C$ channels, a multiple
of ``LANES``, $V$ is given twice: as ``values``, shape ``(p, T, C)``, to respond, and as ``seen`` to
learn, which is the same array; except where it is rounded to bfloat16: then ``values`` has pairs of
channels, and ``seen`` pairs of tiles. Behind both lie numbers that are read and not used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.row_loops import add
from streamhebb.kernels.tile_layouts import COARSE, FULL, Layout
from streamhebb.kernels.tile_maps import MAPS, Maps1d
from streamhebb.kernels.vector_code import LANES, TALL, WIDTH
from streamhebb.kernels.vector_tiles import nothing, put, put_more
from streamhebb.kernels.vectors import fetch, load, spread, store

BLOCK = WIDTH
"""Neurons at a time; a multiple of ``WIDTH``, ``LANES`` and ``TALL``."""
SOME = 64
"""Tiles whose products are summed in one go when learning; such sums are then added."""


class TileLoops(NamedTuple):
    """The loops of one side of tiles.

    Args:
        inputs: maps padded images to ``values`` and ``seen``.
        respond: writes the drive of some neurons.
        product: writes the sum of post times pre of some neurons.
        renew: changes the weights of some neurons by that sum.
    """

    inputs: Any
    respond: Any
    product: Any
    renew: Any


class Sizes(NamedTuple):
    """How many numbers arrays need.

    Args:
        values: $V$ to respond.
        seen: $V$ to learn.
        mapped: memory for what is made of weights or of what neurons did.
        found: memory for products.
    """

    values: int
    seen: int
    mapped: int
    found: int


def sizes(m: int, tiles: int, channels: int, coarse: bool) -> Sizes:
    """Say how large arrays must be.

    Args:
        m: outputs on a side of a tile.
        tiles: $T$.
        channels: $C$.
        coarse: whether it is rounded to bfloat16.
    """
    positions, pair = (m + 2) ** 2, 2 if coarse else 1
    spare = TALL * channels + WIDTH
    values = positions * tiles * channels // pair + spare
    seen = positions * -(-tiles // pair) * channels + spare
    mapped = positions * (max(channels // pair, -(-tiles // pair)) * BLOCK + LANES)
    rows = max(-(-tiles // TALL) * TALL, -(-channels // WIDTH) * WIDTH)
    return Sizes(values, seen, mapped, positions * (rows * BLOCK + LANES))


@compiled
def _fetch(array: Array, at: int, step: int, count: int) -> None:
    """Say that a vector in each of some rows will be read soon: they are far apart."""
    for row in range(count):
        fetch(array, at + row * step)


# -- the loops -------------------------------------------------------------------------------------


def _loops(m: int, maps: Maps1d, layout: Layout) -> TileLoops:
    edge = m + 2
    positions = edge * edge
    map_weights, map_weights_back, map_inputs, map_outputs, map_outputs_back = maps
    pair, outers, lay_inputs, lay_weights, lay_post = layout

    @compiled
    def inputs(
        image: Array, down: int, right: int, channels: int, values: Array, seen: Array
    ) -> None:
        """Map images ``(B, m * down + 2, m * right + 2, C)`` to ``values`` and ``seen``.

        Args:
            image: see above, as one row.
            down: tiles in a column of the image.
            right: tiles in a row.
            channels: $C$.
            values: written.
            seen: written.
        """
        height, width = m * down + 2, m * right + 2
        tiles = image.size // (height * width * channels) * down * right
        half = np.empty(positions * LANES, np.float32)
        square = np.zeros(pair * positions * LANES, np.float32)
        line = width * channels
        for first in range(0, tiles, pair):
            for chan in range(0, channels, LANES):
                for n in range(pair):
                    tile, to = first + n, n * positions * LANES
                    if tile == tiles:
                        square[to:] = 0
                        continue
                    b, r, c = tile // (down * right), tile // right % down, tile % right
                    at = ((b * height + m * r) * width + m * c) * channels + chan
                    for i in range(edge):
                        map_inputs(image, at + i * channels, line, half, i * LANES, edge * LANES)
                    for i in range(edge):
                        line_to = to + i * edge * LANES
                        map_inputs(half, i * edge * LANES, LANES, square, line_to, LANES)
                lay_inputs(square, positions, values, seen, tiles, first, channels, chan)

    @compiled
    def map_some(
        weight: Array, first: int, count: int, channels: int, width: int, mapped: Array
    ) -> None:
        """Map weights of some neurons, ``(9, C)`` each, to ``(p, C, width)``."""
        half = np.empty(3 * edge * LANES, np.float32)
        near = channels // pair * width + LANES
        square = np.zeros(positions * LANES * LANES, np.float32)
        turned = np.empty(LANES * LANES, np.float32)
        for k in range(0, count, LANES):
            for chan in range(0, channels, LANES):
                for j in range(min(LANES, count - k)):
                    row = (first + k + j) * 9 * channels + chan
                    _fetch(weight, row + LANES, channels, 9)
                    for i in range(3):
                        at = row + i * channels
                        map_weights(weight, at, 3 * channels, half, i * LANES, 3 * LANES)
                    for i in range(edge):
                        to = (i * edge * LANES + j) * LANES
                        map_weights(half, 3 * i * LANES, LANES, square, to, LANES * LANES)
                for p in range(positions):
                    to = p * near + chan // pair * width + k
                    lay_weights(square, p * LANES * LANES, turned, mapped, to, width)

    @compiled
    def map_found(
        found: Array, near: int, width: int, down: int, right: int,
        u: Array, height: int, length: int, first: int, count: int,
    ) -> None:  # fmt: skip
        """Map products of tiles, positions ``near`` apart, to the drive of some neurons."""
        half, made = np.empty(m * edge * LANES, np.float32), np.empty(m * m * LANES, np.float32)
        flat, n_out = u.reshape(-1), u.shape[1]
        for tile in range(u.shape[0] // (height * length) * down * right):
            b, r, c = tile // (down * right), tile // right % down, tile % right
            for k in range(0, count, LANES):
                for i in range(edge):
                    at = i * near + tile * width + k
                    map_outputs(found, at, edge * near, half, i * LANES, edge * LANES)
                for i in range(m):
                    map_outputs(half, i * edge * LANES, LANES, made, i * m * LANES, LANES)
                for y in range(min(m, height - m * r)):
                    for x in range(min(m, length - m * c)):
                        row = (b * height + m * r + y) * length + m * c + x
                        at = (y * m + x) * LANES
                        if k + LANES <= count:
                            store(flat, row * n_out + first + k, load(made, at))
                        else:
                            for j in range(count - k):
                                u[row, first + k + j] = made[at + j]

    @compiled
    def respond(
        values: Array, tiles: int, channels: int, down: int, right: int, weight: Array,
        u: Array, height: int, length: int, first: int, mapped: Array, found: Array,
    ) -> None:  # fmt: skip
        """Write the drive of some neurons.

        Args:
            values: see above.
            tiles: $T$.
            channels: $C$.
            down: tiles in a column of an image.
            right: tiles in a row.
            weight: shape ``(k * 9 * C,)``.
            u: shape ``(B * height * length, n_out)``; columns from ``first`` on are written.
            height: of the output.
            length: of a row of the output.
            first: column of the first neuron.
            mapped: memory, see `sizes`.
            found: memory.
        """
        neurons, deep = weight.size // (9 * channels), channels // pair
        for start in range(0, neurons, BLOCK):
            count = min(BLOCK, neurons - start)
            width = (count + WIDTH - 1) // WIDTH * WIDTH
            near = (tiles + TALL - 1) // TALL * TALL * width + LANES
            map_some(weight, start, count, channels, width, mapped)
            for p in range(positions):
                for row in range(0, tiles, TALL):
                    last = row + TALL >= tiles
                    for column in range(0, width, WIDTH):
                        at, to = (p * tiles + row) * deep, p * (deep * width + LANES) + column
                        sums = nothing()
                        for c in range(0, deep, LANES):
                            if column == 0:
                                _fetch(values, at + TALL * deep + c, deep, TALL)
                            if last:
                                _fetch(mapped, to + (deep + c) * width + LANES, width, LANES)
                            for i in range(c, min(c + LANES, deep)):
                                sums = outers(sums, values, at + i, deep, mapped, to + i * width)
                        put(sums, found, p * near + row * width + column, width)
            map_found(found, near, width, down, right, u, height, length, first + start, count)

    @compiled
    def map_post(
        post: Array, height: int, length: int, first: int, count: int,
        down: int, right: int, width: int, mapped: Array,
    ) -> None:  # fmt: skip
        """Map ``post`` of some neurons to ``(p, T, width)``; 0 outside of the images."""
        seen, half = np.empty(m * m * LANES, np.float32), np.empty(m * edge * LANES, np.float32)
        square = np.zeros(pair * positions * LANES, np.float32)
        flat, n_out = post.reshape(-1), post.shape[1]
        tiles = post.shape[0] // (height * length) * down * right
        near = (tiles + pair - 1) // pair * width + LANES
        for tile in range(0, tiles, pair):
            for k in range(0, count, LANES):
                for n in range(pair):
                    if tile + n == tiles:
                        square[n * positions * LANES :] = 0
                        continue
                    b, r = (tile + n) // (down * right), (tile + n) // right % down
                    c = (tile + n) % right
                    for y in range(m):
                        for x in range(m):
                            row = (b * height + m * r + y) * length + m * c + x
                            at = (y * m + x) * LANES
                            inside = m * r + y < height and m * c + x < length
                            if inside and k + LANES <= count:
                                store(seen, at, load(flat, row * n_out + first + k))
                                continue
                            store(seen, at, spread(0.0))
                            if inside:
                                for j in range(count - k):
                                    seen[at + j] = post[row, first + k + j]
                    for i in range(m):
                        map_outputs_back(seen, i * LANES, m * LANES, half, i * LANES, m * LANES)
                    for i in range(edge):
                        to = (n * positions + i * edge) * LANES
                        map_outputs_back(half, i * m * LANES, LANES, square, to, LANES)
                lay_post(square, positions, mapped, tile // pair * width + k, near)

    @compiled
    def some(
        seen: Array, tiles: int, channels: int, down: int, right: int,
        post: Array, height: int, length: int, first: int, count: int,
        mapped: Array, found: Array,
    ) -> None:  # fmt: skip
        """Write what tiles learned of some neurons to ``found``."""
        width = (count + LANES - 1) // LANES * LANES
        padded = (channels + WIDTH - 1) // WIDTH * WIDTH
        near = width * padded + LANES
        rows, ahead = (tiles + pair - 1) // pair, WIDTH // LANES * TALL
        map_post(post, height, length, first, count, down, right, width, mapped)
        for p in range(positions):
            for start in range(0, rows, SOME):
                end = min(start + SOME, rows)
                for column in range(0, channels, WIDTH):
                    for row in range(0, width, TALL):
                        place = p * near + row * padded + column
                        sums = nothing()
                        at, to = p * (rows * width + LANES) + row, p * rows * channels + column
                        for t in range(start, end):
                            if row < ahead:
                                fetch(seen, to + t * channels + WIDTH + row // TALL * LANES)
                            sums = outers(sums, mapped, at + t * width, 1, seen, to + t * channels)
                        if start > 0:
                            put_more(sums, found, place, padded)
                        else:
                            put(sums, found, place, padded)

    @compiled
    def map_change(
        found: Array, j: int, count: int, channels: int, half: Array, made: Array,
        soon: Array, row: int,
    ) -> None:  # fmt: skip
        """Map what tiles learned of a neuron to the change of its weights, ``(9, C)``.

        Meanwhile a ``row`` of ``soon`` is fetched, which is next.
        """
        padded = (channels + WIDTH - 1) // WIDTH * WIDTH
        near = (count + LANES - 1) // LANES * LANES * padded + LANES
        for chan in range(0, channels, LANES):
            at = j * padded + chan
            _fetch(found, at + LANES, near, positions)
            _fetch(soon, row * 9 * channels + chan, channels, 9)
            for i in range(edge):
                map_weights_back(found, at + i * near, edge * near, half, i * LANES, edge * LANES)
            for i in range(3):
                to = 3 * i * channels + chan
                map_weights_back(half, i * edge * LANES, LANES, made, to, channels)

    @compiled
    def product(
        seen: Array, tiles: int, channels: int, down: int, right: int,
        post: Array, height: int, length: int, first: int, out: Array,
        mapped: Array, found: Array,
    ) -> None:  # fmt: skip
        """Write the sum of post times pre of some neurons.

        Args:
            seen: see above.
            tiles: as for `respond`, as all that is not here.
            channels: see there.
            down: see there.
            right: see there.
            post: shape ``(B * height * length, n_out)``.
            height: see there.
            length: see there.
            first: column of the first neuron.
            out: shape ``(k, 9 * C)``; written.
            mapped: see there.
            found: see there.
        """
        half, soon = np.empty(3 * edge * LANES, np.float32), out.reshape(-1)
        for start in range(0, len(out), BLOCK):
            count = min(BLOCK, len(out) - start)
            some(seen, tiles, channels, down, right, post, height, length, first + start, count,
                 mapped, found)  # fmt: skip
            for j in range(count):
                map_change(found, j, count, channels, half, out[start + j], soon, start + j)

    @compiled
    def renew(
        seen: Array, tiles: int, channels: int, down: int, right: int,
        post: Array, height: int, length: int, first: int,
        decay: Array, step: Array, weight: Array, norm: Array, top: Array, memory: Array,
        running: Array, mapped: Array, found: Array,
    ) -> None:  # fmt: skip
        """Change some neurons by that product, while it is near; as `row_loops.add` does.

        Args:
            seen: see above.
            tiles: as for `product`, as all that is not here.
            channels: see there.
            down: see there.
            right: see there.
            post: see there.
            height: see there.
            length: see there.
            first: see there.
            decay: shape ``(k,)``, or empty.
            step: shape ``(k,)``.
            weight: shape ``(k, 9 * C)``.
            norm: see `row_loops.add`.
            top: see `row_loops.add`.
            memory: see `row_loops.add`.
            running: see `row_loops.add`.
            mapped: see there.
            found: see there.
        """
        half, soon = np.empty(3 * edge * LANES, np.float32), weight.reshape(-1)
        made = np.empty((1, 9 * channels), np.float32)
        for start in range(0, len(weight), BLOCK):
            count = min(BLOCK, len(weight) - start)
            some(seen, tiles, channels, down, right, post, height, length, first + start, count,
                 mapped, found)  # fmt: skip
            for j in range(count):
                map_change(found, j, count, channels, half, made[0], soon, start + j)
                add(made, 0, start + j, 1, decay, step, weight, norm, top, memory, running)

    return TileLoops(inputs, respond, product, renew)


LOOPS = {(side, False): _loops(side, maps, FULL) for side, maps in MAPS.items()}
"""The loops of each side of tiles, and whether numbers are rounded to bfloat16."""
LOOPS[2, True] = _loops(2, MAPS[2], COARSE)
