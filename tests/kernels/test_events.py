"""What spiked few times changes few weights, by the same sums."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import kernels
from streamhebb.kernels import numba_backend, numba_events
from streamhebb.rules import STDP
from streamhebb.values import LocalUpdate, Outer


def draw(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=chance, dtype=torch.float64)


def spikes(n, k, count, seed):
    found = torch.zeros(n, k, dtype=torch.float64)
    places = torch.randperm(n * k, generator=torch.Generator().manual_seed(seed))[:count]
    found.view(-1)[places] = 1
    return found


@pytest.fixture(autouse=True)
def _any_size(monkeypatch):
    monkeypatch.setattr(numba_backend, "EVENTFUL", 1)


@settings(deadline=None)  # numba compiles
@given(
    st.integers(1, 3), st.integers(9, 60), st.integers(9, 60), st.integers(0, 3), st.booleans(),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_few_spikes_change_what_a_whole_update_does(n, n_out, n_in, count, bounded, single, seed):
    dtype = torch.float32 if single else torch.float64
    weight = draw(n_out, n_in, seed=seed).to(dtype)
    factor = (lambda w: 2 - w.square()) if bounded else None
    grow = Outer(
        spikes(n, n_out, count, seed).to(dtype), draw(n, n_in, seed=seed).to(dtype), factor
    )
    shrink = Outer(
        draw(n, n_out, seed=seed + 1).to(dtype), spikes(n, n_in, count, seed).to(dtype), factor
    )
    update, step = LocalUpdate((grow, shrink)), draw(n_out, 1, seed=seed + 2).to(dtype)
    expected = weight + step * kernels.accumulate(update, weight, torch.empty_like(weight))
    version = weight._version
    with kernels.use("numba"), torch.no_grad():
        few = all(size * numba_events.SHARE >= count for size in (n_out, n_in))
        done = kernels.change_events(update, weight, step)
        assert done or not few
        if done:
            assert weight._version > version
            torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-5)
        kernels.change_events(update, weight, 0.0)
    if done:
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-5)


def update(post, pre):
    return LocalUpdate((Outer(post, pre),))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_not_left_out(bad):
    pre, post = spikes(1, 80, 2, 0), draw(1, 40)
    post[0, 3] = bad
    weight = torch.zeros(40, 80, dtype=torch.float64)
    with kernels.use("numba"), torch.no_grad():
        assert not kernels.change_events(update(post, pre), weight, 1.0)
    assert not weight.any()


def test_what_it_does_not_serve_is_left_alone():
    post, pre, weight = draw(1, 40), spikes(1, 80, 2, 0), draw(40, 80)
    many = update(draw(1, 40), draw(1, 80))
    cases = [
        (many, weight),
        (update(post, pre)._replace(decay=post), weight),
        (update(post, pre)._replace(dense=weight), weight),
        (LocalUpdate(()), weight),
        (update(draw(9, 40), spikes(9, 80, 2, 0)), weight),
        (update(post, pre), draw(80, 40).mT),
    ]
    with kernels.use("numba"), torch.no_grad():
        for each, to in cases:
            before = to.clone()
            assert not kernels.change_events(each, to, 1.0)
            assert torch.equal(to, before)
    assert not kernels.change_events(update(post, pre), weight, 1.0)  # gradients may be wanted
    with torch.no_grad():
        assert not kernels.change_events(update(post, pre), weight, 1.0)  # torch makes passes


def test_a_spiking_layer_learns_the_same_weights():
    x, weights = spikes(60, 80, 200, 1).float(), []
    for backend in ("torch", "numba"):
        layer = sh.Dense(
            80, 40, neuron=sh.LIF(), rule=STDP(a_plus=0.1, a_minus=0.1), rate=0.1,
            scaling=sh.NoScaling(), carry=True,
        )  # fmt: skip
        net = sh.StreamNet(layer, input_shape=(1, 80), seed=0)
        layer.set_weight(draw(40, 80).float().abs() * 20)
        first = layer.weight.clone()
        with kernels.use(backend):
            for one in x:
                net.step(one[None])
        weights.append(layer.weight.clone())
    assert not torch.equal(first, weights[0])
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-5, atol=1e-6)
