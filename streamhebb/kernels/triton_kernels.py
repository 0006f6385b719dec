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
    a: tensor, b: tensor, out: tensor, weight: tensor, decay: tensor,
    m: tensor, n: tensor, k: tensor, each: tensor,
    a_row: tensor, a_col: tensor, b_row: tensor, b_col: tensor,
    per_image: tensor, per_line: tensor, image: tensor, line: tensor, pixel: tensor,
    run: tensor, channels: tensor, inner_line: tensor, inner_pixel: tensor,
    out_part: tensor, out_row: tensor, out_col: tensor, w_row: tensor, w_col: tensor,
    DECAYS: constexpr, SEEN: constexpr, RUN: constexpr, PRECISION: constexpr, EMULATED: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> None:  # fmt: skip
    """One tile of ``a @ b``, over one part of the inner dimension; see `sums`.

    ``out (parts, m, n)``. With DECAYS, ``decay (m,)`` times ``weight (m, n)`` is taken off.
    """
    _, _, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    part = tl.program_id(1).to(tl.int64)
    found, _ = sums(
        a, a, b, rows, cols, part * each, tl.minimum(part * each + each, k), m, n,
        a_row, a_col, a_row, a_col, b_row, b_col,
        per_image, per_line, image, line, pixel, run, channels, inner_line, inner_pixel,
        False, SEEN, RUN, PRECISION, EMULATED, BLOCK_M, BLOCK_N, BLOCK_K,
    )  # fmt: skip
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    if DECAYS:
        w = tl.load(weight + rows[:, None] * w_row + cols[None, :] * w_col, mask=inside, other=0.0)
        found -= tl.load(decay + rows, mask=rows < m, other=0.0)[:, None] * w
    at = out + part * out_part + rows[:, None] * out_row + cols[None, :] * out_col
    tl.store(at, found, mask=inside)


@compiled
def tile_of(n: tensor, BLOCK_M: constexpr, BLOCK_N: constexpr) -> tensor:
    """The tile of a program, of how many beside each other, and its rows and columns."""
    across = tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0) % across
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tile.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    return tile, across, rows, cols


@compiled
def sums(
    a: tensor, like: tensor, b: tensor,
    rows: tensor, cols: tensor, first: tensor, last: tensor, m: tensor, n: tensor,
    a_row: tensor, a_col: tensor, like_row: tensor, like_col: tensor, b_row: tensor, b_col: tensor,
    per_image: tensor, per_line: tensor, image: tensor, line: tensor, pixel: tensor,
    run: tensor, channels: tensor, inner_line: tensor, inner_pixel: tensor,
    DECAYS: constexpr, SEEN: constexpr, RUN: constexpr, PRECISION: constexpr, EMULATED: constexpr,
    BLOCK_M: constexpr, BLOCK_N: constexpr, BLOCK_K: constexpr,
) -> tensor:  # fmt: skip
    """A tile of ``a @ b`` from ``first`` to ``last`` of the inner dimension, which is returned.

    ``a (m, k)`` has a row for each neuron, ``b (k, n)``. With DECAYS the sums of ``a * like`` over
    the same part are returned, too, one for each row; ``like (m, k)``.

    SEEN says where the numbers of ``b`` lie: ``"matrix"``, by its strides; ``"inner"``, in windows
    of images, of which ``b`` has one in each column; or ``"outer"``, one in each row. See
    `_begins` and `_within`.

    PRECISION is ``"tf32x3"``, ``"ieee"``, or ``"bf16"``, which rounds ``a`` and ``b``. EMULATED
    multiplies what was rounded in float32: the interpreter knows no products of bfloat16.
    """
    inner = tl.arange(0, BLOCK_K)
    found = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    if SEEN == "inner":
        b_at = b + _begins(cols, per_image, per_line, image, line, pixel)[None, :]
    elif SEEN == "outer":
        b_at = b + _within(cols, run, channels, inner_line, inner_pixel, RUN)[None, :]
    else:
        b_at = b + cols[None, :] * b_col
    for start in range(first, last, BLOCK_K):
        at = (start + inner).to(tl.int64)
        there = at < last
        a_there = (rows < m)[:, None] & there[None, :]
        x = tl.load(a + rows[:, None] * a_row + at[None, :] * a_col, mask=a_there, other=0.0)
        if DECAYS:
            other = like + rows[:, None] * like_row + at[None, :] * like_col
            total += tl.sum(x * tl.load(other, mask=a_there, other=0.0), 1)
        if SEEN == "inner":
            down = _within(at, run, channels, inner_line, inner_pixel, RUN)
        elif SEEN == "outer":
            down = _begins(at, per_image, per_line, image, line, pixel)
        else:
            down = at * b_row
        y = tl.load(b_at + down[:, None], mask=there[:, None] & (cols < n)[None, :], other=0.0)
        if PRECISION == "bf16":
            if EMULATED:
                x, y = _rounded(x), _rounded(y)
            else:
                x, y = x.to(tl.bfloat16), y.to(tl.bfloat16)
            found = tl.dot(x, y, found)
        else:
            found = tl.dot(x, y, found, input_precision=PRECISION)
    return found, total


@compiled
def _begins(
    number: tensor, per_image: tensor, per_line: tensor, image: tensor, line: tensor, pixel: tensor
) -> tensor:
    """Where windows begin, which are counted line by line, image by image."""
    whole = number.to(tl.int32)  # quicker to divide; there are not so many
    there = whole % per_image
    at = (whole // per_image).to(tl.int64) * image
    return at + (there // per_line).to(tl.int64) * line + (there % per_line).to(tl.int64) * pixel


@compiled
def _within(
    number: tensor, run: tensor, channels: tensor, line: tensor, pixel: tensor, RUN: constexpr
) -> tensor:
    """Where the numbers of a window lie, from its beginning: channels first, then along lines.

    A line of the window has ``run`` numbers. RUN divides the number of channels, and the strides:
    so many lie side by side.
    """
    whole = number.to(tl.int32)
    there = whole % run
    at = (whole // run) * line + (there // channels) * pixel + there % channels
    return tl.max_contiguous(tl.multiple_of(at, RUN), RUN)


@compiled
def _rounded(x: tensor) -> tensor:
    """Round float32 to the next bfloat16, of two as near to the even one; NaN stays."""
    bits = x.to(tl.uint32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


@compiled
def finish(
    parts: tensor, count: tensor, size: tensor, out: tensor, weight: tensor, decay: tensor,
    m: tensor, n: tensor, out_row: tensor, out_col: tensor, w_row: tensor, w_col: tensor,
    DECAYS: constexpr, BLOCK_M: constexpr, BLOCK_N: constexpr,
) -> None:  # fmt: skip
    """One tile of the sum of parts, in their order; see `product`, ``parts (count, m, n)``."""
    _, _, rows, cols = tile_of(n, BLOCK_M, BLOCK_N)
    found = added(parts, count, size, rows, cols, m, n, BLOCK_M, BLOCK_N)
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    if DECAYS:
        w = tl.load(weight + rows[:, None] * w_row + cols[None, :] * w_col, mask=inside, other=0.0)
        found -= tl.load(decay + rows, mask=rows < m, other=0.0)[:, None] * w
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, found, mask=inside)


@compiled
def added(
    parts: tensor, count: tensor, size: tensor, rows: tensor, cols: tensor, m: tensor, n: tensor,
    BLOCK_M: constexpr, BLOCK_N: constexpr,
) -> tensor:  # fmt: skip
    """A tile of the sum of parts, in their order; ``parts (count, m, n)``, each of ``size``."""
    inside = (rows < m)[:, None] & (cols < n)[None, :]
    at = parts + rows[:, None] * n + cols[None, :]
    found = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for _ in range(count):
        found += tl.load(at, mask=inside, other=0.0)
        at += size
    return found


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
