"""Both backends against the equations, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import numba_backend, numba_zeros, torch_backend
from streamhebb.schedule import Serial, Task, Threads, make_plan
from streamhebb.values import LocalUpdate, Outer
from tests import oracles

F64 = torch.float64
BACKENDS = ["torch", "numba"]
backends = pytest.mark.parametrize("backend", BACKENDS)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


def loops(update: LocalUpdate, weight: Tensor, groups: int, index: Tensor | None = None) -> Tensor:
    """The equation of LocalUpdate with plain numbers."""
    out = torch.zeros_like(weight)
    each = weight.shape[0] // groups
    for j in range(weight.shape[0]):
        g, row = divmod(j, each)
        for i in range(weight.shape[1]):
            seen = i if index is None else int(index[j, i])
            total = 0.0
            for post, pre, factor in update.outer:
                post, pre = (post, pre) if post.ndim == 3 else (post[None], pre[None])
                part = 0.0
                for n in range(pre.shape[1]):
                    part += float(post[g, n, row]) * float(pre[g, n, seen])
                total += part if factor is None else part * float(factor[j, i])
            if update.decay is not None:
                decay = update.decay if update.decay.ndim == 3 else update.decay[None]
                lost = 0.0
                for n in range(decay.shape[1]):
                    lost += float(decay[g, n, row])
                total -= lost * float(weight[j, i])
            if update.dense is not None:
                total += float(update.dense[j, i])
            out[j, i] = total
    return out


class Chance:
    """Random tensors: some with many zeros, some that are not contiguous."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def one_of(self, *values: Any) -> Any:
        return values[int(torch.randint(len(values), (1,), generator=self.generator))]

    def __call__(self, *shape: int, spikes: bool = False) -> Tensor:
        if self.one_of(True, False):  # every second column of something larger
            value = torch.randn(*shape[:-1], 2 * shape[-1], generator=self.generator, dtype=F64)
            value = value[..., ::2]
        else:
            value = torch.randn(*shape, generator=self.generator, dtype=F64)
        if spikes:
            value = value * (value > 1.5)
        return value


ONE = torch.full((2, 1, 1), 0.5, dtype=F64)  # two groups, one sample, one neuron, one input
TWO = torch.ones(2, 1, dtype=F64)


@st.composite
def updates(draw: Any) -> tuple[LocalUpdate, Tensor, Tensor | None, int]:
    """An update, weights, the index of a sparse synapse or none, and the number of groups."""
    groups = draw(st.sampled_from([0, 1, 2, 3]))  # 0: tensors without a dimension for groups
    each, n_in, n = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(0, 12))
    chance = Chance(draw(st.integers(0, 2**31)))
    n_out, lead = each * max(groups, 1), (groups,) if groups else ()
    index, width = None, n_in
    if draw(st.booleans()):
        width = draw(st.integers(1, 9))  # more than there are inputs: some are repeated
        index = torch.randint(n_in, (n_out, width), generator=chance.generator)
    weight = chance(n_out, width).contiguous()
    outer = tuple(
        Outer(
            chance(*lead, n, each, spikes=draw(st.booleans())),
            chance(*lead, n, n_in, spikes=draw(st.booleans())),
            chance(n_out, width) if draw(st.booleans()) else None,
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    decay = chance(*lead, n, each) if draw(st.booleans()) else None
    dense = chance(n_out, width) if draw(st.booleans()) else None
    return LocalUpdate(outer, decay, dense), weight, index, max(groups, 1)


@contextmanager
def tried(backend: str, few: int = numba_backend.FEW, events: float = 1.0) -> Iterator[None]:
    """A backend that treats small layers like large ones, so that all its ways are gone."""
    with pytest.MonkeyPatch.context() as patch, kernels.use(backend):
        patch.setattr(torch_backend, "AT_ONCE", 10)
        patch.setattr(numba_zeros, "LARGE", 0)
        patch.setattr(numba_backend, "FEW", few)
        patch.setattr(numba_zeros, "EVENTS", events)
        yield


@backends
@pytest.mark.parametrize(("few", "events"), [(numba_backend.FEW, 1 / 8), (0, 1.0)])
@given(case=updates())
@example(
    case=(LocalUpdate((Outer(ONE, ONE), Outer(ONE, ONE))), torch.ones(2, 1, dtype=F64), None, 2)
)
def test_accumulate_equals_the_loops(backend: str, few: int, events: float, case: Any) -> None:
    update, weight, index, groups = case
    before = weight.clone()
    out = torch.full_like(weight, math.nan)  # what was in the memory must not matter
    with tried(backend, few, events):
        found = kernels.accumulate(update, weight, out, index)
        again = kernels.accumulate(update, weight, torch.empty_like(out), index)
    assert found is out
    assert torch.equal(found, again), "the same bits in every run"
    assert torch.equal(weight, before)
    close(found, loops(update, weight, groups, index))


@backends
@given(
    groups=st.integers(0, 3), n=st.integers(0, 5), n_in=st.integers(1, 5), each=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_drive_equals_the_oracle(
    backend: str, groups: int, n: int, n_in: int, each: int, seed: int
) -> None:
    chance = Chance(seed)
    lead = (groups,) if groups else ()
    x, w = chance(*lead, n, n_in), chance(each * max(groups, 1), n_in).contiguous()
    with kernels.use(backend):
        found = kernels.drive(x, w)
        assert torch.equal(found, kernels.drive(x, w))
    assert found.shape == (*lead, n, each)
    pairs = zip(x if groups else x[None], w.split(each), found if groups else [found], strict=True)
    for x_g, w_g, found_g in pairs:
        expected = oracles.drive(x_g.tolist(), w_g.tolist())
        close(found_g, torch.tensor(expected, dtype=F64).view(n, each))


@backends
@given(
    groups=st.integers(0, 3), n=st.integers(0, 5), n_in=st.integers(1, 5), each=st.integers(1, 4),
    fan_in=st.integers(1, 11), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_sparse_drive_equals_the_equation(
    backend: str, groups: int, n: int, n_in: int, each: int, fan_in: int, seed: int
) -> None:
    chance = Chance(seed)
    lead, n_out = (groups,) if groups else (), each * max(groups, 1)
    x, w = chance(*lead, n, n_in), chance(n_out, fan_in)
    index = torch.randint(n_in, (n_out, fan_in), generator=chance.generator)
    with tried(backend):
        found = kernels.sparse_drive(x, w, index)
        assert torch.equal(found, kernels.sparse_drive(x, w, index))
    assert found.shape == (*lead, n, each)
    for j in range(n_out):
        for t in range(n):
            place = (j // each, t) if groups else (t,)
            terms = [float(w[j, k]) * float(x[place][index[j, k]]) for k in range(fan_in)]
            assert float(found[place][j % each]) == pytest.approx(sum(terms), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("where", ["post", "pre", "factor", "decay", "dense", "weight"])
@pytest.mark.parametrize("n", [1, 3, 12])
def test_what_is_not_finite_passes_alike(n: int, where: str, sparse: bool, bad: float) -> None:
    """Also beside zeros, which a backend leaves out: 0 times infinity is NaN."""
    chance = Chance(0)
    tensors = {
        "post": torch.zeros(n, 4, dtype=F64), "pre": torch.zeros(n, 5, dtype=F64),
        "factor": chance(4, 5), "decay": torch.zeros(n, 4, dtype=F64), "dense": chance(4, 5),
        "weight": chance(4, 5).contiguous(),
    }  # fmt: skip
    tensors["post"][0, 0] = tensors["pre"][0, 0] = 2.0
    tensors[where][-1, -1] = bad
    t = tensors
    update = LocalUpdate((Outer(t["post"], t["pre"], t["factor"]),), t["decay"], t["dense"])
    index = torch.tensor([[0, 4, 4, 1, 2]]).expand(4, 5) if sparse else None
    expected = loops(update, t["weight"], 1, index)
    assert not expected.isfinite().all()
    for backend in BACKENDS:
        with tried(backend):
            found = kernels.accumulate(update, t["weight"], torch.empty(4, 5, dtype=F64), index)
            close(found, expected)
            if where in ("pre", "weight"):
                u = kernels.drive(t["pre"], t["weight"])
                assert not u.isfinite().all()
                if index is not None:
                    assert not kernels.sparse_drive(t["pre"], t["weight"], index).isfinite().all()


def test_active_neurons_and_inputs_alone_are_worked_on() -> None:
    """The event-driven way is taken where little is active, and gives what the dense one does."""
    chance = Chance(1)
    x, y = chance(40, 300, spikes=True), chance(40, 300, spikes=True)
    x[:, 30:] = 0
    weight = chance(300, 300).contiguous()
    for post, pre in ((y, x), (y, chance(40, 300)), (chance(40, 300), x)):
        outer = Outer(post, pre, weight)
        with tried("numba", events=1 / 8):
            plan = numba_zeros.plan_of(outer, weight, None, False, numba_backend.FEW)
        assert plan is not None
        assert plan.skip
        assert (plan.inputs is not None) == (pre is x)
        found = {}
        for backend in BACKENDS:
            with tried(backend, events=1 / 8):
                update = LocalUpdate((outer,), y)
                found[backend] = kernels.accumulate(update, weight, torch.empty_like(weight))
        close(found["numba"], found["torch"])
    with tried("numba", events=1 / 8):
        dense = Outer(chance(40, 300), chance(40, 300))
        assert numba_zeros.plan_of(dense, weight, None, True, numba_backend.FEW) is None


@backends
@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_sparse_drive_does_not_depend_on_its_neighbours(backend: str, n: int) -> None:
    chance = Chance(2)
    x, w = chance(n, 9), chance(5, 7)
    index = torch.randint(9, (5, 7), generator=chance.generator)
    with kernels.use(backend):
        alone = torch.cat([kernels.sparse_drive(row[None], w, index) for row in x])
        assert torch.equal(kernels.sparse_drive(x, w, index), alone)


@backends
def test_a_group_touches_its_own_neurons_only(backend: str) -> None:
    weight, x = torch.randn(4, 3), torch.randn(2, 1, 3)
    index = torch.tensor([[0, 1, 2]]).expand(4, 3)
    with kernels.use(backend):
        for run in (kernels.drive, lambda x, w: kernels.sparse_drive(x, w, index)):
            x[1] = 1
            before = run(x, weight)
            x[1] = 0
            after = run(x, weight)
            assert torch.equal(before[0], after[0])
            assert (after[1] == 0).all()


@backends
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_precision_is_kept(backend: str, dtype: torch.dtype) -> None:
    x, w = torch.randn(2, 3).to(dtype), torch.randn(2, 3).to(dtype)
    index = torch.zeros(2, 3, dtype=torch.int64)
    update = LocalUpdate((Outer(x[:, :2], x, w),), x[:, :2], w)
    with kernels.use(backend):
        assert kernels.drive(x, w).dtype == dtype
        assert kernels.sparse_drive(x, w, index).dtype == dtype
        for at in (None, index):
            out = kernels.accumulate(update, w, torch.empty_like(w), at)
            assert out.dtype == dtype
            assert out.isfinite().all()


@backends
def test_gradients_still_pass_through_a_drive(backend: str) -> None:
    x, w = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    index = torch.tensor([[0, 1, 2], [2, 2, 0]])
    with kernels.use(backend):
        kernels.sparse_drive(x, w, index).sum().backward()
    expected = torch.zeros(3).index_add_(0, index.flatten(), w.flatten())
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected.expand(2, 3))


# ---- what is refused -------------------------------------------------------------------------

X, Y, W = torch.ones(2, 3), torch.ones(2, 4), torch.ones(4, 3)


@backends
@pytest.mark.parametrize(
    ("update", "what"),
    [
        (LocalUpdate((Outer(Y[:1], X),)), r"outer\[0\].pre has shape \(2, 3\); \(1, 3\)"),
        (LocalUpdate((Outer(Y, X), Outer(X, X))), r"outer\[1\].post has shape \(2, 3\); \(2, 4\)"),
        (LocalUpdate((Outer(Y, Y),)), r"outer\[0\].pre has shape \(2, 4\); \(2, 3\)"),
        (LocalUpdate((Outer(Y, X, W[:, :1]),)), r"outer\[0\].factor has shape \(4, 1\); \(4, 3\)"),
        (LocalUpdate((Outer(Y, X),), X), r"decay has shape \(2, 3\); \(2, 4\)"),
        (LocalUpdate((), None, W[:1]), r"dense has shape \(1, 3\); \(4, 3\)"),
    ],
)
def test_an_update_of_other_shapes_is_refused(backend: str, update: LocalUpdate, what: str) -> None:
    with kernels.use(backend), pytest.raises(ConfigError, match=f"LocalUpdate: {what} is needed"):
        kernels.accumulate(update, W, torch.empty(4, 3))


@backends
@pytest.mark.parametrize("shape", [(3, 2, 1), (0, 2, 4), (2,), (1, 1, 2, 4)])
def test_groups_that_do_not_divide_the_neurons_are_refused(
    backend: str, shape: tuple[int, ...]
) -> None:
    with kernels.use(backend):
        with pytest.raises(ConfigError, match="divide the 4 neurons"):
            kernels.accumulate(LocalUpdate((Outer(torch.ones(shape), X),)), W, torch.empty(4, 3))
        with pytest.raises(ConfigError, match="divide the 4 neurons"):
            kernels.accumulate(LocalUpdate((), torch.ones(shape)), W, torch.empty(4, 3))
        with pytest.raises(ConfigError, match="divide the 4 neurons"):
            kernels.sparse_drive(torch.ones(shape), W, torch.zeros(4, 3, dtype=torch.int64))


@backends
@pytest.mark.parametrize(
    ("index", "what"),
    [
        (torch.full((4, 3), 3), "index: 3 names no input; it must lie between 0 and 2"),
        (torch.full((4, 3), -1), "index: -1 names no input"),
        (torch.zeros(4, 2, dtype=torch.int64), r"index: shape \(4, 2\) of torch.int64 given"),
        (torch.zeros(4, 3), r"index: shape \(4, 3\) of torch.float32 given"),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(backend: str, index: Tensor, what: str) -> None:
    with kernels.use(backend):
        with pytest.raises(ConfigError, match=what):
            kernels.sparse_drive(X, W, index)
        with pytest.raises(ConfigError, match=what):
            kernels.accumulate(LocalUpdate((Outer(Y, X),)), W, torch.empty(4, 3), index)


# -- soft competition ------------------------------------------------------------------------------


def shares(drive: Tensor, t: float, anti_hebbian: bool) -> list[list[float]]:
    """The equation with plain numbers."""
    found = []
    for row in drive.tolist():
        top = max(row)
        powers = [math.exp(t * (u - top)) for u in row]
        winner = row.index(top)
        signs = [1 if not anti_hebbian or j == winner else -1 for j in range(len(row))]
        found.append([s * p / sum(powers) for s, p in zip(signs, powers, strict=True)])
    return found


@given(
    st.sampled_from(BACKENDS),
    st.integers(1, 4),
    st.integers(1, 50),
    st.floats(0.05, 30),
    st.booleans(),
    st.floats(0, 50),
    st.integers(0, 99),
)
def test_shares_of_a_soft_competition(backend, n, k, t, anti_hebbian, spread, seed):
    drive = spread * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))
    with kernels.use(backend):
        found = kernels.soft_wta(drive, t, anti_hebbian)
    expected = torch.tensor(shares(drive, t, anti_hebbian))
    torch.testing.assert_close(found, expected, rtol=1e-4 + 1e-6 * t * spread, atol=1e-6)
    large = expected.abs() > 1e-30
    assert torch.equal(found.sign()[large], expected.sign()[large])


@backends
def test_of_equals_the_first_wins(backend):
    for k in (1, 5, 16, 17, 40):
        drive = torch.zeros(2, k)
        drive[1, k // 2 :] = 3.0
        with kernels.use(backend):
            found = kernels.soft_wta(drive, 2.0, True)
        assert found[0].argmax() == 0
        assert found[1].argmax() == k // 2
        assert (found > 0).sum() == 2


@backends
def test_soft_competitions_of_every_shape_and_precision(backend):
    for shape in ((3, 4, 5), (0, 5), (7,), (2, 3, 4, 20)):
        drive = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for given_ in (drive, drive.double(), drive.movedim(0, -1).contiguous().movedim(-1, 0)):
            with kernels.use(backend):
                found = kernels.soft_wta(given_, 0.7, False)
            assert (found.shape, found.dtype) == (given_.shape, given_.dtype)
            torch.testing.assert_close(found, torch.softmax(0.7 * given_, -1))


@backends
def test_what_is_not_finite_is_not_hidden(backend):
    drive = torch.randn(4, 40, generator=torch.Generator().manual_seed(0))
    drive[1, 33], drive[2, 3], drive[3, 5] = float("nan"), float("inf"), -float("inf")
    with kernels.use(backend):
        found = kernels.soft_wta(drive, 1.0, True)
    assert found[0].isfinite().all()
    assert found[1].isnan().any()
    assert found[2].isnan().any()
    assert found[3].isfinite().all()
    assert float(found[3, 5]) == 0


def test_threads_give_the_bits_of_one_in_soft_competitions():
    drive = torch.randn(3000, 600, generator=torch.Generator().manual_seed(0))
    found = []
    with kernels.use("numba"):
        for scheduler in (Serial(), Threads(2)):
            plan = make_plan(
                [Task("t", 0, (), lambda f: f.append(kernels.soft_wta(drive, 1, True)))]
            )
            scheduler.submit(plan, found).wait()
            scheduler.close()
    assert torch.equal(*found)
