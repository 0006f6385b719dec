"""Products with windows, for numba, where neurons have few inputs.

Images and windows are given as to [`window_loops`][streamhebb.kernels.window_loops], but for runs,
which may be of any length: vectors run along neurons.
"""

from __future__ import annotations

import numpy as np

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vector_code import TALL, WIDTH
from streamhebb.kernels.vector_tiles import nothing, outers_at, put, put_more

ROWS = 256
"""Competitions that are summed in one go; such sums are then added."""


@compiled
def respond(
    image: Array, rows: Array, inputs: Array, n_in: int, weight: Array, u: Array, first: int, k: int
) -> None:
    """Write the drive of some neurons.

    Args:
        image: see above.
        rows: see above; ``TALL - 1`` more than there are competitions.
        inputs: how far behind the first number of a competition each of its inputs lies;
            ``TALL - 1`` more are there and not used.
        n_in: how many inputs there are.
        weight: inputs times neurons, these padded to a multiple of ``WIDTH``, as one row.
        u: shape ``(n, n_out)``; the columns from ``first`` on are written.
        first: column of the first neuron.
        k: neurons.
    """
    (n, n_out), width, flat = u.shape, weight.size // n_in, u.reshape(-1)
    made = np.empty(TALL * WIDTH, np.float32)
    for row in range(0, n, TALL):
        for column in range(0, width, WIDTH):
            sums = nothing()
            for i in range(n_in):
                sums = outers_at(sums, image, rows, row, inputs[i], weight, i * width + column)
            if row + TALL <= n and column + WIDTH <= k:
                put(sums, flat, row * n_out + first + column, n_out)
                continue
            put(sums, made, 0, WIDTH)
            for r in range(min(TALL, n - row)):
                for c in range(min(WIDTH, k - column)):
                    u[row + r, first + column + c] = made[r * WIDTH + c]


@compiled
def product(post: Array, first: int, image: Array, rows: Array, inputs: Array, out: Array) -> None:
    """Write the sum of post times pre of some neurons, of any number.

    Args:
        post: shape ``(n, n_out)``.
        first: column of the first neuron in it.
        image: see above.
        rows: see `respond`.
        inputs: see `respond`.
        out: shape ``(k, n_in)``; written.
    """
    n, (k, n_in) = post.shape[0], out.shape
    n_out, flat = post.shape[1], post.reshape(-1)
    padded = np.zeros(ROWS * WIDTH, np.float32)
    total = np.zeros(((n_in + TALL - 1) // TALL * TALL, WIDTH), np.float32)
    sums_of = total.reshape(-1)
    for column in range(0, k, WIDTH):
        count = min(WIDTH, k - column)
        for i in range(sums_of.size):
            sums_of[i] = 0
        for start in range(0, n, ROWS):  # what they see and do stays in the cache
            end = min(start + ROWS, n)
            own, step, at = flat, n_out, start * n_out + first + column
            if count < WIDTH:
                for t in range(start, end):
                    for c in range(count):
                        padded[(t - start) * WIDTH + c] = post[t, first + column + c]
                own, step, at = padded, WIDTH, 0
            for i in range(0, n_in, TALL):
                sums = nothing()
                for t in range(start, end):
                    to = at + (t - start) * step
                    sums = outers_at(sums, image, inputs, i, rows[t], own, to)
                put_more(sums, sums_of, i * WIDTH, WIDTH)
        for c in range(count):
            row = out[column + c]
            for i in range(n_in):
                row[i] = total[i, c]
