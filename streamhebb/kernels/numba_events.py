"""Changes of the weights of what spiked, for numba."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.kernels import event_loops
from streamhebb.kernels.loops import NONE
from streamhebb.kernels.memory import fresh
from streamhebb.values import Outer

FEW = 4
"""Competitions, or instants."""
SHARE = 1 / 8
"""Of the weights; beyond, passes over all of them are faster."""


def change_events(outers: tuple[Outer, ...], weight: Tensor, step: Tensor) -> bool:
    """See `streamhebb.kernels.change_events`; all tensors are on the CPU, of one type."""
    found = [_active(outer, weight) for outer in outers]
    if None in found:
        return False
    made = [
        _change(outer, weight, step, *active)
        for outer, active in zip(outers, found, strict=True)
        if active is not None  # says so to the type checker
    ]
    for columns, places, change in made:  # only now: factors are of the weights as they were
        add = event_loops.add_columns if columns else event_loops.add_rows
        add(weight.numpy(), places.numpy(), change.numpy())
    torch.autograd.graph.increment_version(weight)
    return True


def _active(outer: Outer, weight: Tensor) -> tuple[bool, Tensor] | None:
    """Whether inputs or neurons are taken one by one, and which; ``None`` if these are many."""
    if outer.pre.ndim != 2 or not 0 < len(outer.pre) <= FEW:
        return None
    found = []
    for value in (outer.pre, outer.post):
        most = max(1, int(SHARE * value.shape[1]))
        places = torch.empty(most, dtype=torch.int64)
        count = event_loops.active(value.contiguous().numpy(), most, places.numpy())
        if count == -2:
            return None
        found.append((count / value.shape[1] if count >= 0 else 1.0, places[: max(count, 0)]))
    (columns, inputs), (rows, neurons) = found
    if min(columns, rows) > SHARE:
        return None
    return (True, inputs) if columns <= rows else (False, neurons)


def _change(
    outer: Outer, weight: Tensor, step: Tensor, columns: bool, places: Tensor
) -> tuple[bool, Tensor, Tensor]:
    def of(matrix: Tensor) -> Tensor:
        return matrix[:, places] if columns else matrix[places]

    factor = None
    if isinstance(outer.factor, Tensor):
        factor = of(outer.factor)
    elif outer.factor is not None:
        factor = outer.factor(of(weight))
    shape = (len(weight), len(places)) if columns else (len(places), weight.shape[1])
    change = fresh(shape, weight)
    none = NONE[str(weight.dtype)]
    sum_up = event_loops.sum_columns if columns else event_loops.sum_rows
    sum_up(
        outer.post.contiguous().numpy(),
        outer.pre.contiguous().numpy(),
        places.numpy(),
        none if factor is None else factor.contiguous().numpy(),
        step.numpy(),
        change.numpy(),
    )
    return columns, places, change
