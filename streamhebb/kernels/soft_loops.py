"""Soft winner-take-all, and sums over competitions, for numba: rows of neurons, as vectors."""

from __future__ import annotations

import numpy as np

from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.vector_code import LANES
from streamhebb.kernels.vectors import (
    alike,
    exp2,
    fma,
    higher,
    highest,
    load,
    magnitude,
    spread,
    store,
    total,
)

_LOG2E = np.float32(1.4426950408889634)
_ONE, _TWO = np.float32(1), np.float32(2)


ROWS = 128
"""Rows that are summed in one go; such sums are then added, which rounds less."""


@compiled
def soft_wta(
    drive: Array, t: float, anti_hebbian: bool, start: int, end: int, out: Array, sums: Array
) -> None:
    """Softmax of some rows; with ``anti_hebbian`` the sign of all but the first largest reversed.

    While a row is near, it is multiplied with its drive, for the sum that a decay asks for.

    A row is worked on in full vectors; what is missing in the last one is the lowest of all numbers
    meanwhile, so that it has no share.

    Args:
        drive: shape ``(n, k)``.
        t: inverse temperature.
        anti_hebbian: see above.
        start: the first row.
        end: the one after the last.
        out: same shape as ``drive``; written.
        sums: over these rows, of shares times drives, shape ``(k,)``; written.
    """
    k = drive.shape[1]
    padded = (k + LANES - 1) // LANES * LANES
    part, left = np.zeros(padded, np.float32), ROWS
    for j in range(k):
        sums[j] = 0
    row, shares = np.full(padded, -np.inf, np.float32), np.empty(padded, np.float32)
    base = spread(np.float32(t) * _LOG2E)
    for n in range(start, end):
        found, written = drive[n], out[n]
        for j in range(k):
            row[j] = found[j]
        most = load(row, 0)
        for j in range(LANES, padded, LANES):
            most = higher(load(row, j), most)
        top = highest(most)
        first, whole = spread(top), spread(0.0)
        for j in range(0, padded, LANES):
            share = exp2((load(row, j) - first) * base)
            store(shares, j, share)
            whole = whole + share
        share = _ONE / total(whole)
        twice, against, winners = spread(_TWO * share), spread(-share), spread(0.0)
        if not anti_hebbian:
            twice, against = spread(np.float32(0)), spread(share)
        for j in range(0, padded, LANES):
            won = alike(load(row, j), first)
            winners = winners + won
            store(shares, j, load(shares, j) * fma(won, twice, against))
        if anti_hebbian and total(winners) > 1:
            _first_only(row, top, shares)
        for j in range(k):
            written[j] = shares[j]
        for j in range(k, padded):
            row[j] = 0
        for j in range(0, padded, LANES):
            store(part, j, fma(load(shares, j), load(row, j), load(part, j)))
        for j in range(k, padded):
            row[j] = -np.inf
        left -= 1
        if left == 0 or n == end - 1:
            for j in range(k):
                sums[j] += part[j]
            for j in range(padded):
                part[j] = 0
            left = ROWS


@compiled
def _first_only(row: Array, top: float, shares: Array) -> None:
    """Reverse the sign of those that have the largest drive, too, but are not the first."""
    one = False
    for j in range(shares.size):
        if row[j] == top:
            if one:
                shares[j] = -shares[j]
            one = True


@compiled
def summed_products(one: Array, two: Array, start: int, end: int, out: Array) -> None:
    """Sum of products over rows, ``(n, k)``, for some columns.

    Args:
        one: shape ``(n, k)``.
        two: same shape.
        start: the first column.
        end: the one after the last.
        out: shape ``(k,)``; written.
    """
    n, k = one.shape
    first, second = one.reshape(-1), two.reshape(-1)
    part = np.empty(end - start + LANES, np.float32)
    full = (end - start) // LANES * LANES
    for j in range(start, end):
        out[j] = 0
    for block in range(0, n, ROWS):
        for j in range(end - start):
            part[j] = 0
        for row in range(block, min(block + ROWS, n)):
            at = row * k + start
            for j in range(0, full, LANES):
                store(part, j, fma(load(first, at + j), load(second, at + j), load(part, j)))
            for j in range(full, end - start):
                part[j] += first[at + j] * second[at + j]
        for j in range(end - start):
            out[start + j] += part[j]


@compiled
def bounds(
    post: Array, tops: Array, decay: Array, top: Array, slack: float, start: int, end: int,
    out: Array,
) -> None:  # fmt: skip
    """Write what the changes of some neurons do not exceed; see `torch_backend.bounds`.

    Args:
        post: shape ``(n, k)``.
        tops: shape ``(n,)``.
        decay: shape ``(k,)``, or empty.
        top: shape ``(k,)``.
        slack: see there.
        start: the first neuron.
        end: the one after the last.
        out: shape ``(k,)``; written from ``start`` to ``end``.
    """
    n, k = post.shape
    numbers = post.reshape(-1)
    part = np.empty(end - start + LANES, np.float32)
    full = (end - start) // LANES * LANES
    for j in range(start, end):
        out[j] = 0
    for block in range(0, n, ROWS):
        for j in range(end - start):
            part[j] = 0
        for row in range(block, min(block + ROWS, n)):
            at, factor = row * k + start, spread(tops[row])
            for j in range(0, full, LANES):
                store(part, j, fma(magnitude(load(numbers, at + j)), factor, load(part, j)))
            for j in range(full, end - start):
                part[j] += abs(numbers[at + j]) * tops[row]
        for j in range(end - start):
            out[start + j] += part[j]
    for j in range(start, end):
        if decay.size > 0:
            out[j] += abs(decay[j]) * top[j]
        out[j] *= np.float32(slack)
