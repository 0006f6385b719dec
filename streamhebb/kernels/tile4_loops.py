r"""The maps of tiles of side 4, for numba: each map in two stages, first one side, then the other.

What [`winograd`][streamhebb.kernels.winograd] writes as a product with a matrix of $36 \times 9$ is
here twelve additions a stage. A stage runs along channels or neurons, which lie side by side, so
the compiler makes vectors of it. All arrays are float32 and contiguous.
"""

from __future__ import annotations

import numpy as np

from streamhebb.kernels.loops import Array, compiled

_2, _4, _5, _8 = np.float32(2), np.float32(4), np.float32(5), np.float32(8)
_QUARTER, _SIXTH = np.float32(1 / 4), np.float32(1 / 6)
_TWELFTH, _24TH = np.float32(1 / 12), np.float32(1 / 24)

RUN = 384
"""Numbers a stage works on at a time: 36 runs of them stay in the second cache, 6 in the first."""


@compiled
def _weight(
    x: Array, y: Array, z: Array, a: Array, b: Array, c: Array, d: Array, e: Array, f: Array
) -> None:
    for i in range(x.size):
        even, odd = -(x[i] + z[i]) * _SIXTH, y[i] * _SIXTH
        far, half = x[i] * _24TH + z[i] * _SIXTH, y[i] * _TWELFTH
        a[i] = x[i] * _QUARTER
        b[i] = even - odd
        c[i] = even + odd
        d[i] = far + half
        e[i] = far - half
        f[i] = z[i]


@compiled
def _weight_back(
    a: Array, b: Array, c: Array, d: Array, e: Array, f: Array, x: Array, y: Array, z: Array
) -> None:
    for i in range(a.size):
        near, far = (b[i] + c[i]) * _SIXTH, d[i] + e[i]
        x[i] = a[i] * _QUARTER - near + far * _24TH
        y[i] = (c[i] - b[i]) * _SIXTH + (d[i] - e[i]) * _TWELFTH
        z[i] = far * _SIXTH - near + f[i]


@compiled
def _input(
    a: Array, b: Array, c: Array, d: Array, e: Array, f: Array,
    t: Array, u: Array, v: Array, w: Array, x: Array, y: Array,
) -> None:  # fmt: skip
    for i in range(a.size):
        even, odd = e[i] - _4 * c[i], d[i] - _4 * b[i]
        far, twice = e[i] - c[i], _2 * (d[i] - b[i])
        t[i] = _4 * a[i] - _5 * c[i] + e[i]
        u[i] = even + odd
        v[i] = even - odd
        w[i] = far + twice
        x[i] = far - twice
        y[i] = _4 * b[i] - _5 * d[i] + f[i]


@compiled
def _output(
    a: Array, b: Array, c: Array, d: Array, e: Array, f: Array,
    w: Array, x: Array, y: Array, z: Array,
) -> None:  # fmt: skip
    for i in range(a.size):
        even, odd = b[i] + c[i], b[i] - c[i]
        far, side = d[i] + e[i], d[i] - e[i]
        w[i] = a[i] + even + far
        x[i] = odd + _2 * side
        y[i] = even + _4 * far
        z[i] = odd + _8 * side + f[i]


@compiled
def _output_back(
    w: Array, x: Array, y: Array, z: Array,
    a: Array, b: Array, c: Array, d: Array, e: Array, f: Array,
) -> None:  # fmt: skip
    for i in range(w.size):
        even, odd = w[i] + y[i], x[i] + z[i]
        far, side = w[i] + _4 * y[i], _2 * x[i] + _8 * z[i]
        a[i] = w[i]
        b[i] = even + odd
        c[i] = even - odd
        d[i] = far + side
        e[i] = far - side
        f[i] = z[i]


@compiled
def weights(weight: Array, out: Array) -> None:
    """Map weights ``(k, 9, C)`` to tiles, ``(36, k, C)``."""
    neurons, _, channels = weight.shape
    t = np.empty((18, min(RUN, channels)), weight.dtype)
    for k in range(neurons):
        w = weight[k]
        for start in range(0, channels, RUN):
            at = slice(start, min(start + RUN, channels))
            n = at.stop - start
            for i in range(3):
                _weight(w[i, at], w[3 + i, at], w[6 + i, at], t[i, :n], t[3 + i, :n], t[6 + i, :n],
                        t[9 + i, :n], t[12 + i, :n], t[15 + i, :n])  # fmt: skip
            for i in range(6):
                p, q = 3 * i, 6 * i
                _weight(t[p, :n], t[p + 1, :n], t[p + 2, :n], out[q, k, at], out[q + 1, k, at],
                        out[q + 2, k, at], out[q + 3, k, at], out[q + 4, k, at], out[q + 5, k,
                        at])  # fmt: skip


@compiled
def weights_back(products: Array, out: Array) -> None:
    """Map what tiles learned, ``(36, k, C)``, to changes of weights, ``(k, 9, C)``."""
    _, neurons, channels = products.shape
    t = np.empty((18, min(RUN, channels)), out.dtype)
    for k in range(neurons):
        w = out[k]
        for start in range(0, channels, RUN):
            at = slice(start, min(start + RUN, channels))
            n = at.stop - start
            for i in range(6):
                p, q = 3 * i, 6 * i
                _weight_back(products[q, k, at], products[q + 1, k, at], products[q + 2, k, at],
                             products[q + 3, k, at], products[q + 4, k, at], products[q + 5, k, at],
                             t[p, :n], t[p + 1, :n], t[p + 2, :n])  # fmt: skip
            for i in range(3):
                _weight_back(t[i, :n], t[3 + i, :n], t[6 + i, :n], t[9 + i, :n], t[12 + i, :n],
                             t[15 + i, :n], w[i, at], w[3 + i, at], w[6 + i, at])  # fmt: skip


@compiled
def inputs(image: Array, down: int, right: int, out: Array) -> None:
    """Map an image ``(B, 4 * down + 2, 4 * right + 2, C)`` to tiles, ``(36, B*down*right, C)``."""
    batch, channels = image.shape[0], image.shape[3]
    t = np.empty((36, min(RUN, channels)), out.dtype)
    tile = 0
    for b in range(batch):
        for r in range(down):
            for c in range(right):
                for start in range(0, channels, RUN):
                    at = slice(start, min(start + RUN, channels))
                    n = at.stop - start
                    y = 4 * r
                    for i in range(6):
                        x = 4 * c + i
                        _input(image[b, y, x, at], image[b, y + 1, x, at], image[b, y + 2, x, at],
                               image[b, y + 3, x, at], image[b, y + 4, x, at],
                               image[b, y + 5, x, at],
                               t[i, :n], t[6 + i, :n], t[12 + i, :n], t[18 + i, :n], t[24 + i, :n],
                               t[30 + i, :n])  # fmt: skip
                    for i in range(6):
                        p = 6 * i
                        _input(t[p, :n], t[p + 1, :n], t[p + 2, :n], t[p + 3, :n], t[p + 4, :n],
                               t[p + 5, :n], out[p, tile, at], out[p + 1, tile, at],
                               out[p + 2, tile, at], out[p + 3, tile, at], out[p + 4, tile, at],
                               out[p + 5, tile, at])  # fmt: skip
                tile += 1


@compiled
def outputs(products: Array, down: int, right: int, out: Array) -> None:
    """Map products ``(36, B * down * right, k)`` to images ``(B, OH, OW, n_out)``, ``k`` of them.

    Args:
        products: see above.
        down: tiles in a column of the image.
        right: tiles in a row, which are mapped together.
        out: images; the rows and columns of the last tiles that lie outside are left out.
    """
    batch, height, width, _ = out.shape
    k = products.shape[2]
    n = right * k
    flat = products.reshape(36, -1)
    t, rows = np.empty((24, n), products.dtype), np.empty((4, n), products.dtype)
    for b in range(batch):
        for r in range(down):
            start = (b * down + r) * n
            at = slice(start, start + n)
            for i in range(6):
                _output(flat[i, at], flat[6 + i, at], flat[12 + i, at], flat[18 + i, at],
                        flat[24 + i, at], flat[30 + i, at],
                        t[i], t[6 + i], t[12 + i], t[18 + i])  # fmt: skip
            for i in range(min(4, height - 4 * r)):
                p = 6 * i
                _output(t[p], t[p + 1], t[p + 2], t[p + 3], t[p + 4], t[p + 5],
                        rows[0], rows[1], rows[2], rows[3])  # fmt: skip
                for x in range(width):
                    place, found = out[b, 4 * r + i, x], rows[x % 4]
                    first = x // 4 * k
                    for j in range(k):
                        place[j] = found[first + j]


@compiled
def outputs_back(images: Array, down: int, right: int, out: Array) -> None:
    """Map images ``(B, OH, OW, k)`` to tiles, ``(36, B * down * right, k)``; 0 outside."""
    batch, height, width, k = images.shape
    n = right * k
    flat = out.reshape(36, -1)
    t, rows = np.empty((24, n), out.dtype), np.empty((16, n), out.dtype)
    for b in range(batch):
        for r in range(down):
            start = (b * down + r) * n
            at = slice(start, start + n)
            for i in range(4):
                y = 4 * r + i
                for x in range(4 * right):
                    row = rows[4 * i + x % 4]
                    first = x // 4 * k
                    if y < height and x < width:
                        seen = images[b, y, x]
                        for j in range(k):
                            row[first + j] = seen[j]
                    else:
                        for j in range(k):
                            row[first + j] = 0
            for i in range(4):
                _output_back(rows[i], rows[4 + i], rows[8 + i], rows[12 + i],
                             t[i], t[4 + i], t[8 + i], t[12 + i], t[16 + i], t[20 + i])  # fmt: skip
            for i in range(6):
                p, q = 4 * i, 6 * i
                _output_back(t[p], t[p + 1], t[p + 2], t[p + 3],
                             flat[q, at], flat[q + 1, at], flat[q + 2, at], flat[q + 3, at],
                             flat[q + 4, at], flat[q + 5, at])  # fmt: skip
