"""What runs on the card around the products of a convolution, written in Triton.

As in [`triton_kernels`][streamhebb.kernels.triton_kernels], edges are masked, strides are taken as
they come, and sums do not depend on the order in which blocks finish. Images are ``(B, C, H, W)``
in any order in memory: ``x_image``, ``x_channel``, ``x_row`` and ``x_col`` are their strides.
Places in memory are counted in 64 bits, pixels in 32. What is written is contiguous, images with
channels last.
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


# -- passes over pixels ------------------------------------------------------------------------


@compiled
def padded(
    x: tensor, mean: tensor, scale: tensor, out: tensor,
    channels: tensor, height: tensor, width: tensor, high: tensor, wide: tensor, padding: tensor,
    x_image: tensor, x_channel: tensor, x_row: tensor, x_col: tensor,
    mean_row: tensor, mean_col: tensor, scale_row: tensor, scale_col: tensor,
    SCALES: constexpr, REFLECTS: constexpr, BLOCK_X: constexpr, BLOCK_C: constexpr,
) -> None:  # fmt: skip
    """Some pixels of a row of ``out (B, high, wide, C)``, normalised if SCALES.

    ``mean`` and ``scale`` are ``(B, C)``, with a stride of 0 where all images share them. Pixels
    beyond an edge are 0, or what REFLECTS finds in the image.
    """
    line = tl.program_id(0)
    image = (line // high).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK_C)
    cols = tl.program_id(1) // blocks * BLOCK_X + tl.arange(0, BLOCK_X)
    chans = (tl.program_id(1) % blocks).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = (chans < channels)[None, :]
    row, col = line % high - padding, cols - padding
    if REFLECTS:
        row, col = _reflected(row, height), _reflected(col, width)
    there = (row >= 0) & (row < height) & (col >= 0) & (col < width) & (cols < wide)
    inside = there[:, None] & known
    at = image * x_image + row.to(tl.int64) * x_row + col.to(tl.int64)[:, None] * x_col
    value = tl.load(x + at + chans[None, :] * x_channel, mask=inside, other=0.0)
    if SCALES:
        at = image * mean_row + chans * mean_col
        middle = tl.load(mean + at, mask=chans < channels, other=0.0)
        at = image * scale_row + chans * scale_col
        factor = tl.load(scale + at, mask=chans < channels, other=0.0)
        value = tl.where(inside, (value - middle[None, :]) * factor[None, :], 0.0)
    to = (line.to(tl.int64) * wide + cols[:, None]) * channels + chans[None, :]
    tl.store(out + to, value, mask=(cols < wide)[:, None] & known)


@compiled
def _reflected(at: tensor, length: tensor) -> tensor:
    """The place that a place beyond an edge mirrors."""
    at = tl.where(at < 0, -at, at)
    return tl.where(at >= length, 2 * (length - 1) - at, at)


@compiled
def pooled(
    x: tensor, out: tensor, channels: tensor, height: tensor, width: tensor,
    high: tensor, wide: tensor, stride: tensor, padding: tensor,
    x_image: tensor, x_channel: tensor, x_row: tensor, x_col: tensor,
    power: tensor, rest: tensor, then: tensor, then_rest: tensor,
    LARGEST: constexpr, RAISES: constexpr, THEN: constexpr, WHOLE: constexpr,
    KERNEL: constexpr, BLOCK_W: constexpr, BLOCK_C: constexpr,
) -> None:  # fmt: skip
    """One pixel of ``out (B, high, wide, C)``: what lies above the mean of a pixel, pooled.

    A window has KERNEL x KERNEL pixels, of which LARGEST takes the largest, else the mean, with
    zeros outside. RAISES says whether there is a power before pooling, THEN whether one after it;
    see `_raised`. WHOLE: a block has all channels; else they are gone through twice.
    """
    place = tl.program_id(0)
    line = place // wide
    image = (line // high).to(tl.int64)
    lane = tl.arange(0, BLOCK_W)
    row = line % high * stride - padding + lane // KERNEL
    col = place % wide * stride - padding + lane % KERNEL
    there = (row >= 0) & (row < height) & (col >= 0) & (col < width) & (lane < KERNEL * KERNEL)
    at = x + image * x_image + row.to(tl.int64) * x_row + col.to(tl.int64) * x_col
    to = out + place.to(tl.int64) * channels
    chan = tl.arange(0, BLOCK_C).to(tl.int64)
    sums = tl.zeros((BLOCK_W, BLOCK_C), tl.float32)
    if WHOLE:
        inside = there[:, None] & (chan < channels)[None, :]
        value = tl.load(at[:, None] + chan[None, :] * x_channel, mask=inside, other=0.0)
        middle = tl.sum(value, 1) / channels
        found = _window(
            value, middle, there, power, rest, then, then_rest, LARGEST, RAISES, THEN, KERNEL
        )
        tl.store(to + chan, found, mask=chan < channels)
    else:
        for start in range(0, channels, BLOCK_C):
            own = start + chan
            inside = there[:, None] & (own < channels)[None, :]
            sums += tl.load(at[:, None] + own[None, :] * x_channel, mask=inside, other=0.0)
        middle = tl.sum(sums, 1) / channels
        for start in range(0, channels, BLOCK_C):
            own = start + chan
            inside = there[:, None] & (own < channels)[None, :]
            value = tl.load(at[:, None] + own[None, :] * x_channel, mask=inside, other=0.0)
            found = _window(
                value, middle, there, power, rest, then, then_rest, LARGEST, RAISES, THEN, KERNEL
            )
            tl.store(to + own, found, mask=own < channels)


@compiled
def _window(
    value: tensor, middle: tensor, there: tensor,
    power: tensor, rest: tensor, then: tensor, then_rest: tensor,
    LARGEST: constexpr, RAISES: constexpr, THEN: constexpr, KERNEL: constexpr,
) -> tensor:  # fmt: skip
    """Rectify the pixels of a window, each at its mean, and pool them; see `pooled`."""
    above = value - middle[:, None]
    above = tl.where((above < 0) | (there == 0)[:, None], 0.0, above)  # NaN stays
    if LARGEST:
        missing = tl.max((above != above).to(tl.int32), 0) > 0
        found = tl.max(tl.where(above == above, above, 0.0), 0)
        found = tl.where(missing, float("nan"), found)
        if RAISES:  # the power of the largest is the largest power, and one for a window
            found = _raised(found, power, rest)
    else:
        if RAISES:
            above = _raised(above, power, rest)
        found = tl.sum(above, 0) / (KERNEL * KERNEL)
    if THEN:
        found = _raised(found, then, then_rest)
    return found


@compiled
def powers(
    x: tensor, out: tensor, n: tensor, power: tensor, rest: tensor, BLOCK: constexpr
) -> None:
    """Rectify ``n`` numbers, one after the other, and raise them to a power."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0.0)
    value = tl.where(value < 0, 0.0, value)
    tl.store(out + at, _raised(value, power, rest), mask=at < n)


@compiled
def _raised(x: tensor, power: tensor, rest: tensor) -> tensor:
    r"""Raise ``x``, at least 0, to ``power + rest``, above 0, as exactly as float32 can.

    With $x = m\,2^e$ it is $2^{pe}\, 2^{p \log_2 m}$. A logarithm of $x$ itself would be rounded to
    24 digits, of which an exponent takes up to eight. ``power`` has 16 digits, so that its product
    with $e$ is exact.
    """
    small = x < 1.1754943508222875e-38  # has a mantissa that does not begin with 1
    whole = tl.where(small, x * 16777216.0, x)
    bits = whole.to(tl.int32, bitcast=True)
    e = (bits - 0x3F3504F3) >> 23  # m lies between the roots of 1/2 and 2
    m = (bits - (e << 23)).to(tl.float32, bitcast=True)
    e = (e - tl.where(small, 24, 0)).to(tl.float32)
    n = tl.floor(power * e + 0.5)
    part = power * e - n + (rest * e + (power + rest) * tl.log2(m))
    n = tl.minimum(tl.maximum(n, -252.0), 254.0).to(tl.int32)
    half = n >> 1  # two steps, for one number does not hold them all
    value = tl.exp2(part) * _two_to(half) * _two_to(n - half)
    value = tl.where(x > 0, value, x)  # 0, and NaN
    return tl.where(x == float("inf"), x, value)


@compiled
def _two_to(n: tensor) -> tensor:
    """A power of two, from -126 to 127."""
    return ((n + 127) << 23).to(tl.float32, bitcast=True)
