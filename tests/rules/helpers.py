"""What tests of rules share: random activity with and without groups, and state at its start."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels
from streamhebb.parts import State
from streamhebb.rules.base import traces

F64 = torch.float64


@st.composite
def activities(draw: Any, steps: int = 1) -> list[sh.Activity]:
    """A few instants of one layer: ``(n, n_in)``, or with groups ``(g, n, n_in)``."""
    n, n_in, each = (draw(st.integers(1, 4)) for _ in range(3))
    groups = draw(st.sampled_from([0, 0, 2, 3]))
    lead = (groups,) if groups else ()
    chance = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def rand(*size: int) -> Tensor:
        return torch.randn(size, generator=chance, dtype=F64)

    return [
        sh.Activity(
            rand(*lead, n, n_in), rand(*lead, n, each), rand(*lead, n, each),
            rand(max(groups, 1) * each, n_in),
        )
        for _ in range(draw(st.integers(1, steps)))
    ]  # fmt: skip


def start(rule: Any, seen: sh.Activity) -> State:
    """What a fresh layer gives the rule for a first sample like this, in float64."""
    n_out, n_in = seen.weight.shape
    shape = seen.post.shape
    rows = {
        name: value.view(*shape[:-2], 1, -1).expand(*shape[:-1], -1).clone()
        for name, value in traces(rule, n_in, n_out).items()
    }
    return {k: v.double() for k, v in (rule.init(n_in, n_out) | rows).items()}


def change(rule: Any, seen: sh.Activity, state: State | None = None) -> tuple[Tensor, State]:
    """One raw change through the layer's kernel, and the rule's next state."""
    update, state = rule.terms(seen, start(rule, seen) if state is None else state)
    return kernels.accumulate(update, seen.weight, torch.empty_like(seen.weight)), state


def grouped(seen: sh.Activity) -> list[tuple[list[Any], ...]]:
    """``x, y, u, w`` of each group as nested lists."""
    pre, post, drive = (v if v.ndim == 3 else v[None] for v in seen[:3])
    weight = seen.weight.view(len(pre), -1, seen.weight.shape[1])
    return [tuple(v[g].tolist() for v in (pre, post, drive, weight)) for g in range(len(pre))]


def side_by_side(values: Tensor) -> list[list[float]]:
    """``[n][j]`` over the neurons of all groups."""
    return values.tolist() if values.ndim == 2 else torch.cat(list(values), 1).tolist()


def outer_by_group(factor: list[list[float]], seen: sh.Activity, outer: Any) -> list[list[float]]:
    """The summed outer product of factors over all neurons with what each group sees."""
    dw: list[list[float]] = []
    for x, _, _, w in grouped(seen):
        part = slice(len(dw), len(dw) + len(w))
        dw += outer([row[part] for row in factor], x, w)
    return dw


def close(found: Tensor, expected: Any) -> None:
    expected = torch.tensor(expected, dtype=F64)
    assert found.dtype == F64
    assert found.shape == expected.shape
    size = max(1.0, float(expected.abs().max()))
    assert float((found - expected).abs().max()) <= 1e-12 * size
