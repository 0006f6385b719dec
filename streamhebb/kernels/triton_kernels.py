"""What runs on the card, written in Triton; import this module only to launch it.

Every kernel masks its edges, so any shape will do, and takes the strides of its tensors, so none
is copied. Offsets are counted in 64 bits. No sum depends on the order in which blocks finish: what
several blocks contribute to is written side by side, and added up in a fixed order afterwards.

``x_row`` and ``x_col`` are the strides of a matrix ``x``. What is in capitals is compiled in.
"""

from __future__ import annotations

from streamhebb.kernels._triton import compiled, constexpr, tensor, tl

# -- products ----------------------------------------------------------------------------------


@compiled
def product(
    a: tensor, b: tensor, out: tensor,
    weight: tensor, decay: tensor, step: tensor, found: tensor,
    m: tensor, n: tensor, k: tensor, each: tensor,
    a_row: tensor, a_col: tensor, a_next: tensor, b_row: tensor, b_col: tensor, b_next: tensor,
    out_part: tensor, out_row: tensor, out_col: tensor,
    w_row: tensor, w_col: tensor, step_row: tensor,
    DECAYS: constexpr, END: constexpr, PRECISION: constexpr, EMULATED: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """One tile of ``a @ b``, over one part of the inner dimension, and its `_end`.

    ``a (m, k)`` has a row for each neuron, ``b (k, n)``, ``out (parts, m, n)``. A part is ``each``
    of the inner dimension, a multiple of BLOCK_K; ``a_next`` and ``b_next`` lead to the next block
    of it. PRECISION is ``"tf32x3"``, ``"ieee"``, or ``"bf16"``, which rounds ``a`` and ``b``.
    EMULATED multiplies what was rounded in float32: the interpreter knows no products of bfloat16.
    """
    across = tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0) % across
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tile.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    part = tl.program_id(1).to(tl.int64)
    first = part * each
    last = tl.minimum(first + each, k)

    inner = tl.arange(0, BLOCK_K)
    a_at = a + rows[:, None] * a_row + (first + inner)[None, :] * a_col
    b_at = b + (first + inner)[:, None] * b_row + cols[None, :] * b_col
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(first, last, BLOCK_K):
        there = start + inner < last
        x = tl.load(a_at, mask=(rows < m)[:, None] & there[None, :], other=0.0)
        y = tl.load(b_at, mask=there[:, None] & (cols < n)[None, :], other=0.0)
        if PRECISION == "bf16":
            if EMULATED:
                x, y = _rounded(x), _rounded(y)
            else:
                x, y = x.to(tl.bfloat16), y.to(tl.bfloat16)
            sums = tl.dot(x, y, sums)
        else:
            sums = tl.dot(x, y, sums, input_precision=PRECISION)
        a_at += a_next
        b_at += b_next

    _end(
        sums, rows, cols, tile, across, m, n,
        out + part * out_part, out_row, out_col,
        weight, w_row, w_col, decay, step, step_row, found, DECAYS, END,
    )  # fmt: skip


@compiled
def _rounded(x: tensor) -> tensor:
    """Round float32 to the next bfloat16, of two as near to the even one; NaN stays."""
    bits = x.to(tl.uint32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


@compiled
def finish(
    parts: tensor, count: tensor, size: tensor, out: tensor,
    weight: tensor, decay: tensor, step: tensor, found: tensor,
    m: tensor, n: tensor, out_row: tensor, out_col: tensor,
    w_row: tensor, w_col: tensor, step_row: tensor,
    DECAYS: constexpr, END: constexpr, BLOCK_M: constexpr, BLOCK_N: constexpr,
) -> None:  # fmt: skip
    """One tile of the sum of parts, in their order, and its `_end`; ``parts (count, m, n)``."""
    across = tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0) % across
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tile.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    at = parts + rows[:, None] * n + cols[None, :]
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for _ in range(count):
        sums += tl.load(at, mask=inside, other=0.0)
        at += size
    _end(
        sums, rows, cols, tile, across, m, n, out, out_row, out_col,
        weight, w_row, w_col, decay, step, step_row, found, DECAYS, END,
    )  # fmt: skip


@compiled
def _end(
    sums: tensor, rows: tensor, cols: tensor, tile: tensor, across: tensor, m: tensor, n: tensor,
    out: tensor, out_row: tensor, out_col: tensor, weight: tensor, w_row: tensor, w_col: tensor,
    decay: tensor, step: tensor, step_row: tensor, found: tensor,
    DECAYS: constexpr, END: constexpr,
) -> None:  # fmt: skip
    """Do with a tile of the raw change, ``sums - decay w``, what END says.

    ``"write"`` it to ``out``; look at its ``"largest"`` number or its ``"squares"``; or ``"add"``
    it to the weights, ``w += step (sums - decay w)``. ``found (m, across)`` then has a number for
    each row of this tile, the ``tile``-th of ``across`` in its row: the largest absolute change,
    NaN if there is one; its squares, summed; or those of the new weights. DECAYS says whether there
    is a ``decay (m,)``, summed over competitions. ``step (m,)`` has the stride 0 where all neurons
    share one.
    """
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    w_at = weight + rows[:, None] * w_row + cols[None, :] * w_col
    if DECAYS or END == "add":
        w = tl.load(w_at, mask=inside, other=0.0)
    if DECAYS:
        sums -= tl.load(decay + rows, mask=rows < m, other=0.0)[:, None] * w
    if END == "add":
        w += tl.load(step + rows * step_row, mask=rows < m, other=0.0)[:, None] * sums
        tl.store(w_at, w, mask=inside)
        square = tl.sum(tl.where(inside, w * w, 0.0), 1)
        tl.store(found + rows * across + tile, square, mask=rows < m)
    elif END == "squares":
        square = tl.sum(tl.where(inside, sums * sums, 0.0), 1)
        tl.store(found + rows * across + tile, square, mask=rows < m)
    elif END == "largest":
        size = tl.where(inside, tl.abs(sums), 0.0)
        missing = tl.max((size != size).to(tl.int32), 1) > 0
        top = tl.max(tl.where(size == size, size, 0.0), 1)
        top = tl.where(missing, float("nan"), top)
        tl.store(found + rows * across + tile, top, mask=rows < m)
    else:
        tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, sums, mask=inside)


# -- passes over rows --------------------------------------------------------------------------


@compiled
def soft_wta(
    drive: tensor, out: tensor, n: tensor, k: tensor, row: tensor, col: tensor, t: tensor,
    ANTI_HEBBIAN: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """Soft competition of rows that fit into a block; ``drive`` and ``out (n, k)``.

    ``out`` is contiguous. ANTI_HEBBIAN reverses the sign of all but the first of the largest.
    """
    rows = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    at = tl.arange(0, BLOCK_K).to(tl.int64)
    inside = (rows < n)[:, None] & (at < k)[None, :]
    u = tl.load(drive + rows[:, None] * row + at[None, :] * col, mask=inside, other=-float("inf"))
    top = tl.max(u, 1)[:, None]  # passes over NaN, which reaches the sum all the same
    share = tl.exp((u - top) * t)
    share = tl.where(inside, share, 0.0)
    share = share / tl.sum(share, 1)[:, None]
    if ANTI_HEBBIAN:
        winner = tl.min(tl.where(u == top, at[None, :], BLOCK_K), 1)
        share = tl.where(at[None, :] == winner[:, None], share, -share)
    tl.store(out + rows[:, None] * k + at[None, :], share, mask=inside)


@compiled
def soft_wta_wide(
    drive: tensor, out: tensor, k: tensor, row: tensor, col: tensor, t: tensor,
    ANTI_HEBBIAN: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """Soft competition of one row of any length, in two passes; as `soft_wta`.

    The first keeps the largest drive so far, its place, and the sum of shares relative to it; the
    second writes.
    """
    number = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK_K)
    top = tl.full((), -float("inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    winner = tl.full((), -1, tl.int64)
    for start in range(0, k, BLOCK_K):
        at = (start + lane).to(tl.int64)
        u = tl.load(drive + number * row + at * col, mask=at < k, other=-float("inf"))
        largest = tl.max(u, 0)
        if ANTI_HEBBIAN:
            here = tl.min(tl.where(u == largest, lane, BLOCK_K), 0)
            winner = tl.where(largest > top, (start + here).to(tl.int64), winner)
        higher = tl.maximum(top, largest)
        # Shares are 0, not NaN, while nothing above minus infinity has been seen.
        base = tl.where(higher == -float("inf"), 0.0, higher)
        share = tl.sum(tl.where(at < k, tl.exp((u - base) * t), 0.0), 0)
        total = total * tl.exp((top - base) * t) + share
        top = higher
    base = tl.where(top == -float("inf"), 0.0, top)
    for start in range(0, k, BLOCK_K):
        at = (start + lane).to(tl.int64)
        u = tl.load(drive + number * row + at * col, mask=at < k, other=0.0)
        share = tl.exp((u - base) * t) / total
        if ANTI_HEBBIAN:
            share = tl.where(at == winner, share, -share)
        tl.store(out + number * k + at, share, mask=at < k)
