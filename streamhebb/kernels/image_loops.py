"""What stands around the products of a convolution, for numba: normalise, pad, rectify, pool.

Images are channels last. ``flat`` arrays hold ``(B, H, W, C)`` as one row, with $C$ a multiple of
``LANES``; others may have any number of channels, in any order in memory.
"""

from __future__ import annotations

import numpy as np

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vector_code import LANES
from streamhebb.kernels.vectors import load, most, raised, rectified, spread, store, total

ROWS = 128
"""Pixels that are summed in one go; such sums are then added, which rounds less."""


@compiled
def moments(image: Array, mean: Array, var: Array) -> None:
    """Mean and variance of every channel.

    Args:
        image: shape ``(B, H, W, C)``.
        mean: of all images, ``(1, C)``, or of each, ``(B, C)``; written.
        var: mean square of the distance from it; same shape; written.
    """
    batch, height, width, channels = image.shape
    together = batch // len(mean)
    count = together * height * width
    for s in range(len(mean)):
        for c in range(channels):
            middle = np.float64(0)
            for b in range(s * together, (s + 1) * together):
                for y in range(height):
                    for x in range(width):
                        middle += image[b, y, x, c]
            middle /= count
            square = np.float64(0)
            for b in range(s * together, (s + 1) * together):
                for y in range(height):
                    for x in range(width):
                        square += (image[b, y, x, c] - middle) ** 2
            mean[s, c], var[s, c] = middle, square / count


@compiled
def flat_moments(flat: Array, mean: Array, var: Array) -> None:
    """As `moments`."""
    samples, channels = mean.shape
    count = flat.size // (samples * channels)
    middle, square = np.empty(channels, np.float32), np.empty(channels, np.float64)
    part = np.empty(channels, np.float32)
    for s in range(samples):
        start = s * count * channels
        for c in range(channels):
            middle[c] = 0
        for turn in range(2):
            for c in range(channels):
                square[c] = 0
            for block in range(0, count, ROWS):
                for c in range(channels):
                    part[c] = 0
                for row in range(block, min(block + ROWS, count)):
                    at = start + row * channels
                    for c in range(0, channels, LANES):
                        apart = load(flat, at + c) - load(middle, c)
                        if turn == 1:
                            apart = apart * apart
                        store(part, c, load(part, c) + apart)
                for c in range(channels):
                    square[c] += part[c]
            for c in range(channels):
                if turn == 0:
                    mean[s, c] = middle[c] = square[c] / count
                else:
                    var[s, c] = square[c] / count


@compiled
def _place(at: int, length: int, reflect: bool) -> int:
    """Where a pixel beyond an edge is taken from; -1 for nowhere."""
    if 0 <= at < length:
        return at
    if not reflect:
        return -1
    return -at if at < 0 else 2 * (length - 1) - at


@compiled
def padded(
    image: Array, mean: Array, scale: Array, padding: int, reflect: bool, out: Array
) -> None:
    """Normalise, ``(x - mean) * scale``, and pad.

    Args:
        image: shape ``(B, H, W, C)``.
        mean: shape ``(1, C)`` or ``(B, C)``; or empty, and the image is only padded.
        scale: same shape.
        padding: pixels added on every side.
        reflect: whether they reflect the image; else they are 0.
        out: shape ``(B, H + 2 * padding, W + 2 * padding, C)``; written.
    """
    batch, height, width, channels = image.shape
    for b in range(batch):
        s = b if len(mean) > 1 else 0
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                row = _place(y - padding, height, reflect)
                column = _place(x - padding, width, reflect)
                for c in range(channels):
                    if row < 0 or column < 0:
                        out[b, y, x, c] = 0
                    elif mean.size > 0:
                        out[b, y, x, c] = (image[b, row, column, c] - mean[s, c]) * scale[s, c]
                    else:
                        out[b, y, x, c] = image[b, row, column, c]


@compiled
def flat_padded(
    flat: Array, batch: int, height: int, width: int, channels: int,
    mean: Array, scale: Array, padding: int, reflect: bool, out: Array,
) -> None:  # fmt: skip
    """As `padded`; ``mean`` and ``scale`` as one row."""
    nothing = spread(0.0)
    for b in range(batch):
        s = b * channels if mean.size > channels else 0
        for y in range(height + 2 * padding):
            row = _place(y - padding, height, reflect)
            for x in range(width + 2 * padding):
                column = _place(x - padding, width, reflect)
                to = ((b * (height + 2 * padding) + y) * (width + 2 * padding) + x) * channels
                at = ((b * height + row) * width + column) * channels
                inside = row >= 0 and column >= 0
                for c in range(0, channels, LANES):
                    value = nothing
                    if inside:
                        value = load(flat, at + c)
                        if mean.size > 0:
                            value = (value - load(mean, s + c)) * load(scale, s + c)
                    store(out, to + c, value)


@compiled
def _rectified(flat: Array, at: int, channels: int, power: float, line: Array, to: int) -> None:
    """Rectify what lies above the mean of a pixel, and raise it to a power."""
    sums = spread(0.0)
    for c in range(0, channels, LANES):
        sums = sums + load(flat, at + c)
    mean = spread(total(sums) / np.float32(channels))
    for c in range(0, channels, LANES):
        value = rectified(load(flat, at + c) - mean)
        if power != 1:
            value = raised(value, spread(power))
        store(line, to + c, value)


@compiled
def pooled(
    flat: Array, batch: int, height: int, width: int, channels: int, power: float,
    largest: bool, kernel: int, stride: int, padding: int, out: Array,
) -> None:  # fmt: skip
    """Rectify what lies above the mean of each pixel, and pool it, row by row.

    Args:
        flat: see above.
        batch: images.
        height: of an image.
        width: of a row.
        channels: of a pixel.
        power: of what is rectified; 1 leaves it as it is.
        largest: whether to take the largest of a window; else its mean, with zeros outside.
        kernel: side of a window.
        stride: step of the window.
        padding: pixels on every side.
        out: shape ``(B, OH, OW, C)``, as one row; written.
    """
    oh = (height + 2 * padding - kernel) // stride + 1
    ow = (width + 2 * padding - kernel) // stride + 1
    line = np.empty(width * channels, np.float32)
    size = ow * channels
    ring = np.empty(kernel * size, np.float32)  # rows that are pooled along themselves
    count = spread(np.float32(kernel * kernel))
    for b in range(batch):
        done = 0
        for oy in range(oh):
            first, last = oy * stride - padding, min(oy * stride - padding + kernel, height)
            while done < last:
                for x in range(width):
                    at = ((b * height + done) * width + x) * channels
                    _rectified(flat, at, channels, power, line, x * channels)
                to = done % kernel * size
                for ox in range(ow):
                    left = max(ox * stride - padding, 0)
                    right = min(ox * stride - padding + kernel, width)
                    for c in range(0, channels, LANES):
                        value = load(line, left * channels + c)
                        for x in range(left + 1, right):
                            more = load(line, x * channels + c)
                            value = most(value, more) if largest else value + more
                        store(ring, to + ox * channels + c, value)
                done += 1
            start = max(first, 0)
            to = (b * oh + oy) * size
            for i in range(0, size, LANES):
                value = load(ring, start % kernel * size + i)
                for y in range(start + 1, last):
                    more = load(ring, y % kernel * size + i)
                    value = most(value, more) if largest else value + more
                if not largest:
                    value = value / count
                store(out, to + i, value)


@compiled
def powers(flat: Array, power: float, out: Array) -> None:
    """Rectify numbers and raise them to a power."""
    last = flat.size - LANES
    for start in range(0, flat.size, LANES):
        i = min(start, last)
        store(out, i, raised(rectified(load(flat, i)), spread(power)))
