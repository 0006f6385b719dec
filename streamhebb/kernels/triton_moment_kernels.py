"""Statistics of images on the card, written in Triton; see also `triton_image_kernels`.

As in [`triton_kernels`][streamhebb.kernels.triton_kernels], edges are masked, strides are taken as
they come, and sums do not depend on the order in which blocks finish. Images are ``(B, C, H, W)``
in any order in memory: ``x_image``, ``x_channel``, ``x_row`` and ``x_col`` are their strides.
Places in memory are counted in 64 bits, pixels in 32.
"""

from __future__ import annotations

from streamhebb.kernels._triton import compiled, constexpr, tensor, tl

# -- moments -----------------------------------------------------------------------------------


@compiled
def moments(
    x: tensor, first: tensor, second: tensor, third: tensor, fourth: tensor,
    mean: tensor, var: tensor, age: tensor,
    channels: tensor, height: tensor, width: tensor, count: tensor, each: tensor,
    x_image: tensor, x_channel: tensor, x_row: tensor, x_col: tensor,
    eps: tensor, least: tensor, factor: tensor,
    END: constexpr, BLOCK_P: constexpr, BLOCK_C: constexpr,
) -> None:  # fmt: skip
    """Mean and squares of some channels of a group of images, over a part of its pixels; `_end`.

    A group has ``count`` pixels, one after the other; a part is ``each`` of them. All numbers are
    taken from the first one of their group, so that those far from 0 keep what sets them apart. The
    second of two passes sums squares of what lies apart from the mean, and mends what the first one
    rounded.
    """
    blocks = tl.cdiv(channels, BLOCK_C)
    group = tl.program_id(0) // blocks
    chans = tl.program_id(0) % blocks * BLOCK_C + tl.arange(0, BLOCK_C)
    start = tl.program_id(1) * each
    stop = tl.minimum(start + each, count)
    own = x + chans.to(tl.int64)[None, :] * x_channel
    known = (chans < channels)[None, :]
    from_ = _place(group * count, height, width, x_image, x_row, x_col)
    base = tl.load(own + from_, mask=known, other=0.0)
    base = tl.where(tl.abs(base) < float("inf"), base, 0.0)

    sums = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for block in range(start, stop, BLOCK_P):
        pixel = block + tl.arange(0, BLOCK_P)
        at = _place(group * count + pixel, height, width, x_image, x_row, x_col)
        inside = (pixel < stop)[:, None] & known
        value = tl.load(own + at[:, None], mask=inside, other=0.0) - base
        sums += tl.where(inside, value, 0.0)
    n = (stop - start).to(tl.float32)
    middle = tl.sum(sums, 0) / n

    sums = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    squares = tl.zeros((BLOCK_P, BLOCK_C), tl.float32)
    for block in range(start, stop, BLOCK_P):
        pixel = block + tl.arange(0, BLOCK_P)
        at = _place(group * count + pixel, height, width, x_image, x_row, x_col)
        inside = (pixel < stop)[:, None] & known
        apart = tl.load(own + at[:, None], mask=inside, other=0.0) - base - middle[None, :]
        apart = tl.where(inside, apart, 0.0)
        sums += apart
        squares += apart * apart
    rounded = tl.sum(sums, 0)
    square = tl.sum(squares, 0) - rounded * rounded / n
    square = tl.where(square < 0, 0.0, square)  # NaN stays
    middle += _mended(rounded / n)

    # Groups of a part lie together; there is one part where this is the end.
    to = (tl.program_id(1) * (tl.num_programs(0) // blocks) + group).to(tl.int64) * channels
    base = tl.sum(base, 0)  # a row
    if END == "part":
        known = (chans < channels) & (tl.program_id(1) == 0)
        tl.store(third + to + chans, base, mask=known)
    else:
        middle += base
    _end(
        middle, square, n, to, chans, channels, first, second, third, fourth,
        mean, var, age, eps, least, factor, END,
    )  # fmt: skip


@compiled
def join(
    means: tensor, squares: tensor, base: tensor, parts: tensor, size: tensor,
    first: tensor, second: tensor, third: tensor, fourth: tensor,
    mean: tensor, var: tensor, age: tensor, channels: tensor, count: tensor, each: tensor,
    eps: tensor, least: tensor, factor: tensor,
    END: constexpr, PARTS: constexpr, BLOCK_C: constexpr,
) -> None:  # fmt: skip
    r"""Moments of a group from those of its ``parts``, ``size`` numbers apart, and `_end`.

    Means are taken from ``base (groups, C)``. With those, $\mu_p$, and sums of squares $M_p$ of
    $n_p$ pixels, $M = \sum_p M_p + n_p (\mu_p - \mu)^2$.
    """
    blocks = tl.cdiv(channels, BLOCK_C)
    group = tl.program_id(0) // blocks
    chans = tl.program_id(0) % blocks * BLOCK_C + tl.arange(0, BLOCK_C)
    to = group.to(tl.int64) * channels
    part = tl.arange(0, PARTS)
    inside = (part < parts)[:, None] & (chans < channels)[None, :]
    at = part.to(tl.int64)[:, None] * size + to + chans[None, :]
    own = tl.load(means + at, mask=inside, other=0.0)
    n = tl.minimum(each, count - part * each)
    n = tl.where(part < parts, n, 0).to(tl.float32)[:, None]
    whole = tl.sum(n)
    middle = tl.sum(n * own, 0) / whole
    apart = tl.where(inside, own - middle[None, :], 0.0)
    middle += _mended(tl.sum(n * apart, 0) / whole)
    apart = tl.where(inside, own - middle[None, :], 0.0)
    middle += tl.load(base + to + chans, mask=chans < channels, other=0.0)
    square = tl.sum(tl.load(squares + at, mask=inside, other=0.0) + n * apart * apart, 0)
    _end(
        middle, square, whole, to, chans, channels, first, second, third, fourth,
        mean, var, age, eps, least, factor, END,
    )  # fmt: skip


@compiled
def _place(
    pixel: tensor, height: tensor, width: tensor, x_image: tensor, x_row: tensor, x_col: tensor
) -> tensor:
    """Where a pixel lies, counted through all images."""
    line = pixel // width
    image = line // height
    row, col = (line - image * height).to(tl.int64), (pixel - line * width).to(tl.int64)
    return image.to(tl.int64) * x_image + row * x_row + col * x_col


@compiled
def _mended(rounded: tensor) -> tensor:
    """What is to be added to a mean; nothing to one that is infinite."""
    return tl.where(rounded == rounded, rounded, 0.0)


@compiled
def _end(
    middle: tensor, square: tensor, n: tensor, to: tensor, chans: tensor, channels: tensor,
    first: tensor, second: tensor, third: tensor, fourth: tensor,
    mean: tensor, var: tensor, age: tensor, eps: tensor, least: tensor, factor: tensor,
    END: constexpr,
) -> None:  # fmt: skip
    """Write what END says of channels: ``middle``, and ``square`` over ``n`` pixels.

    The sums of a ``"part"``: mean, squares. ``"moments"``: mean, variance. ``"batch"``: mean,
    scale, and ``factor`` times the variance. ``"running"``: mean, variance, and the mean and scale
    that follow for one sample after ``mean`` and ``var``, of ``age`` samples.
    """
    known = chans < channels
    at = to + chans
    tl.store(first + at, middle, mask=known)
    if END == "part":
        tl.store(second + at, square, mask=known)
    else:
        present = square / n
        if END == "batch":
            tl.store(second + at, tl.rsqrt(present + eps), mask=known)
            tl.store(third + at, present * factor, mask=known)
        else:
            tl.store(second + at, present, mask=known)
        if END == "running":
            share = _share(age, 1, least)
            past = tl.load(mean + chans, mask=known, other=0.0)
            spread = tl.load(var + chans, mask=known, other=0.0)
            past, spread = _blended(past, spread, middle, present, share)
            tl.store(third + at, past, mask=known)
            tl.store(fourth + at, tl.rsqrt(spread + eps), mask=known)


# -- running statistics ------------------------------------------------------------------------


@compiled
def _share(age: tensor, batch: tensor, least: tensor) -> tensor:
    """Of new samples in the statistics; ``age`` is counted in 64 bits."""
    share = batch / (tl.load(age).to(tl.float64) + batch)
    return tl.maximum(share.to(tl.float32), least)


@compiled
def _blended(
    mean: tensor, var: tensor, new_mean: tensor, new_var: tensor, share: tensor
) -> tuple[tensor, tensor]:
    """Mean and variance, moved; as `streamhebb.layers.norm.RunningNorm` has it."""
    apart = new_mean - mean
    past = (1 - share) * (var + share * apart * apart)
    return mean + share * apart, past + share * new_var


@compiled
def follow(
    mean: tensor, var: tensor, age: tensor, means: tensor, vars_: tensor,
    n: tensor, channels: tensor, least: tensor, BLOCK_N: constexpr, BLOCK_C: constexpr,
) -> None:  # fmt: skip
    """Move running statistics, in place, by those of ``n`` samples; ``means`` and ``vars_ (n, C)``.

    The age stays, for other blocks have to read it.
    """
    chans = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = chans < channels
    sums = tl.zeros((BLOCK_N, BLOCK_C), tl.float32)
    spread = tl.zeros((BLOCK_N, BLOCK_C), tl.float32)
    for start in range(0, n, BLOCK_N):
        rows = start + tl.arange(0, BLOCK_N)
        inside = (rows < n)[:, None] & known[None, :]
        at = rows.to(tl.int64)[:, None] * channels + chans[None, :]
        sums += tl.load(means + at, mask=inside, other=0.0)
        spread += tl.load(vars_ + at, mask=inside, other=0.0)
    middle = tl.sum(sums, 0) / n
    for start in range(0, n, BLOCK_N):
        rows = start + tl.arange(0, BLOCK_N)
        inside = (rows < n)[:, None] & known[None, :]
        at = rows.to(tl.int64)[:, None] * channels + chans[None, :]
        apart = tl.load(means + at, mask=inside, other=0.0) - middle[None, :]
        spread += tl.where(inside, apart * apart, 0.0)
    present = tl.sum(spread, 0) / n
    past = tl.load(mean + chans, mask=known, other=0.0)
    old = tl.load(var + chans, mask=known, other=0.0)
    past, old = _blended(past, old, middle, present, _share(age, n, least))
    tl.store(mean + chans, past, mask=known)
    tl.store(var + chans, old, mask=known)


@compiled
def lerp(
    one: tensor, two: tensor, to_one: tensor, to_two: tensor, n: tensor, share: tensor,
    BLOCK: constexpr,
) -> None:  # fmt: skip
    """Move two rows of ``n`` numbers, in place, by a share of the way to two others."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    a = tl.load(one + at, mask=inside, other=0.0)
    b = tl.load(to_one + at, mask=inside, other=0.0)
    tl.store(one + at, _between(a, b, share), mask=inside)
    a = tl.load(two + at, mask=inside, other=0.0)
    b = tl.load(to_two + at, mask=inside, other=0.0)
    tl.store(two + at, _between(a, b, share), mask=inside)


@compiled
def _between(a: tensor, b: tensor, share: tensor) -> tensor:
    """A share of the way, reckoned from the nearer end, as torch does."""
    return tl.where(share < 0.5, a + share * (b - a), b - (1 - share) * (b - a))
