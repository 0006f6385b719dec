from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from streamhebb import kernels
from streamhebb.values import LocalUpdate, Outer
from tests import oracles

F64 = torch.float64


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64)


@given(n=st.integers(1, 4), n_in=st.integers(1, 5), n_out=st.integers(1, 5))
def test_drive_equals_the_oracle(n: int, n_in: int, n_out: int) -> None:
    x, w = rand(n, n_in), rand(n_out, n_in)
    expected = torch.tensor(oracles.drive(x.tolist(), w.tolist()), dtype=F64)
    torch.testing.assert_close(kernels.drive(x, w), expected, rtol=1e-12, atol=1e-12)


def loops(update: LocalUpdate, weight: Tensor, groups: int) -> Tensor:
    """The equation of LocalUpdate, entry by entry."""
    out = torch.zeros_like(weight)
    each = weight.shape[0] // groups
    for j in range(weight.shape[0]):
        g, row = divmod(j, each)
        for i in range(weight.shape[1]):
            total = 0.0
            for post, pre, _ in update.outer:
                post, pre = (post, pre) if groups > 1 else (post[None], pre[None])
                for n in range(pre.shape[1]):
                    total += float(post[g, n, row]) * float(pre[g, n, i])
            if update.decay is not None:
                decay = update.decay if groups > 1 else update.decay[None]
                total -= float(decay[g, :, row].sum()) * float(weight[j, i])
            if update.dense is not None:
                total += float(update.dense[j, i])
            out[j, i] = total
    return out


@given(
    groups=st.integers(1, 3),
    outers=st.integers(0, 3),
    decays=st.booleans(),
    dense=st.booleans(),
    n=st.integers(1, 3),
)
def test_accumulate_equals_the_loops(
    groups: int, outers: int, decays: bool, dense: bool, n: int
) -> None:
    each, n_in = 2, 3
    lead = (groups,) if groups > 1 else ()
    weight = rand(groups * each, n_in)
    update = LocalUpdate(
        tuple(Outer(rand(*lead, n, each), rand(*lead, n, n_in)) for _ in range(outers)),
        rand(*lead, n, each) if decays else None,
        rand(groups * each, n_in) if dense else None,
    )
    before = weight.clone()
    out = torch.full_like(weight, float("nan"))  # what was in the memory must not matter
    found = kernels.accumulate(update, weight, out)
    assert found is out
    assert torch.equal(weight, before)
    torch.testing.assert_close(found, loops(update, weight, groups), rtol=1e-12, atol=1e-12)


def test_a_group_touches_its_own_neurons_only() -> None:
    weight, x = rand(4, 3), rand(2, 1, 3)
    before = kernels.drive(x, weight)
    x[1] = 0
    after = kernels.drive(x, weight)
    assert torch.equal(before[0], after[0])
    assert (after[1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_is_kept(dtype: torch.dtype) -> None:
    x, w = rand(2, 3).to(dtype), rand(2, 3).to(dtype)
    assert kernels.drive(x, w).dtype == dtype
    update = LocalUpdate((Outer(x[:, :2], x),), x[:, :2])
    assert kernels.accumulate(update, w, torch.empty_like(w)).dtype == dtype
