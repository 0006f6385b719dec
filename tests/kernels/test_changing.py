"""Weights changed a few neurons at a time are those changed by the whole matrix."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import changing, numba_backend, torch_backend
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.kernels.windows import windows
from streamhebb.values import LocalUpdate, Outer


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def an_update(n, n_out, n_in, seed=0, decay=True):
    post = torch.softmax(3 * draw(n, n_out, seed=seed), -1)
    less = post * draw(n, n_out, seed=seed + 2) if decay else None
    return LocalUpdate((Outer(post, draw(n, n_in, seed=seed + 1)),), less)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 90), st.integers(1, 30))


@given(sizes, st.booleans(), st.integers(0, 99))
def test_a_change_with_a_known_step(size, decay, seed):
    update, weight = an_update(*size, seed, decay), draw(*size[1:], seed=seed + 3)
    step = draw(size[1], 1, seed=seed + 4)
    expected = weight + step * kernels.accumulate(update, weight, torch.empty_like(weight))
    rows = kernels.change(update, weight, step)
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(rows.norm, weight.norm(dim=1), rtol=1e-12, atol=0)
    assert torch.equal(rows.top, weight.abs().amax(1))


@settings(deadline=None)  # numba compiles
@pytest.mark.parametrize("backend", ["torch", "numba"])
@given(sizes, st.booleans(), st.booleans(), st.integers(0, 99))
def test_a_change_is_the_equation_in_both_precisions(backend, size, decay, single, seed):
    """Not more than one rounding of the weights, and those of a change a tenth of their size."""
    dtype, bound = (torch.float32, 1e-7) if single else (torch.float64, 1e-12)
    update, weight = an_update(*size, seed, decay), draw(*size[1:], seed=seed + 3)
    (outer,) = update.outer
    post, pre, weight = (value.to(dtype) for value in (outer.post, outer.pre, weight))
    less = update.decay.sum(0, keepdim=True).to(dtype) if decay else None
    exact = [value.double() for value in (post, pre, weight)]
    wanted = exact[0].mT @ exact[1]
    if decay:
        wanted -= less.double().mT * exact[2]
    step = 0.1 * weight.abs().max() / wanted.abs().max() * draw(size[1], 1, seed=seed + 4).tanh()
    step = step.to(dtype)
    expected = exact[2] + step.double() * wanted
    version = weight._version
    with kernels.use(backend):
        rows = kernels.change(LocalUpdate((Outer(post, pre),), less), weight, step)
        again = kernels.rows_of(weight)
    assert weight._version > version
    assert float((weight - expected).abs().max() / expected.abs().max()) < bound
    assert torch.equal(rows.norm, again.norm)
    assert torch.equal(rows.top, again.top)
    assert torch.equal(rows.top, weight.abs().amax(1))
    torch.testing.assert_close(rows.norm, weight.norm(dim=1), rtol=1e-5, atol=0)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-7), (torch.float64, 1e-12)])
@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_large_layer_learns_as_the_paper_says(backend, dtype, bound, batch):
    """One step from first weights, in float64 from the same numbers."""
    layer = sh.Dense(784, 2000, scaling=sh.LayerMax(), rate=0.01)
    layer.reset(torch.Generator().manual_seed(2))
    layer.to(dtype)
    x = torch.rand(batch, 784, generator=torch.Generator().manual_seed(3)).to(dtype)
    w, u = layer.weight.double(), x.double() @ layer.weight.double().mT
    y = -torch.softmax(u, 1)
    y[range(batch), u.argmax(1)] *= -1
    wanted = y.mT @ x.double() - (y * u).sum(0)[:, None] * w
    expected = w + 0.01 * wanted / wanted.abs().max()
    with torch.no_grad(), kernels.use(backend):
        layer.learn(layer.observe(x)[1])
    assert layer.unforeseen == 0
    assert layer._known is not None  # it was changed by rows
    assert float((layer.weight - expected).abs().max() / expected.abs().max()) < bound


@pytest.mark.parametrize("backend", [torch_backend, numba_backend])
def test_one_pass_is_for_what_it_can_do(backend):
    """What it refuses it leaves as it was."""
    weight, step, norm = torch.ones(3, 4), torch.ones(3), torch.empty(3)
    for post, pre, to in [
        (torch.ones(0, 3), torch.ones(0, 4), weight),  # no competition
        (torch.ones(7, 3), torch.ones(7, 4), weight),  # many, and yet few
        (torch.ones(1, 3), torch.ones(1, 4), torch.ones(4, 3).mT),  # not in the order of rows
        (torch.ones(1, 3).double(), torch.ones(1, 4).double(), weight.double()),
        (torch.ones(1, 0), torch.ones(1, 4), torch.ones(0, 4)),
    ]:
        before = to.clone()
        assert not backend.renew(post, pre, Renewal(None, step, to, norm))
        assert backend.largest_change(post, pre, None, to, norm, False, 88) is False
        assert torch.equal(to, before)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_without_a_competition_nothing_changes(backend):
    weight, update = torch.ones(3, 4), LocalUpdate((Outer(torch.ones(0, 3), torch.ones(0, 4)),))
    with kernels.use(backend):
        rows = kernels.change(update, weight, torch.ones(3, 1))
    assert torch.equal(weight, torch.ones(3, 4))
    assert rows.norm.tolist() == [2, 2, 2]


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_weights_in_another_order_change_too(backend):
    weight = torch.zeros(5, 6).mT
    update = LocalUpdate((Outer(torch.ones(1, 6), torch.arange(5.0)[None]),))
    with kernels.use(backend):
        kernels.change(update, weight, torch.ones(6, 1))
    assert torch.equal(weight, torch.arange(5.0).expand(6, 5))


@settings(deadline=None)
@given(st.tuples(st.integers(1, 4), st.integers(1, 90), st.integers(1, 30)), st.integers(0, 99))
def test_loops_find_the_largest_change_of_few_competitions(size, seed):
    """Always, and by any bound of the weights."""
    update, weight = an_update(*size, seed), draw(*size[1:], seed=seed + 3)
    whole = kernels.accumulate(update, weight, torch.empty_like(weight)).abs().amax()
    (outer,), less, weight = update.outer, update.decay.sum(0).float(), weight.float()
    for bound in (weight.abs().amax(1), weight.norm(dim=1), torch.full((size[1],), 1e9)):
        found = numba_backend.largest_change(
            outer.post.float(), outer.pre.float(), less, weight, bound, False, 88
        )
        torch.testing.assert_close(found.double(), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["post", "weight"])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_a_search_knows_what_is_not_a_number(bad, where, backend):
    post, weight = draw(1, 300).float(), draw(300, 5, seed=1).float()
    {"post": post[0], "weight": weight[:, 2]}[where][41] = bad
    update = LocalUpdate((Outer(post, draw(1, 5, seed=2).float()),), post.clone())
    with kernels.use(backend):
        rows = kernels.rows_of(weight)
        found = [kernels.largest_change(update, weight, bound) for bound in rows.bounds(1)]
    assert not found[-1].isfinite()
    assert found[0] is None or not found[0].isfinite()


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_lengths_bound_weights_whose_squares_are_lost(backend):
    """Weights of 1e-25 have length 0 in float32, and still change."""
    update = LocalUpdate((Outer(torch.zeros(1, 200), torch.ones(1, 5)),), torch.ones(1, 200))
    weight = torch.full((200, 5), 1e-25)
    with kernels.use(backend):
        rows = kernels.rows_of(weight)
        assert not rows.norm.any()
        for bound in rows.bounds(1):
            found = kernels.largest_change(update, weight, bound)
            assert found is None or float(found) == pytest.approx(1e-25)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_lengths_that_overflow_do_not_hide_the_largest_change(backend):
    """Of 200 neurons with lengths beyond float32, whose decay is 0, the last one changes most."""
    post = torch.full((1, 200), 1e-3)
    post[0, 199] = 1.0
    update = LocalUpdate((Outer(post, torch.ones(1, 5)),), torch.zeros(1, 200))
    weight = torch.full((200, 5), 1e25)
    with kernels.use(backend):
        rows = kernels.rows_of(weight)
        assert not rows.norm.isfinite().any()
        found = [kernels.largest_change(update, weight, bound) for bound in rows.bounds(1)]
    assert [each is None or float(each) == 1 for each in found] == [True, True]
    assert found[1] is not None


@settings(deadline=None)  # numba compiles
@given(sizes, st.booleans(), st.integers(0, 99))
def test_backends_add_and_look_alike(size, decay, seed):
    made, weight = draw(*size[1:], seed=seed).float(), draw(*size[1:], seed=seed + 1).float()
    less = draw(size[1], seed=seed + 2).float() if decay else None
    step, found = draw(size[1], seed=seed + 3).float(), []
    for backend in (torch_backend, numba_backend):
        after, norm, top = weight.clone(), torch.empty(size[1]), torch.empty(size[1])
        memory = after.bfloat16()
        backend.add(made.clone(), Renewal(less, step, after, norm, top, memory))
        assert after._version
        assert torch.equal(memory, after.bfloat16())
        again = torch.empty(size[1]), torch.empty(size[1])
        backend.look(after, *again)
        assert torch.equal(norm, again[0])
        assert torch.equal(top, again[1])
        assert torch.equal(top, after.abs().amax(1))
        found.append((after, norm))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("backend", [torch_backend, numba_backend])
def test_a_look_sees_what_is_not_a_number(bad, backend):
    weight = draw(3, 100).float()
    weight[1, 77] = bad
    norm, top = torch.empty(3), torch.empty(3)
    backend.look(weight, norm, top)
    assert norm.isfinite().tolist() == top.isfinite().tolist() == [True, False, True]


@given(sizes, st.integers(0, 99))
def test_a_change_whose_step_is_found_by_rows(size, seed):
    update, weight = an_update(*size, seed), draw(*size[1:], seed=seed + 3)
    whole = kernels.accumulate(update, weight, torch.empty_like(weight))
    expected = weight + whole / whole.abs().amax(1, keepdim=True)
    kernels.change(update, weight, lambda _, own: 1 / own.abs().amax(1, True))
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-12)


def test_neurons_a_few_at_a_time_are_all_neurons(monkeypatch):
    monkeypatch.setattr(changing, "AT_ONCE", 1)  # 16 neurons at a time
    test_a_change_with_a_known_step.hypothesis.inner_test((5, 90, 7), True, 0)
    test_a_change_whose_step_is_found_by_rows.hypothesis.inner_test((5, 90, 7), 0)


@given(sizes, st.booleans(), st.integers(0, 99))
def test_the_largest_change_is_the_largest(size, decay, seed):
    """Where it is found at all, it is exact."""
    update, weight = an_update(*size, seed, decay), draw(*size[1:], seed=seed + 3)
    whole = kernels.accumulate(update, weight, torch.empty_like(weight)).abs().amax()
    found = kernels.largest_change(update, weight, weight.abs().amax(1))
    if found is not None:
        torch.testing.assert_close(found, whole, rtol=1e-12, atol=0)
    assert found is not None or size[1] > sum(changing.TRIED)


def test_the_largest_change_is_given_up_where_no_neuron_stands_out():
    """All neurons alike, and a bound that says nothing: inputs that cancel each other."""
    pre = torch.tensor([[1.0], [-1.0]])
    update = LocalUpdate((Outer(torch.ones(2, 400), pre),))
    assert kernels.largest_change(update, torch.zeros(400, 1), torch.zeros(400)) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_largest_change_knows_what_is_not_a_number(bad):
    update, weight = an_update(3, 200, 5), draw(200, 5)
    update.outer[0].post[1, 117] = bad
    found = kernels.largest_change(update, weight, weight.abs().amax(1))
    assert found is not None
    assert not found.isfinite()


@pytest.mark.parametrize("side", [2, 4])
def test_bounds_hold_for_patches(side):
    image = draw(2, 9, 7, 3)
    rows, patches = windows(image, (3, 3), 1, 1).flatten(0, 2), Patches(image, side)
    assert torch.equal(patches.tops, rows.abs().amax(1))
    assert "rows" not in patches.__dict__


def test_an_update_of_other_shapes_is_refused():
    update = an_update(3, 4, 5)
    with pytest.raises(ConfigError, match="shape"):
        kernels.change(update, torch.zeros(4, 6), torch.ones(4, 1))


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS()], ids=repr)
@pytest.mark.parametrize("batch", [1, 20])
def test_layers_learn_in_inference_mode(backend, scaling, batch):
    layer = sh.Dense(600, 40, scaling=scaling)
    layer.reset(torch.Generator().manual_seed(0))
    twin, x = copy.deepcopy(layer), draw(batch, 600).float()
    with kernels.use(backend):
        with torch.no_grad():
            layer.learn(layer.observe(x)[1])
        with torch.inference_mode():
            twin.learn(twin.observe(x)[1])
    assert torch.equal(layer.weight, twin.weight)


def test_where_little_is_active_nothing_else_is_worked_on():
    weight, many = draw(640, 640).float(), draw(20, 640).float()
    few = many * (torch.arange(640) % 50 == 0)
    with torch.no_grad():
        assert numba_backend.renews(many, many, None, weight)
        assert numba_backend.renews(many, few, None, weight) is False
        assert numba_backend.renews(few[:3], few[:3], None, weight)  # one pass is as quick


@pytest.mark.parametrize("row", [0, 5, 39])
def test_loops_do_not_lose_what_is_not_a_number(row):
    post, pre, weight = draw(20, 40).float(), draw(20, 640).float(), draw(40, 640).float()
    post[:, 7] *= 100
    weight[row, 3] = float("nan")
    with torch.no_grad():
        found = numba_backend.largest_change(
            post, pre, post.sum(0), weight, weight.abs().amax(1), False, 88
        )
    assert found.isnan()


@pytest.fixture
def smaller(monkeypatch):
    """Small layers count as large."""
    monkeypatch.setattr(changing, "LARGE", 1 << 18)


# -- layers ----------------------------------------------------------------------------------------


def a_layer(scaling, **more):
    layer = sh.Dense(300, 900, scaling=scaling, rate=sh.NormRate(0.01), **more)
    layer.reset(torch.Generator().manual_seed(0))
    return layer.double()


def learn(layer, steps=3, start=0):
    with torch.no_grad():
        for number in range(start, start + steps):
            _, seen = layer.observe(draw(4, 300, seed=number))
            layer.learn(seen, 0.5)


@pytest.mark.parametrize(
    "scaling", [sh.LayerMax(), sh.NeuronRMS(), sh.NeuronMax(), sh.NoScaling()], ids=repr
)
@pytest.mark.parametrize("more", [{}, {"constraint": sh.Clip(-0.05, 0.05)}], ids=["", "clipped"])
def test_a_layer_learns_the_same_either_way(scaling, more, smaller, monkeypatch):
    layer = a_layer(scaling, **more)
    whole = copy.deepcopy(layer)
    learn(layer)
    assert layer._known is not None
    monkeypatch.setattr(changing, "LARGE", 1 << 60)
    learn(whole)
    assert layer.unforeseen == 0
    torch.testing.assert_close(layer.weight, whole.weight, rtol=0, atol=1e-13)
    for (name, one), two in zip(layer.named_buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-13, msg=name)


def test_what_was_not_foreseen_is_counted_and_learned(smaller, monkeypatch):
    layer = a_layer(sh.LayerMax())
    whole = copy.deepcopy(layer)
    monkeypatch.setattr(changing, "TRIED", ())
    learn(layer)
    assert layer.unforeseen == 3
    monkeypatch.setattr(changing, "LARGE", 1 << 60)
    learn(whole)
    assert torch.equal(layer.weight, whole.weight)


def test_what_lengths_do_not_tell_the_largest_weights_do(smaller, monkeypatch):
    layer = a_layer(sh.LayerMax())
    whole = copy.deepcopy(layer)
    layer.set_weight(layer.weight * 100)  # the decay counts: lengths are far from largest weights
    whole.set_weight(layer.weight)
    asked, find = [], sh.LayerMax.foresee
    monkeypatch.setattr(
        sh.LayerMax, "foresee", lambda *given: asked.append(find(*given)) or asked[-1]
    )
    monkeypatch.setattr(changing, "TRIED", (1, 1))
    learn(layer, 1)
    assert [found is None for found in asked] == [True, False]
    monkeypatch.setattr(changing, "LARGE", 1 << 60)
    learn(whole, 1)
    torch.testing.assert_close(layer.weight, whole.weight, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("smaller")
class TestRadiiThatAreKept:
    def test_they_are_those_of_the_weights(self):
        layer = a_layer(sh.LayerMax())
        learn(layer)
        assert layer._known is not None
        assert torch.equal(layer.rows().norm, layer.radius())

    @pytest.mark.parametrize(
        "change",
        [
            lambda layer: layer.weight.mul_(2),
            lambda layer: layer.weight[3].fill_(1),
            lambda layer: layer.set_weight(torch.ones(900, 300)),
            lambda layer: layer.load_state_dict(a_layer(sh.LayerMax()).state_dict()),
            lambda layer: layer.reset(),
            lambda layer: layer.float(),
            lambda layer: setattr(layer, "weight", torch.ones(900, 300)),
            lambda layer: setattr(layer.weight, "data", torch.ones(900, 300).double()),
        ],
    )
    def test_weights_that_somebody_changes_are_looked_at_again(self, change):
        layer = a_layer(sh.LayerMax())
        learn(layer)
        change(layer)
        assert torch.equal(layer.rows().norm, layer.radius())

    def test_a_copy_looks_for_itself(self):
        layer = a_layer(sh.LayerMax())
        learn(layer)
        twin = copy.deepcopy(layer)
        for _ in range(layer.weight._version):
            twin.weight.mul_(1.01)
        assert torch.equal(twin.rows().norm, twin.radius())

    @pytest.mark.parametrize("backend", ["torch", "numba"])
    @pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS()], ids=repr)
    @pytest.mark.parametrize("batch", [1, 4])
    def test_learning_goes_on_from_a_snapshot_to_the_bit(self, scaling, backend, batch):
        layer = a_layer(scaling).float()
        with torch.no_grad(), kernels.use(backend):
            for number in range(6):
                if number == 3:
                    twin = a_layer(scaling).float()
                    twin.load_state_dict(layer.state_dict())
                for each in (layer, *([twin] if number >= 3 else [])):
                    _, seen = each.observe(draw(batch, 300, seed=number).float())
                    each.learn(seen)
        assert torch.equal(layer.weight, twin.weight)


# -- neurons that divide by the size of their own changes ------------------------------------------

OWN_LAYERS = {
    "one sample": (lambda: sh.Dense(90, 70, scaling=sh.NeuronRMS(3)), (1, 90), {}),
    "few": (lambda: sh.Dense(95, 70, scaling=sh.NeuronRMS(3)), (3, 95), {}),
    "many": (lambda: sh.Dense(96, 70, scaling=sh.NeuronRMS(3)), (40, 96), {}),
    "windows": (lambda: sh.Conv2d(32, 40, 3, scaling=sh.NeuronRMS(3)), (2, 32, 9, 8), {}),
    "few inputs": (lambda: sh.Conv2d(3, 40, 3, scaling=sh.NeuronRMS(3)), (2, 3, 9, 8), {}),
    "tiles": (
        lambda: sh.Conv2d(32, 40, 3, scaling=sh.NeuronRMS(3)),
        (2, 32, 9, 8),
        {"method": "winograd4"},
    ),
    "bfloat16": (
        lambda: sh.Conv2d(32, 40, 3, scaling=sh.NeuronRMS(3)),
        (2, 32, 9, 8),
        {"precision": "bfloat16"},
    ),
}


@pytest.mark.parametrize("kind", OWN_LAYERS)
def test_neurons_scale_themselves_in_the_pass_that_changes_them(kind, monkeypatch):
    make, shape, more = OWN_LAYERS[kind]
    if kind == "bfloat16" and not kernels.multiplies("cpu"):
        pytest.skip("needs a processor that multiplies bfloat16")
    layer, first = anew(make), anew(make).weight.double()
    for name, value in more.items():
        setattr(layer, name, value)
    coarse, done = kind == "bfloat16", []
    whole = copy.deepcopy(layer) if coarse else copy.deepcopy(layer).double()
    renew = numba_backend.renew
    monkeypatch.setattr(
        numba_backend, "renew", lambda *given: done.append(renew(*given)) or done[-1]
    )
    for number in range(4):  # of which the last forgets a part of the first
        x = 0.02 * draw(*shape, seed=number, dtype=torch.float32)  # no share is lost in float32
        with torch.no_grad(), kernels.use("numba"):
            with monkeypatch.context() as patch:
                patch.setattr(numba_backend, "renews", lambda *given: False)
                whole.learn(whole.observe(x.to(whole.weight.dtype))[1])
            layer.learn(layer.observe(x)[1])
    assert done == [True] * 4
    share = 1e-3 if coarse else 1e-5  # what is rounded tells small differences apart
    assert (layer.weight - whole.weight).norm() <= share * (whole.weight - first).norm()
    state = dict(whole.named_buffers())
    for name, value in layer.named_buffers():
        if name.startswith("scaling"):
            torch.testing.assert_close(value.double(), state[name].double(), rtol=share, atol=1e-12)
    torch.testing.assert_close(layer.rows().norm, layer.weight.norm(dim=1))


def anew(make):
    layer = make()
    layer.reset(torch.Generator().manual_seed(0))
    return layer


@settings(deadline=None)
@given(
    n=st.integers(1, 20), n_out=st.integers(1, 20), n_in=st.integers(1, 40),
    decay=st.booleans(), age=st.integers(0, 200), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_divisor_of_that_pass_is_the_equation(n, n_out, n_in, decay, age, seed):
    """In float64, number by number: mean square, step, weight."""
    update, weight = an_update(n, n_out, n_in, seed, decay), draw(n_out, n_in, seed=seed + 3)
    (outer,) = update.outer
    post, pre, weight = outer.post.float(), outer.pre.float(), weight.float()
    less = post.sum(0) if decay else None
    scaling = sh.NeuronRMS(50)
    state = {"mean_square": torch.rand(n_out), "age": torch.tensor(age, dtype=torch.float64)}
    step, new, norm = torch.rand(n_out), weight.clone(), torch.empty(n_out)
    running = scaling.running(state)
    rows = Renewal(less, step, new, norm, None, None, running)
    assume(numba_backend.renew(post, pre, rows))  # else torch does it
    after, share = scaling.after(state, running), max(1 / (age + 1), 1 / 50)
    assert after["age"] == age + 1
    for j in range(n_out):
        change = [
            sum(float(post[t, j]) * float(pre[t, i]) for t in range(n))
            - (float(less[j]) * float(weight[j, i]) if decay else 0.0)
            for i in range(n_in)
        ]
        present = sum(value * value for value in change) / n_in
        mean = (1 - share) * float(state["mean_square"][j]) + share * present
        assert float(after["mean_square"][j]) == pytest.approx(mean, rel=1e-4, abs=1e-9)
        for i in range(n_in):
            wanted = float(weight[j, i]) + float(step[j]) * change[i] / math.sqrt(mean)
            assert float(new[j, i]) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    torch.testing.assert_close(norm, new.norm(dim=1))


# -- a card, which "meta" stands for: it is no CPU, and nothing can be read from it ----------------


@pytest.mark.parametrize("rate", [sh.NormRate(0.01), sh.ConstantRate(0.01)], ids=repr)
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(), sh.NoScaling()], ids=repr)
def test_on_a_card_nothing_is_read_nor_kept_for_the_next_step(scaling, rate):
    """A recorded graph changes weights, and nobody counts: what was known would be of before."""
    layer = sh.Dense(5, 7, scaling=scaling, rate=rate).to("meta")
    with torch.no_grad():
        layer.learn(layer.observe(torch.empty(3, 5, device="meta"))[1])
    assert layer.rows() is not layer.rows()
    assert layer._known is None


@pytest.mark.parametrize("step", [0.5, torch.tensor(0.5), torch.full((3, 1), 0.5)])
def test_steps_are_where_the_weights_are(step):
    found = kernels.by_neuron(step, torch.zeros(3, 2, dtype=torch.float64))
    assert torch.equal(found, torch.full((3,), 0.5, dtype=torch.float64))
    assert found.is_contiguous()
    assert kernels.by_neuron(step, torch.zeros(3, 2, device="meta")).device.type == "meta"
