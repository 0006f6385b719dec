"""Rows of a presentation: one for each competition at each instant, time first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from streamhebb.values import Activity, LocalUpdate, Outer


def time_first(x: Tensor) -> Tensor:
    """Bring ``(B, T, ...)`` to ``(T * B, ...)``."""
    return x.transpose(0, 1).flatten(0, 1)


def batch_first(x: Tensor, steps: int) -> Tensor:
    """Bring ``(T * B, ...)`` back to ``(B, T, ...)``."""
    return x.view(steps, -1, *x.shape[1:]).transpose(0, 1)


def by_instant(rows: Tensor, steps: int) -> Tensor:
    """See ``(T * N, n)`` or ``(g, T * N, n)`` as ``(T, N, n)`` or ``(T, g, N, n)``."""
    *groups, _, n = rows.shape
    return rows.view(*groups, steps, -1, n).movedim(-3, 0)


def joined(instants: Sequence[Tensor]) -> Tensor:
    """Join ``T`` tensors ``(N, n)`` or ``(g, N, n)`` to rows, time first."""
    return instants[0] if len(instants) == 1 else torch.cat(list(instants), -2)


def per_neuron(value: Tensor, like: Tensor) -> Tensor:
    """See ``(n_out,)`` as ``(n_out,)`` or ``(groups, 1, n_out / groups)``, as ``like`` has it."""
    return value if like.ndim == 2 else value.view(like.shape[0], 1, -1)


def neurons_last(rows: Tensor) -> Tensor:
    """Bring ``(N, n)`` or ``(g, N, n / g)`` to ``(N, n)``."""
    return rows if rows.ndim == 2 else rows.transpose(0, 1).flatten(1)


def split(whole: Activity, steps: int) -> list[Activity]:
    """Split a presentation into its instants."""
    if steps == 1:
        return [whole]
    voltage = None if whole.voltage is None else by_instant(whole.voltage, steps)
    pre, post, drive = (by_instant(rows, steps) for rows in whole[:3])
    return [
        whole._replace(
            pre=pre[t],
            post=post[t],
            drive=drive[t],
            voltage=None if voltage is None else voltage[t],
        )
        for t in range(steps)
    ]


def summed(updates: Sequence[LocalUpdate]) -> LocalUpdate:
    """Join what a rule wants at several instants into one update.

    Weights stay as they are during a presentation, so a factor is the same at every instant.
    """
    if len(updates) == 1:
        return updates[0]
    first = updates[0]
    outers = [
        Outer(
            joined([update.outer[k].post for update in updates]),
            joined([update.outer[k].pre for update in updates]),
            first.outer[k].factor,
        )
        for k in range(len(first.outer))
    ]
    decay = (
        None if first.decay is None else joined([u.decay for u in updates if u.decay is not None])
    )
    dense = None if first.dense is None else sum(u.dense for u in updates if u.dense is not None)
    return LocalUpdate(tuple(outers), decay, dense)  # type: ignore[arg-type]
