from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_spikes
from tests.spike_runs import F64, changes, close, normal, rewarded, summed, trains


@given(
    n=st.integers(1, 3),
    n_in=st.integers(1, 4),
    n_out=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(n: int, n_in: int, n_out: int, seed: int) -> None:
    x, v = trains(seed, 12, n, n_in), normal(seed + 1, 12, n, n_out)
    rule = sh.EProp(threshold=0.6, gamma=0.4, tau=0.03, seed=seed, dt=0.002)
    feedback = rule.init(n_in, n_out)["feedback"].double().tolist()
    w = normal(seed + 3, n_out, n_in)
    found = changes(rule, x, torch.zeros_like(v), w, voltage=v)
    expected = summed(
        oracles_spikes.eprop, x, v, feedback=feedback, dt=0.002, threshold=0.6, gamma=0.4, tau=0.03
    )  # fmt: skip
    close(found, expected)


class Surrogate(torch.autograd.Function):
    """A spike forward, the triangle of Bellec et al. backward."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(v)
        return (v >= 1).to(v)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        return grad * 0.3 * (1 - (v - 1).abs()).clamp_min(0)


def lif(x: Tensor, w: Tensor, tau: float = 0.02, dt: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Spikes and voltage of LIF neurons, (T, n, n_out), that subtract their threshold."""
    decay = torch.exp(torch.tensor(-dt / tau, dtype=F64))
    v = x.new_zeros(x.shape[1], len(w))
    z, spikes, voltages = torch.zeros_like(v), [], []
    for row in x:
        v = decay * (v - z.detach()) + row @ w.T
        z = Surrogate.apply(v)
        spikes.append(z)
        voltages.append(v)
    return torch.stack(spikes), torch.stack(voltages)


def wanted(
    rule: sh.EProp, x: Tensor, z: Tensor, v: Tensor, w: Tensor, m: Tensor, keep: float = 0.0
) -> Tensor:
    """What e-prop changes for these modulators, with or without a filter of the eligibility."""
    dw = changes(rule, x, z.detach(), w.detach(), voltage=v.detach())
    return rewarded(dw, m.tolist(), keep)


def gain(rule: sh.EProp, n_out: int) -> Tensor:
    return rule.init(1, n_out)["feedback"].double()


@given(seed=st.integers(0, 2**31))
def test_it_is_the_gradient_through_an_unrolled_lif(seed: int) -> None:
    """Of a loss that is linear in the spikes, so that the modulator is its derivative."""
    steps, n_in, n_out = 25, 6, 4
    x, m = trains(seed, steps, 2, n_in), normal(seed + 1, steps)
    w = (0.4 * normal(seed + 2, n_out, n_in)).requires_grad_()
    rule = sh.EProp(seed=5)
    z, v = lif(x, w)
    loss = -(m[:, None] * (z @ gain(rule, n_out))).sum()
    loss.backward()
    assert w.grad is not None
    torch.testing.assert_close(wanted(rule, x, z, v, w, m), -w.grad, rtol=1e-10, atol=1e-11)


def leaky(z: Tensor, readout: Tensor, kappa: float) -> Tensor:
    """Output of a leaky readout, (T,), of one sample."""
    y, out = torch.zeros((), dtype=F64), []
    for row in z[:, 0]:
        y = kappa * y + row @ readout
        out.append(y)
    return torch.stack(out)


def regression(seed: int, kappa: float, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Target minus output, the gradient of the squared error, and what e-prop does instead.

    The readout's weights are the feedback and ``noise``; its filter ``kappa`` is left out.
    """
    x, w = trains(seed, 100, 1, 20, p=0.1), 0.3 * normal(seed + 50, 30, 20)
    rule, target = sh.EProp(seed=seed), torch.sin(torch.arange(100, dtype=F64) / 10)
    z, v = lif(x, w.requires_grad_())
    assert 0.01 < float(z.detach().mean()) < 0.9
    error = target - leaky(z, (gain(rule, 30) + noise * normal(seed + 90, 30)) / 5, kappa)
    (0.5 * error.square().sum()).backward()
    assert w.grad is not None
    m = error.detach()
    filtered = wanted(rule, x, z, v, w, m, kappa) / 5
    return -w.grad, wanted(rule, x, z, v, w, m), filtered


@pytest.mark.parametrize("kappa", [0.0, 0.5, 0.9])
def test_with_a_filtered_eligibility_it_is_the_gradient_of_a_leaky_readout(kappa: float) -> None:
    downhill, _, filtered = regression(3, kappa, noise=0.0)
    torch.testing.assert_close(filtered, downhill, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_it_descends_although_its_feedback_is_not_the_readout(kappa: float) -> None:
    cosines = []
    for seed in range(5):
        downhill, found, _ = regression(seed, kappa, noise=0.5)
        cosines.append(float(torch.cosine_similarity(found.flatten(), downhill.flatten(), dim=0)))
    assert min(cosines) > 0.3, cosines


def test_learning_lowers_the_loss() -> None:
    x, w = trains(7, 100, 1, 20, p=0.1), 0.3 * normal(57, 30, 20)
    rule = sh.EProp(seed=3)
    readout, target = gain(rule, 30) / 5, torch.sin(torch.arange(100, dtype=F64) / 10)
    losses = []
    for _ in range(60):
        z, v = lif(x, w)
        error = target - leaky(z, readout, 0.5)
        losses.append(float(error.square().mean()))
        w = w + 1e-3 * wanted(rule, x, z, v, w, error)
    assert losses[-1] < 0.5 * losses[0], losses


def test_feedback_is_the_same_for_the_same_seed() -> None:
    before = torch.get_rng_state()
    first, again, other = (sh.EProp(seed=s).init(3, 200)["feedback"] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std()) == pytest.approx(1, abs=0.1)
    assert torch.equal(torch.get_rng_state(), before)


def test_groups_take_their_own_feedback() -> None:
    x, v, w = trains(1, 1, 2, 3, 4)[0], normal(2, 2, 3, 2), normal(3, 4, 4)
    rule = sh.EProp()
    state = {"feedback": gain(rule, 4), "pre_trace": torch.zeros(2, 3, 4, dtype=F64)}
    update, after = rule.terms(sh.Activity(x, v, v, w, v), state)
    for group in range(2):
        own = state["feedback"][2 * group : 2 * group + 2]
        alone = {"feedback": own, "pre_trace": state["pre_trace"][group]}
        seen = sh.Activity(x[group], v[group], v[group], w[:2], v[group])
        assert torch.equal(update.outer[0].post[group], rule.terms(seen, alone)[0].outer[0].post)
    assert after["feedback"] is state["feedback"]


def test_another_spike_of_an_input_changes_its_column_only() -> None:
    x, v, w = trains(1, 12, 2, 4), normal(2, 12, 2, 3), normal(3, 3, 4)
    other = x.clone()
    other[3, 1, 2] = 1 - other[3, 1, 2]
    first, second = (changes(sh.EProp(), a, v, w, voltage=v) for a in (x, other))
    assert (first == second)[:, :, [0, 1, 3]].all()
    assert not torch.equal(first, second)


def test_without_input_nothing_changes() -> None:
    x, v, w = torch.zeros(4, 1, 3, dtype=F64), normal(2, 4, 1, 2), normal(3, 2, 3)
    assert not changes(sh.EProp(), x, v, w, voltage=v).any()


def test_a_layer_of_rate_units_is_refused() -> None:
    with pytest.raises(ConfigError, match="EProp: voltage=None is not allowed.*spiking neuron"):
        sh.Dense(3, 2, rule=sh.EProp())


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", 0), ("gamma", -1), ("tau", 0), ("dt", None), ("seed", -1), ("seed", 1.5),
     ("seed", 2**64)],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"EProp: {name}="):
        sh.EProp(**{name: value})
