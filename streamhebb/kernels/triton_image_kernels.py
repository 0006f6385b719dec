"""Passes over pixels around the products of a convolution, on the card, written in Triton.

As in [`triton_kernels`][streamhebb.kernels.triton_kernels], edges are masked and strides are taken
as they come. Images are ``(B, C, H, W)`` in any order in memory: ``x_image``, ``x_channel``,
``x_row`` and ``x_col`` are their strides. Places in memory are counted in 64 bits, pixels in 32.
What is written is contiguous, with channels last.
"""

from __future__ import annotations

from streamhebb.kernels._triton import compiled, constexpr, tensor, tl


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
