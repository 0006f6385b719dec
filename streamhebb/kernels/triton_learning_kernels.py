"""How weights change on the card, written in Triton: look at the change, then make it.

Nothing is known of a change before the last number of it is: the largest of a layer, or the size
of each neuron's, is what it is divided by. So there are two passes, and what the first one finds
of each tile is written side by side, for every program of the second one to go through. Both are
given what else a step would ask the card for: the sums of a decay, and the lengths of weights,
which the rate depends on, are found on the way.

Names are those of `triton_kernels`; ``found`` has a number for each tile, or for each row of it.
"""

from __future__ import annotations

from streamhebb.kernels._triton import compiled, constexpr, tensor, tl
from streamhebb.kernels.triton_kernels import added, sums, tile_of


@compiled
def search(
    a: tensor, like: tensor, b: tensor, weight: tensor, decay: tensor, out: tensor,
    largest: tensor, squares: tensor, lengths: tensor,
    m: tensor, n: tensor, k: tensor, each: tensor,
    a_row: tensor, a_col: tensor, like_row: tensor, like_col: tensor, b_row: tensor, b_col: tensor,
    per_image: tensor, per_line: tensor, image: tensor, line: tensor, pixel: tensor,
    run: tensor, channels: tensor, inner_line: tensor, inner_pixel: tensor,
    w_row: tensor, w_col: tensor,
    DECAYS: constexpr, ENDS: constexpr, BY: constexpr, LENGTHS: constexpr, WRITES: constexpr,
    SEEN: constexpr, RUN: constexpr, PRECISION: constexpr, EMULATED: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """One tile of the change ``a @ b - decay w``, over one part of the inner dimension.

    DECAYS says what the decay is: ``"no"``; ``"given"``, summed already; or ``"like"``, the sums of
    ``a * like``, which are written to ``decay (parts, m)``. ENDS says that there is one part, and
    what is to be found of it is: see `_note`. Else ``out (parts, m, n)`` is written, for `gather`.
    """
    tile, across, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    part = tl.program_id(1).to(tl.int64)
    change, total = sums(
        a, like, b, rows, cols, part * each, tl.minimum(part * each + each, k), m, n,
        a_row, a_col, like_row, like_col, b_row, b_col,
        per_image, per_line, image, line, pixel, run, channels, inner_line, inner_pixel,
        DECAYS == "like", SEEN, RUN, PRECISION, EMULATED, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    if DECAYS == "like":
        tl.store(decay + part * m + rows, total, mask=(rows < m) & (tile == 0))
    elif DECAYS == "given":
        total = tl.load(decay + rows, mask=rows < m, other=0.0)
    if ENDS:
        _note(
            change, total, rows, cols, tile, across, m, n, weight, w_row, w_col, out,
            largest, squares, lengths, DECAYS != "no", BY, LENGTHS, WRITES,
        )  # fmt: skip
    else:
        at = out + (part * m + rows[:, None]) * n + cols[None, :]
        tl.store(at, change, mask=(rows < m)[:, None] & (cols < n)[None, :])


@compiled
def gather(
    parts: tensor, count: tensor, size: tensor, decays: tensor, counted: tensor,
    weight: tensor, out: tensor,
    largest: tensor, squares: tensor, lengths: tensor,
    m: tensor, n: tensor, w_row: tensor, w_col: tensor,
    DECAYS: constexpr, BY: constexpr, LENGTHS: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr,
) -> None:  # fmt: skip
    """One tile of the change that `search` left in parts; it is written to ``out (m, n)``.

    ``decays (counted, m)`` are the parts of the decay; summed in their order.
    """
    tile, across, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    change = added(parts, count, size, rows, cols, m, n, BLOCK_M, BLOCK_N)
    total = tl.zeros((BLOCK_M,), tl.float32)
    if DECAYS:
        for part in range(counted):
            total += tl.load(decays + part * m + rows, mask=rows < m, other=0.0)
    _note(
        change, total, rows, cols, tile, across, m, n, weight, w_row, w_col, out,
        largest, squares, lengths, DECAYS, BY, LENGTHS, True,
    )  # fmt: skip


@compiled
def _note(
    change: tensor, total: tensor, rows: tensor, cols: tensor, tile: tensor, across: tensor,
    m: tensor, n: tensor, weight: tensor, w_row: tensor, w_col: tensor, out: tensor,
    largest: tensor, squares: tensor, lengths: tensor,
    DECAYS: constexpr, BY: constexpr, LENGTHS: constexpr, WRITES: constexpr,
) -> None:  # fmt: skip
    """Note what is to be known of a tile of the change, once the decay is taken off.

    BY ``"largest"``: its largest absolute number, NaN if there is one, in ``largest (tiles,)``; BY
    ``"squares"``: the squares of each row, summed, in ``squares (m, across)``. LENGTHS: those of
    the weights, in ``lengths (m, across)``. WRITES: the change itself, in ``out (m, n)``.
    """
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    if DECAYS or LENGTHS:
        w = tl.load(weight + rows[:, None] * w_row + cols[None, :] * w_col, mask=inside, other=0.0)
    if DECAYS:
        change -= total[:, None] * w
    change = tl.where(inside, change, 0.0)
    if LENGTHS:
        tl.store(lengths + rows * across + tile, tl.sum(w * w, 1), mask=rows < m)
    if BY == "largest":
        # All at once: of rows first, Triton 3.7 does not compile it for capability 10.0.
        tl.store(largest + tl.program_id(0), _largest(tl.ravel(_sized(change))))
    elif BY == "squares":
        tl.store(squares + rows * across + tile, tl.sum(change * change, 1), mask=rows < m)
    if WRITES:
        tl.store(out + rows[:, None] * n + cols[None, :], change, mask=inside)


@compiled
def _sized(x: tensor) -> tensor:
    """Absolute values as whole numbers of the same order, NaN the largest: a maximum keeps it."""
    return tl.abs(x).to(tl.int32, bitcast=True)


@compiled
def _largest(x: tensor) -> tensor:
    """The largest of such whole numbers, as a number again."""
    return tl.max(x, 0).to(tl.float32, bitcast=True)


@compiled
def renew(
    a: tensor, b: tensor, weight: tensor, decay: tensor,
    step: tensor, lr: tensor, largest: tensor, tiles: tensor, tiny: tensor,
    squares: tensor, mean: tensor, age: tensor, least: tensor, moved: tensor,
    lengths: tensor, noted: tensor,
    m: tensor, n: tensor, k: tensor,
    a_row: tensor, a_col: tensor, b_row: tensor, b_col: tensor,
    per_image: tensor, per_line: tensor, image: tensor, line: tensor, pixel: tensor,
    run: tensor, channels: tensor, inner_line: tensor, inner_pixel: tensor,
    w_row: tensor, w_col: tensor, step_row: tensor,
    DECAYS: constexpr, BY: constexpr, POWER: constexpr, BLOCK_T: constexpr,
    SEEN: constexpr, RUN: constexpr, PRECISION: constexpr, EMULATED: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """Make one tile of the change again, and add its `_step` to the weights."""
    tile, _, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    steps = _step(
        rows, m, n, tile, step, step_row, lr, largest, tiles, tiny,
        squares, mean, age, least, moved, lengths, noted, BY, POWER, BLOCK_T, BLOCK_M,
    )  # fmt: skip
    change, _ = sums(
        a, a, b, rows, cols, 0, k, m, n,
        a_row, a_col, a_row, a_col, b_row, b_col,
        per_image, per_line, image, line, pixel, run, channels, inner_line, inner_pixel,
        False, SEEN, RUN, PRECISION, EMULATED, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    at = weight + rows[:, None] * w_row + cols[None, :] * w_col
    w = tl.load(at, mask=inside, other=0.0)
    if DECAYS:
        change -= tl.load(decay + rows, mask=rows < m, other=0.0)[:, None] * w
    tl.store(at, w + steps[:, None] * change, mask=inside)


@compiled
def apply(
    change: tensor, weight: tensor,
    step: tensor, lr: tensor, largest: tensor, tiles: tensor, tiny: tensor,
    squares: tensor, mean: tensor, age: tensor, least: tensor, moved: tensor,
    lengths: tensor, noted: tensor,
    m: tensor, n: tensor, w_row: tensor, w_col: tensor, step_row: tensor,
    BY: constexpr, POWER: constexpr, BLOCK_T: constexpr, BLOCK_M: constexpr, BLOCK_N: constexpr,
) -> None:  # fmt: skip
    """Add one tile of a change that was written, ``(m, n)``, times its `_step`."""
    tile, _, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    steps = _step(
        rows, m, n, tile, step, step_row, lr, largest, tiles, tiny,
        squares, mean, age, least, moved, lengths, noted, BY, POWER, BLOCK_T, BLOCK_M,
    )  # fmt: skip
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    at = weight + rows[:, None] * w_row + cols[None, :] * w_col
    found = tl.load(change + rows[:, None] * n + cols[None, :], mask=inside, other=0.0)
    tl.store(at, tl.load(at, mask=inside, other=0.0) + steps[:, None] * found, mask=inside)


@compiled
def _step(
    rows: tensor, m: tensor, n: tensor, tile: tensor, step: tensor, step_row: tensor, lr: tensor,
    largest: tensor, tiles: tensor, tiny: tensor,
    squares: tensor, mean: tensor, age: tensor, least: tensor, moved: tensor,
    lengths: tensor, noted: tensor,
    BY: constexpr, POWER: constexpr, BLOCK_T: constexpr, BLOCK_M: constexpr,
) -> tensor:  # fmt: skip
    """What the change of each row is multiplied with.

    With a POWER, which is -1 for none, the rate ``lr (|r - 1| + 1e-10) ** POWER`` of a neuron whose
    weights have the length ``r``, the root of what is noted in ``lengths (m, noted)``; else
    ``step (m,)``, with the stride 0 where all neurons share one.

    BY ``"largest"`` it is divided by the largest in ``largest (tiles,)`` and ``tiny``. BY
    ``"squares"`` by the root of the running mean of the squares of the neuron's changes,
    ``mean (m,)``, in which the present one, noted in ``squares (m, noted)``, has a share by its
    ``age``, but at ``least`` so much; the new mean is written to ``moved (m,)``.
    """
    there = rows < m
    if POWER >= 0:
        apart = tl.abs(tl.sqrt_rn(_noted(lengths, rows, m, noted, BLOCK_M)) - 1) + 1e-10
        if POWER == 0.5:
            rate = tl.sqrt_rn(apart) * lr
        elif POWER == 0:
            rate = tl.zeros((BLOCK_M,), tl.float32) + lr
        else:
            rate = tl.exp(POWER * tl.log(apart)) * lr
    else:
        rate = tl.load(step + rows * step_row, mask=there, other=0.0)
    if BY == "largest":
        top = tl.zeros((BLOCK_T,), tl.int32)
        for start in range(0, tiles, BLOCK_T):
            at = start + tl.arange(0, BLOCK_T)
            top = tl.maximum(top, _sized(tl.load(largest + at, mask=at < tiles, other=0.0)))
        rate = tl.div_rn(rate, tl.zeros((BLOCK_M,), tl.float32) + (_largest(top) + tiny))
    elif BY == "squares":
        present = tl.div_rn(
            _noted(squares, rows, m, noted, BLOCK_M), tl.zeros((BLOCK_M,), tl.float32) + n
        )
        share = tl.maximum(1 / (tl.load(age) + 1), least).to(tl.float32)
        before = tl.load(mean + rows, mask=there, other=0.0)
        after = before + share * (present - before)
        tl.store(moved + rows, after, mask=there & (tile == 0))
        rate = tl.div_rn(rate, tl.sqrt_rn(after + tiny))
    return rate


@compiled
def _noted(found: tensor, rows: tensor, m: tensor, noted: tensor, BLOCK_M: constexpr) -> tensor:
    """What was noted of each row, tile by tile, summed."""
    total = tl.zeros((BLOCK_M, 32), tl.float32)
    for start in range(0, noted, 32):
        at = start + tl.arange(0, 32)
        inside = (rows < m)[:, None] & (at < noted)[None, :]
        total += tl.load(found + rows[:, None] * noted + at[None, :], mask=inside, other=0.0)
    return tl.sum(total, 1)
