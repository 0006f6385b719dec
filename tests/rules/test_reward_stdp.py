"""Spike-timing rules in a spiking layer: reward-modulated STDP, and e-prop as it is used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from tests import oracles_spikes
from tests.spike_runs import F64, Leaky, close, normal, trains


def layer(n_in: int, n_out: int, rule: Any, **parts: Any) -> sh.Dense:
    more = {"rate": 1.0, "scaling": sh.NoScaling(), "neuron": Leaky(), "carry": True, **parts}
    return sh.Dense(n_in, n_out, rule=rule, **more).double()


@given(tau=st.sampled_from([0.5, 7.0]), seed=st.integers(0, 2**31))
def test_reward_modulated_stdp_equals_the_oracle(tau: float, seed: int) -> None:
    x, reward = trains(seed, 25, 3), normal(seed + 1, 25).tolist()
    options = {"a_plus": 0.02, "a_minus": 0.03, "tau_plus": 0.01, "tau_minus": 0.03}
    mine = layer(3, 2, sh.STDP(**options), eligibility=sh.Eligibility(tau))
    mine.set_weight(0.5 + 0.3 * normal(seed + 2, 2, 3))
    first, y = mine.weight.clone(), []
    for now, factor in zip(x, reward, strict=True):
        out, seen = mine.observe(now[None])
        mine.learn(seen, factor)
        y.append(out[0].tolist())
    dw = oracles_spikes.pair_stdp(x.tolist(), y, first.tolist(), dt=1e-3, **options)
    wanted = oracles_spikes.three_factor(dw, reward, tau)
    close(mine.weight, first + torch.tensor(wanted, dtype=F64))


def preference(eligibility: sh.Eligibility | None, delay: int, trials: int = 40) -> float:
    """Weight of the rewarded input less that of the other one.

    Either of two inputs makes the neuron spike. Some steps later, in a trial of the first there is
    a reward, in one of the second a punishment; then a pause. Noise spikes all the time.
    """
    rule = sh.STDP(a_plus=0.01, a_minus=0.005, tau_plus=0.005, tau_minus=0.005)
    parts: dict[str, Any] = {"eligibility": eligibility, "constraint": sh.Clip(0.0, 3.0)}
    mine = layer(2, 1, rule, **parts)
    mine.set_weight(torch.full((1, 2), 1.2, dtype=F64))
    net = sh.StreamNet(mine, input_shape=(1, 2), seed=None)
    chance = torch.Generator().manual_seed(0)
    for trial in range(trials):
        cue = trial % 2
        for step in range(30):
            x = torch.zeros(1, 2, dtype=F64).bernoulli_(0.02, generator=chance)
            x[0, cue] = 1 if step == 0 else x[0, cue]
            net.step(x, modulator=(1.0 - 2 * cue) if step == delay else 0.0)
    return float(mine.weight[0, 0] - mine.weight[0, 1])


def test_a_reward_that_comes_later_finds_the_synapse_only_with_a_trace() -> None:
    remembered = preference(sh.Eligibility(10.0), delay=5)
    at_once, late = (preference(None, delay) for delay in (0, 5))
    assert remembered > 0.1
    assert at_once > 0.1
    assert abs(late) < 0.2 * remembered


def test_presentations_from_rest_add_up() -> None:
    """Two parallel presentations change what each of them alone would change, together."""
    x = trains(3, 2, 30, 4)  # samples, steps, inputs
    mine = [layer(4, 3, sh.TripletSTDP(), carry=False) for _ in range(3)]
    first = 0.4 + 0.3 * normal(1, 3, 4).abs()
    for one, samples in zip(mine, (x, x[:1], x[1:]), strict=True):
        one.set_weight(first)
        one.learn(one.observe(samples)[1])
    both, *alone = (one.weight - first for one in mine)
    close(both, alone[0] + alone[1])
    assert float(both.abs().max()) > 1e-3


def test_soft_bounds_hold_over_a_presentation() -> None:
    """The factor of the weight is that of the weights at its beginning, in every instant."""
    rule = sh.STDP(mu_plus=0.7, mu_minus=1.0, a_plus=0.01, a_minus=0.02)
    mine, x = layer(3, 2, rule, carry=False), trains(5, 20, 3)
    mine.set_weight(torch.rand(2, 3, generator=torch.Generator().manual_seed(1), dtype=F64))
    first = mine.weight.clone()
    out, seen = mine.observe(x)
    mine.learn(seen)
    dw = oracles_spikes.pair_stdp(
        x.tolist(), out.tolist(), first.tolist(), dt=1e-3, a_plus=0.01, a_minus=0.02, tau_plus=0.02,
        tau_minus=0.02, mu_plus=0.7, mu_minus=1.0,
    )  # fmt: skip
    close(mine.weight, first + torch.tensor(dw, dtype=F64).sum(0))


@pytest.mark.parametrize("kappa", [None, 20.0])
def test_eprop_in_a_layer_equals_the_oracle(kappa: float | None) -> None:
    rule, x, error = sh.EProp(seed=4), trains(8, 40, 3), normal(9, 40).tolist()
    eligibility = None if kappa is None else sh.Eligibility(kappa)
    mine = layer(3, 2, rule, eligibility=eligibility, rate=1e-9)  # so the voltage stays the same
    mine.set_weight(normal(10, 2, 3).abs())
    first, voltages = mine.weight.clone(), []
    for now, factor in zip(x, error, strict=True):
        _, seen = mine.observe(now[None])
        voltages.append(seen.voltage[0].tolist())
        mine.learn(seen, factor)
    feedback = rule.init(3, 2)["feedback"].tolist()
    dw = oracles_spikes.eprop(
        x.tolist(), voltages, feedback, dt=1e-3, threshold=1.0, gamma=0.3, tau=0.02
    )
    wanted = torch.tensor(oracles_spikes.three_factor(dw, error, kappa or 1e-3), dtype=F64)
    torch.testing.assert_close((mine.weight - first) * 1e9, wanted, rtol=1e-5, atol=1e-6)
