"""Weights changed a few neurons at a time are those changed by the whole matrix."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import changing, numba_backend, torch_backend
from streamhebb.kernels.patches import Patches
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
    rows = kernels.change(update, weight, step, kernels.Spare())
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(rows.norm, weight.norm(dim=1), rtol=1e-12, atol=0)
    assert torch.equal(rows.top, weight.abs().amax(1))


@settings(deadline=None)  # numba compiles
@given(sizes, st.booleans(), st.integers(0, 99))
def test_backends_add_and_look_alike(size, decay, seed):
    made, weight = draw(*size[1:], seed=seed).float(), draw(*size[1:], seed=seed + 1).float()
    less = draw(size[1], 1, seed=seed + 2).float() if decay else None
    step, found = draw(size[1], 1, seed=seed + 3).float(), []
    for backend in (torch_backend, numba_backend):
        after, norm, top = weight.clone(), torch.empty(size[1]), torch.empty(size[1])
        backend.add(made.clone(), less, step, after, norm, top)
        assert after._version
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
    kernels.change(update, weight, lambda _, own: 1 / own.abs().amax(1, True), kernels.Spare())
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
        kernels.change(update, torch.zeros(4, 6), torch.ones(4, 1), kernels.Spare())


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

    @pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS()], ids=repr)
    def test_learning_goes_on_from_a_snapshot_to_the_bit(self, scaling):
        layer = a_layer(scaling).float()
        with torch.no_grad():
            for number in range(6):
                if number == 3:
                    twin = a_layer(scaling).float()
                    twin.load_state_dict(layer.state_dict())
                for each in (layer, *([twin] if number >= 3 else [])):
                    _, seen = each.observe(draw(4, 300, seed=number).float())
                    each.learn(seen)
        assert torch.equal(layer.weight, twin.weight)
