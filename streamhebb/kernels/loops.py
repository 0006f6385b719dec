"""The loops that numba compiles; import this module only to run them.

No ``fastmath``: NaN and infinities pass as in torch, and every sum runs in one fixed order, so a
result depends neither on the machine's vector width nor on the sizes of other dimensions. An
array of size 0 stands for a term that the update does not have. Loops run along the row of one
neuron, which stays in the fastest cache while all terms are added to it. They release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

Array = Any
F = TypeVar("F", bound=Callable[..., Any])

# Terms that an update does not have; and no list of inputs, which is all of them.
NONE = {f"torch.{dtype}": np.empty((1, 0), dtype) for dtype in ("float32", "float64")}
ALL = np.empty(0, np.int64)


def compiled(function: F) -> F:
    """Compile a function when it is first called, once for each type of its arguments.

    Filling and copying is written as loops, as slices take numba seconds to compile.
    """
    return cast(F, numba.njit(nogil=True, error_model="numpy")(function))


@compiled
def accumulate(
    post: Array, pre: Array, inputs: Array, skip: bool,
    factor: Array, decay: Array, dense: Array, weight: Array, out: Array, add: bool,
) -> None:  # fmt: skip
    """One outer product and, with the last one, decay and dense term.

    Args:
        post: shape ``(g, n, n_out / g)``.
        pre: shape ``(g, n, m)``: all inputs, or those listed in ``inputs``.
        inputs: which inputs the columns of ``pre`` are; the others are 0 throughout.
        skip: leave out competitions in which a neuron's ``post`` is 0.
        factor: shape ``(n_out, n_in)``.
        decay: summed over competitions, shape ``(n_out,)``.
        dense: shape ``(n_out, n_in)``.
        weight: shape ``(n_out, n_in)``.
        out: shape ``(n_out, n_in)``.
        add: whether to add to ``out``, or to overwrite it.
    """
    _groups, n, each = post.shape
    m, n_in = pre.shape[2], out.shape[1]
    few, whole = np.empty(m, out.dtype), np.empty(n_in, out.dtype)
    active = np.empty(n, np.int64)
    direct = not add and factor.size == 0
    for j in range(out.shape[0]):
        g, k = j // each, j % each
        row = out[j]

        if n == 1 and direct and inputs.size == 0 and decay.size > 0 and dense.size == 0:
            p, x, d, w = post[g, 0, k], pre[g, 0], decay[j], weight[j]  # one sample, one pass
            for i in range(n_in):
                row[i] = p * x[i] - d * w[i]
            continue

        count = 0
        for t in range(n):
            if not skip or post[g, t, k] != 0:
                active[count] = t
                count += 1

        sums = few if inputs.size > 0 else row if direct else whole
        if count == 0:
            for i in range(m):
                sums[i] = 0
        else:
            p, x = post[g, active[0], k], pre[g, active[0]]
            for i in range(m):
                sums[i] = p * x[i]
        done = min(count, 1)
        while done + 3 <= count:  # three in one go, added in the same order as one by one
            p, x = post[g, active[done], k], pre[g, active[done]]
            q, y = post[g, active[done + 1], k], pre[g, active[done + 1]]
            r, z = post[g, active[done + 2], k], pre[g, active[done + 2]]
            for i in range(m):
                sums[i] = ((sums[i] + p * x[i]) + q * y[i]) + r * z[i]
            done += 3
        while done < count:
            p, x = post[g, active[done], k], pre[g, active[done]]
            for i in range(m):
                sums[i] += p * x[i]
            done += 1

        if inputs.size > 0:
            sums = row if direct else whole
            for i in range(n_in):
                sums[i] = 0
            for c in range(m):
                sums[inputs[c]] = few[c]
        _finish(sums, row, j, factor, decay, dense, weight, add)


@compiled
def _finish(
    sums: Array, row: Array, j: int,
    factor: Array, decay: Array, dense: Array, weight: Array, add: bool,
) -> None:  # fmt: skip
    """All that follows the sum over competitions; ``sums`` may be ``row`` itself."""
    if factor.size > 0:
        f = factor[j]
        for i in range(row.size):
            sums[i] *= f[i]
    if add:
        for i in range(row.size):
            row[i] += sums[i]
    elif factor.size > 0:
        for i in range(row.size):
            row[i] = sums[i]
    if decay.size > 0:
        d, w = decay[j], weight[j]
        for i in range(row.size):
            row[i] -= d * w[i]
    if dense.size > 0:
        more = dense[j]
        for i in range(row.size):
            row[i] += more[i]


@compiled
def sparse_drive(pre: Array, weight: Array, index: Array, u: Array) -> None:
    """Weighted input of neurons of fixed fan-in; ``pre (g, n, n_in)``, ``u (g, n, n_out / g)``.

    Four sums side by side, as one addition must not wait for the one before.
    """
    _groups, n, each = u.shape
    fan_in = weight.shape[1]
    whole = fan_in - fan_in % 4
    for j in range(weight.shape[0]):
        g, k = j // each, j % each
        w, at = weight[j], index[j]
        for r in range(n):
            x = pre[g, r]
            a = b = c = d = u.dtype.type(0)
            for i in range(0, whole, 4):
                a += w[i] * x[at[i]]
                b += w[i + 1] * x[at[i + 1]]
                c += w[i + 2] * x[at[i + 2]]
                d += w[i + 3] * x[at[i + 3]]
            for i in range(whole, fan_in):
                a += w[i] * x[at[i]]
            u[g, r, k] = (a + b) + (c + d)


@compiled
def sparse_accumulate(
    post: Array, pre: Array, index: Array, skip: bool,
    factor: Array, decay: Array, dense: Array, weight: Array, out: Array, add: bool,
) -> None:  # fmt: skip
    """As [`accumulate`][streamhebb.kernels.loops.accumulate], for neurons of fixed fan-in."""
    _groups, n, each = post.shape
    fan_in = out.shape[1]
    whole = np.empty(fan_in, out.dtype)
    direct = not add and factor.size == 0
    for j in range(out.shape[0]):
        g, k = j // each, j % each
        row, at = out[j], index[j]
        sums = row if direct else whole
        for i in range(fan_in):
            sums[i] = 0
        for r in range(n):
            p = post[g, r, k]
            if skip and p == 0:
                continue
            x = pre[g, r]
            for i in range(fan_in):
                sums[i] += p * x[at[i]]
        _finish(sums, row, j, factor, decay, dense, weight, add)
