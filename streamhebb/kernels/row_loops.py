"""Loops over rows of weights, for numba: they change a row and look at it while it is near.

All arrays are float32. Largest absolute values are found as bits, which are in the order of the
numbers, with NaN above all; and a maximum of whole numbers is one that compilers make vectors of.
Sums of squares run in lanes that are added pairwise: in one fixed order, on any machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamhebb.kernels.loops import Array, compiled

LANES = 64  # of fewer the compiler makes no vectors here; a power of 2
_UNSIGNED = np.int32(0x7FFFFFFF)  # all bits of a float32 but its sign
_ROUNDING = np.float32(1.0001)  # a bound is itself rounded


@compiled
def add(change: Array, decay: Array, step: Array, weight: Array, norm: Array, top: Array) -> None:
    """Add ``step * (change - decay * weight)`` in place, and look at each row while it is near.

    Args:
        change: shape ``(k, n_in)``.
        decay: shape ``(k,)``, or empty.
        step: shape ``(k,)``.
        weight: shape ``(k, n_in)``.
        norm: length of each row, shape ``(k,)``; written.
        top: largest absolute value in each row, shape ``(k,)``; written, unless it is empty.
    """
    squares = np.empty(LANES, np.float32)
    bits, tops = weight.view(np.int32), top.view(np.int32)
    for j in range(weight.shape[0]):
        d, w, s = change[j], weight[j], step[j]
        if decay.size > 0:
            less = decay[j]
            for i in range(w.size):
                w[i] += s * (d[i] - less * w[i])
        else:
            for i in range(w.size):
                w[i] += s * d[i]
        norm[j] = np.sqrt(_squares(w, squares))
        if tops.size > 0:
            tops[j] = _largest_bits(bits[j])


@compiled
def renew(
    post: Array, pre: Array, decay: Array, step: Array, weight: Array, norm: Array, top: Array
) -> None:
    """As `add`, with the change made here from few competitions: one pass over the weights.

    Args:
        post: shape ``(n, k)``.
        pre: shape ``(n, n_in)``.
        decay: shape ``(k,)``, or empty.
        step: shape ``(k,)``.
        weight: shape ``(k, n_in)``.
        norm: see `add`.
        top: see `add`.
    """
    last = post.shape[0] - 1
    sums, squares = np.empty(weight.shape[1], np.float32), np.empty(LANES, np.float32)
    bits, tops = weight.view(np.int32), top.view(np.int32)
    for j in range(weight.shape[0]):
        w, s = weight[j], step[j]
        p, x = post[last, j], pre[last]
        less = decay[j] if decay.size > 0 else np.float32(0)
        if last == 0:
            for i in range(w.size):
                w[i] += s * (p * x[i] - less * w[i])
        else:
            _products(post, pre, j, last, sums)
            for i in range(w.size):
                w[i] += s * ((sums[i] + p * x[i]) - less * w[i])
        norm[j] = np.sqrt(_squares(w, squares))
        if tops.size > 0:
            tops[j] = _largest_bits(bits[j])


@compiled
def _products(post: Array, pre: Array, j: int, count: int, sums: Array) -> None:
    """Write what the first competitions want of a neuron."""
    p, x = post[0, j], pre[0]
    for i in range(sums.size):
        sums[i] = p * x[i]
    for t in range(1, count):
        q, y = post[t, j], pre[t]
        for i in range(sums.size):
            sums[i] += q * y[i]


@compiled
def look(weight: Array, norm: Array, top: Array) -> None:
    """Write the length of each row and, unless ``top`` is empty, its largest absolute value."""
    squares = np.empty(LANES, np.float32)
    bits, tops = weight.view(np.int32), top.view(np.int32)
    for j in range(weight.shape[0]):
        norm[j] = np.sqrt(_squares(weight[j], squares))
        if tops.size > 0:
            tops[j] = _largest_bits(bits[j])


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
        found: shape ``(1,)``; written.
    """
    n, k = post.shape
    pre_bits, reach = pre.view(np.int32), np.empty(n, np.float32)
    reach_bits, found_bits = reach.view(np.int32), found.view(np.int32)
    for t in range(n):
        reach_bits[t] = _largest_bits(pre_bits[t])
    bound, first = np.empty(k, np.float32), 0
    for j in range(k):
        high = abs(decay[j]) * top[j] if decay.size > 0 else np.float32(0)
        for t in range(n):
            high += abs(post[t, j]) * reach[t]
        bound[j] = high * _ROUNDING
        if bound[j] > bound[first]:
            first = j
    found[0] = 0
    made = np.empty(weight.shape[1], np.float32)
    made_bits = made.view(np.int32)
    for number in range(-1, k):
        j = first if number < 0 else number  # the highest bound leaves few of the others to do
        if number >= 0 and bound[j] < found[0]:
            continue
        _products(post, pre, j, n, made)
        if decay.size > 0:
            less, w = decay[j], weight[j]
            for i in range(w.size):
                made[i] -= less * w[i]
        found_bits[0] = max(found_bits[0], _largest_bits(made_bits))


@compiled
def _squares(row: Array, lanes: Array) -> Any:
    full = row.size // LANES * LANES
    for lane in range(LANES):
        lanes[lane] = 0
    for start in range(0, full, LANES):
        for lane in range(LANES):
            lanes[lane] += row[start + lane] * row[start + lane]
    for lane in range(row.size - full):
        lanes[lane] += row[full + lane] * row[full + lane]
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return lanes[0]


@compiled
def _largest_bits(row: Array) -> Any:
    """Largest absolute value of a row of float32, both as bits."""
    top = np.int32(0)
    for i in range(row.size):
        top = max(top, np.int32(row[i] & _UNSIGNED))  # else numba makes 64 bits of it
    return top
