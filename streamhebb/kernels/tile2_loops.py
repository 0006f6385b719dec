r"""The maps of tiles of side 2, for numba: as those of side 4, with four positions in place of six.

See [`tile4_loops`][streamhebb.kernels.tile4_loops]. All arrays are float32 and contiguous.
"""

from __future__ import annotations

import numpy as np

from streamhebb.kernels.loops import Array, compiled

_HALF = np.float32(1 / 2)

RUN = 768
"""Numbers a stage works on at a time: 16 runs of them stay in the second cache, 4 in the first."""


@compiled
def _weight(x: Array, y: Array, z: Array, a: Array, b: Array, c: Array, d: Array) -> None:
    for i in range(x.size):
        even, odd = (x[i] + z[i]) * _HALF, y[i] * _HALF
        a[i] = x[i]
        b[i] = even + odd
        c[i] = even - odd
        d[i] = z[i]


@compiled
def _weight_back(a: Array, b: Array, c: Array, d: Array, x: Array, y: Array, z: Array) -> None:
    for i in range(a.size):
        even = (b[i] + c[i]) * _HALF
        x[i] = a[i] + even
        y[i] = (b[i] - c[i]) * _HALF
        z[i] = even + d[i]


@compiled
def _input(a: Array, b: Array, c: Array, d: Array, t: Array, u: Array, v: Array, w: Array) -> None:
    for i in range(a.size):
        t[i] = a[i] - c[i]
        u[i] = b[i] + c[i]
        v[i] = c[i] - b[i]
        w[i] = b[i] - d[i]


@compiled
def _output(a: Array, b: Array, c: Array, d: Array, x: Array, y: Array) -> None:
    for i in range(a.size):
        x[i] = a[i] + b[i] + c[i]
        y[i] = b[i] - c[i] - d[i]


@compiled
def _output_back(x: Array, y: Array, a: Array, b: Array, c: Array, d: Array) -> None:
    for i in range(x.size):
        a[i] = x[i]
        b[i] = x[i] + y[i]
        c[i] = x[i] - y[i]
        d[i] = -y[i]


@compiled
def weights(weight: Array, out: Array) -> None:
    """Map weights ``(k, 9, C)`` to tiles, ``(16, k, C)``."""
    neurons, _, channels = weight.shape
    t = np.empty((12, min(RUN, channels)), weight.dtype)
    for k in range(neurons):
        w = weight[k]
        for start in range(0, channels, RUN):
            at = slice(start, min(start + RUN, channels))
            n = at.stop - start
            for i in range(3):
                _weight(w[i, at], w[3 + i, at], w[6 + i, at],
                        t[i, :n], t[3 + i, :n], t[6 + i, :n], t[9 + i, :n])  # fmt: skip
            for i in range(4):
                p, q = 3 * i, 4 * i
                _weight(t[p, :n], t[p + 1, :n], t[p + 2, :n],
                        out[q, k, at], out[q + 1, k, at], out[q + 2, k, at],
                        out[q + 3, k, at])  # fmt: skip


@compiled
def weights_back(products: Array, out: Array) -> None:
    """Map what tiles learned, ``(16, k, C)``, to changes of weights, ``(k, 9, C)``."""
    _, neurons, channels = products.shape
    t = np.empty((12, min(RUN, channels)), out.dtype)
    for k in range(neurons):
        w = out[k]
        for start in range(0, channels, RUN):
            at = slice(start, min(start + RUN, channels))
            n = at.stop - start
            for i in range(4):
                p, q = 3 * i, 4 * i
                _weight_back(products[q, k, at], products[q + 1, k, at], products[q + 2, k, at],
                             products[q + 3, k, at],
                             t[p, :n], t[p + 1, :n], t[p + 2, :n])  # fmt: skip
            for i in range(3):
                _weight_back(t[i, :n], t[3 + i, :n], t[6 + i, :n], t[9 + i, :n],
                             w[i, at], w[3 + i, at], w[6 + i, at])  # fmt: skip


@compiled
def inputs(image: Array, down: int, right: int, out: Array) -> None:
    """Map an image ``(B, 2 * down + 2, 2 * right + 2, C)`` to tiles, ``(16, B*down*right, C)``."""
    batch, channels = image.shape[0], image.shape[3]
    t = np.empty((16, min(RUN, channels)), out.dtype)
    tile = 0
    for b in range(batch):
        for r in range(down):
            for c in range(right):
                for start in range(0, channels, RUN):
                    at = slice(start, min(start + RUN, channels))
                    n = at.stop - start
                    y = 2 * r
                    for i in range(4):
                        x = 2 * c + i
                        _input(image[b, y, x, at], image[b, y + 1, x, at], image[b, y + 2, x, at],
                               image[b, y + 3, x, at],
                               t[i, :n], t[4 + i, :n], t[8 + i, :n], t[12 + i, :n])  # fmt: skip
                    for i in range(4):
                        p = 4 * i
                        _input(t[p, :n], t[p + 1, :n], t[p + 2, :n], t[p + 3, :n],
                               out[p, tile, at], out[p + 1, tile, at], out[p + 2, tile, at],
                               out[p + 3, tile, at])  # fmt: skip
                tile += 1


@compiled
def outputs(products: Array, down: int, right: int, out: Array) -> None:
    """Map products ``(16, B * down * right, k)`` to images ``(B, OH, OW, n_out)``, ``k`` of them.

    Args:
        products: see above.
        down: tiles in a column of the image.
        right: tiles in a row, which are mapped together.
        out: images; the rows and columns of the last tiles that lie outside are left out.
    """
    batch, height, width, _ = out.shape
    k = products.shape[2]
    n = right * k
    flat = products.reshape(16, -1)
    t, rows = np.empty((8, n), products.dtype), np.empty((2, n), products.dtype)
    for b in range(batch):
        for r in range(down):
            start = (b * down + r) * n
            at = slice(start, start + n)
            for i in range(4):
                _output(flat[i, at], flat[4 + i, at], flat[8 + i, at], flat[12 + i, at],
                        t[i], t[4 + i])  # fmt: skip
            for i in range(min(2, height - 2 * r)):
                p = 4 * i
                _output(t[p], t[p + 1], t[p + 2], t[p + 3], rows[0], rows[1])
                for x in range(width):
                    place, found = out[b, 2 * r + i, x], rows[x % 2]
                    first = x // 2 * k
                    for j in range(k):
                        place[j] = found[first + j]


@compiled
def outputs_back(images: Array, down: int, right: int, out: Array) -> None:
    """Map images ``(B, OH, OW, k)`` to tiles, ``(16, B * down * right, k)``; 0 outside."""
    batch, height, width, k = images.shape
    n = right * k
    flat = out.reshape(16, -1)
    t, rows = np.empty((8, n), out.dtype), np.empty((4, n), out.dtype)
    for b in range(batch):
        for r in range(down):
            start = (b * down + r) * n
            at = slice(start, start + n)
            for i in range(2):
                y = 2 * r + i
                for x in range(2 * right):
                    row = rows[2 * i + x % 2]
                    first = x // 2 * k
                    if y < height and x < width:
                        seen = images[b, y, x]
                        for j in range(k):
                            row[first + j] = seen[j]
                    else:
                        for j in range(k):
                            row[first + j] = 0
            for i in range(2):
                _output_back(rows[i], rows[2 + i], t[i], t[2 + i], t[4 + i], t[6 + i])
            for i in range(4):
                p, q = 2 * i, 4 * i
                _output_back(t[p], t[p + 1],
                             flat[q, at], flat[q + 1, at], flat[q + 2, at],
                             flat[q + 3, at])  # fmt: skip
