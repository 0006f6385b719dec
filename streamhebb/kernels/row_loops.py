"""Loops over rows of weights, for numba: they change a row and look at it in one pass.

All arrays are float32. Sums of squares run in lanes and are added in one fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vector_code import LANES
from streamhebb.kernels.vectors import (
    farther,
    fma,
    load,
    put_coarse,
    spread,
    store,
    total,
    utmost,
)

_ROUNDING = np.float32(1.0001)  # a bound is itself rounded
_APART = np.float32(1e-10)
_TINY = np.finfo(np.float32).tiny  # as `NeuronRMS` has it


@compiled
def higher(one: Any, two: Any) -> Any:
    """The higher one; NaN if one of them is."""
    return one if one > two or one != one else two


@compiled
def _add(
    made: Array, at: int, weight: Array, start: int, n_in: int, decay: Any, step: Any, pairs: Array
) -> Any:
    """Change one row; return its length and its largest absolute value."""
    losing, by = spread(-decay), spread(step)
    squares, highest = spread(0.0), spread(0.0)
    full, apart = n_in // LANES * LANES, at - start
    coarse = pairs.size > 0
    for i in range(start, start + full, LANES):
        old = load(weight, i)
        new = fma(by, fma(losing, old, load(made, apart + i)), old)
        store(weight, i, new)
        squares, highest = fma(new, new, squares), farther(new, highest)
        if coarse:
            put_coarse(pairs, i // 2, new)
    square, high = total(squares), utmost(highest)
    for i in range(start + full, start + n_in):
        new = weight[i] + step * (made[apart + i] - decay * weight[i])
        weight[i] = new
        square += new * new
        high = higher(abs(new), high)
    return np.sqrt(square), high


@compiled
def _by(
    made: Array, at: int, weight: Array, start: int, n_in: int, decay: Any, step: Any, own: Array
) -> Any:
    """The step of one row, divided by the root mean square of its changes; ``own`` says which."""
    losing, squares = spread(-decay), spread(0.0)
    full, apart = n_in // LANES * LANES, at - start
    for i in range(start, start + full, LANES):
        change = fma(losing, load(weight, i), load(made, apart + i))
        squares = fma(change, change, squares)
    square = total(squares)
    for i in range(start + full, start + n_in):
        change = made[apart + i] - decay * weight[i]
        square += change * change
    own[0] += own[1] * (square / np.float32(n_in) - own[0])
    return step / np.sqrt(own[0] + _TINY)


@compiled
def add(
    change: Array, at: int, start: int, count: int,
    decay: Array, step: Array, weight: Array, norm: Array, top: Array, memory: Array,
    running: Array,
) -> None:  # fmt: skip
    """Add ``step * (change - decay * weight)`` to some rows in place, and look at each meanwhile.

    Args:
        change: what is added, rows of ``n_in``.
        at: the first of these.
        start: the first row of the weights.
        count: how many rows.
        decay: shape ``(k,)``, or empty.
        step: shape ``(k,)``.
        weight: shape ``(k, n_in)``.
        norm: length of each row, shape ``(k,)``; written.
        top: largest absolute value in each row, shape ``(k,)``; written, unless it is empty.
        memory: for the weights in bfloat16, ``(k, n_in / 2)`` pairs, of rows that are full vectors;
            or empty.
        running: see `Renewal`, ``(k, 2)``; or empty.
    """
    n_in, made, w, pairs = (
        weight.shape[1],
        change.reshape(-1),
        weight.reshape(-1),
        memory.reshape(-1),
    )
    for n in range(count):
        j, to, by = start + n, (at + n) * n_in, step[start + n]
        less = decay[j] if decay.size > 0 else np.float32(0)
        if running.size > 0:
            by = _by(made, to, w, j * n_in, n_in, less, by, running[j])
        norm[j], high = _add(made, to, w, j * n_in, n_in, less, by, pairs)
        if top.size > 0:
            top[j] = high


@compiled
def look(weight: Array, norm: Array, top: Array) -> None:
    """Write the length of each row and, unless ``top`` is empty, its largest absolute value."""
    n_in = weight.shape[1]
    w, full = weight.reshape(-1), n_in // LANES * LANES
    for j in range(weight.shape[0]):
        squares, highest = spread(0.0), spread(0.0)
        for i in range(j * n_in, j * n_in + full, LANES):
            value = load(w, i)
            squares, highest = fma(value, value, squares), farther(value, highest)
        square, high = total(squares), utmost(highest)
        for i in range(j * n_in + full, (j + 1) * n_in):
            square += w[i] * w[i]
            high = higher(abs(w[i]), high)
        norm[j] = np.sqrt(square)
        if top.size > 0:
            top[j] = high


@compiled
def rates(radius: Array, lr: float, power: float, out: Array) -> None:
    """Write the rate of each row by its radius; see `torch_backend.rates`."""
    scale, exponent = np.float32(lr), np.float32(power)
    for j in range(radius.size):
        apart = abs(radius[j] - np.float32(1)) + _APART
        out[j] = scale * (np.sqrt(apart) if exponent == np.float32(0.5) else apart**exponent)


@compiled
def largest(numbers: Array) -> Any:
    """The largest absolute value of a row of numbers; NaN if one is."""
    full, highest = numbers.size // LANES * LANES, spread(0.0)
    for i in range(0, full, LANES):
        highest = farther(load(numbers, i), highest)
    high = utmost(highest)
    for i in range(full, numbers.size):
        high = higher(abs(numbers[i]), high)
    return high


@compiled
def _made(post: Array, seen: Array, n_in: int, j: int, row: Array) -> None:
    """Write what some competitions want of a neuron."""
    n, full = post.shape[0], n_in // LANES * LANES
    for i in range(0, full, LANES):
        sums = spread(post[0, j]) * load(seen, i)
        for t in range(1, n):
            sums = fma(spread(post[t, j]), load(seen, t * n_in + i), sums)
        store(row, i, sums)
    for i in range(full, n_in):
        row[i] = post[0, j] * seen[i]
        for t in range(1, n):
            row[i] += post[t, j] * seen[t * n_in + i]


@compiled
def renew(
    post: Array, first: int, pre: Array,
    decay: Array, step: Array, weight: Array, norm: Array, top: Array, memory: Array,
    running: Array,
) -> None:  # fmt: skip
    """As `add`, with the change made here from few competitions: one pass over the weights.

    Args:
        post: shape ``(n, n_out)``.
        first: column of the first neuron in it.
        pre: shape ``(n, n_in)``.
        decay: see `add`.
        step: see `add`.
        weight: see `add`.
        norm: see `add`.
        top: see `add`.
        memory: see `add`.
        running: see `add`.
    """
    k, n_in = weight.shape
    row, w, pairs = np.empty(n_in, np.float32), weight.reshape(-1), memory.reshape(-1)
    seen = pre.reshape(-1)
    for j in range(k):
        _made(post, seen, n_in, first + j, row)
        less, by = decay[j] if decay.size > 0 else np.float32(0), step[j]
        if running.size > 0:
            by = _by(row, 0, w, j * n_in, n_in, less, by, running[j])
        norm[j], high = _add(row, 0, w, j * n_in, n_in, less, by, pairs)
        if top.size > 0:
            top[j] = high


@compiled
def largest_change(
    post: Array, pre: Array, decay: Array, weight: Array, top: Array, found: Array
) -> None:
    """Write the largest absolute change of all rows; rows whose bound is below it are left out.

    Args:
        post: shape ``(n, k)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(k,)``, or empty.
        weight: shape ``(k, n_in)``.
        top: largest absolute value of each row or a bound of it, shape ``(k,)``.
        found: shape ``(1,)``; written; NaN if a change that is looked at holds one.
    """
    (n, k), n_in = post.shape, pre.shape[1]
    reach = np.empty(n, np.float32)
    look(pre, np.empty(n, np.float32), reach)
    bound, first = np.empty(k, np.float32), 0
    for j in range(k):
        high = abs(decay[j]) * top[j] if decay.size > 0 else np.float32(0)
        for t in range(n):
            high += abs(post[t, j]) * reach[t]
        bound[j] = high * _ROUNDING
        if bound[j] > bound[first]:
            first = j
    found[0] = 0
    made, highest = np.empty((1, n_in), np.float32), np.empty(1, np.float32)
    norm, seen, row = np.empty(1, np.float32), pre.reshape(-1), made.reshape(-1)
    for number in range(-1, k):
        j = first if number < 0 else number  # the highest bound leaves few of the others to do
        if number >= 0 and bound[j] < found[0]:
            continue
        _made(post, seen, n_in, j, row)
        if decay.size > 0:
            less, w = decay[j], weight[j]
            for i in range(n_in):
                row[i] -= less * w[i]
        look(made, norm, highest)
        found[0] = higher(highest[0], found[0])
