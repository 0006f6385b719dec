"""Weights of what spiked, for numba: the work is proportional to how many did."""

from __future__ import annotations

from streamhebb.kernels.loops import Array, compiled


@compiled
def active(values: Array, most: int, places: Array) -> int:
    """Find the columns that are not 0 throughout.

    Args:
        values: shape ``(n, k)``.
        most: how many may be found.
        places: their numbers, ``(most,)``; written.

    Returns:
        How many there are; -1 for more; -2 if a number is not finite.
    """
    count = 0
    for j in range(values.shape[1]):
        here = False
        for t in range(values.shape[0]):
            value = values[t, j]
            if value - value != 0:  # 0 times what is not finite would be left out
                return -2
            here = here or value != 0
        if here:
            if count < most:
                places[count] = j
            count += 1
    return count if count <= most else -1


@compiled
def sum_columns(
    post: Array, pre: Array, inputs: Array, factor: Array, step: Array, change: Array
) -> None:
    """Write the change of the weights of some inputs.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        inputs: those that did something, ``(m,)``.
        factor: of their weights, ``(n_out, m)``, or empty.
        step: shape ``(n_out,)``.
        change: shape ``(n_out, m)``; written.
    """
    n, n_out = post.shape
    for j in range(n_out):
        row = change[j]
        for c in range(inputs.size):
            total = post[0, j] * pre[0, inputs[c]]
            for t in range(1, n):
                total += post[t, j] * pre[t, inputs[c]]
            row[c] = step[j] * total
        if factor.size > 0:
            for c in range(inputs.size):
                row[c] *= factor[j, c]


@compiled
def sum_rows(
    post: Array, pre: Array, neurons: Array, factor: Array, step: Array, change: Array
) -> None:
    """Write the change of the weights of some neurons.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        neurons: those that did something, ``(m,)``.
        factor: of their weights, ``(m, n_in)``, or empty.
        step: shape ``(n_out,)``.
        change: shape ``(m, n_in)``; written.
    """
    n, n_in = pre.shape
    for r in range(neurons.size):
        j, row = neurons[r], change[r]
        for i in range(n_in):
            row[i] = post[0, j] * pre[0, i]
        for t in range(1, n):
            for i in range(n_in):
                row[i] += post[t, j] * pre[t, i]
        for i in range(n_in):
            row[i] *= step[j]
        if factor.size > 0:
            for i in range(n_in):
                row[i] *= factor[r, i]


@compiled
def add_columns(weight: Array, inputs: Array, change: Array) -> None:
    """Add a change to the weights of some inputs."""
    for j in range(weight.shape[0]):
        row, more = weight[j], change[j]
        for c in range(inputs.size):
            row[inputs[c]] += more[c]


@compiled
def add_rows(weight: Array, neurons: Array, change: Array) -> None:
    """Add a change to the weights of some neurons."""
    for r in range(neurons.size):
        row, more = weight[neurons[r]], change[r]
        for i in range(row.size):
            row[i] += more[i]
