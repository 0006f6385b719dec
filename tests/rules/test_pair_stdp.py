from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import kernels
from streamhebb.errors import ConfigError
from tests import oracles_spikes
from tests.spike_runs import F64, at_rest, changes, close, normal, summed, trains

STEPS, DT = 12, 0.002
PAIRINGS = ("potentiate", "ignore", "both")


@given(
    n=st.integers(1, 3),
    n_in=st.integers(1, 4),
    n_out=st.integers(1, 3),
    nearest=st.booleans(),
    simultaneous=st.sampled_from(PAIRINGS),
    mus=st.tuples(*[st.sampled_from([0.0, 0.02, 0.5, 1.0, 2.5])] * 2),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(
    n: int, n_in: int, n_out: int, nearest: bool, simultaneous: str, mus: tuple[float, float],
    seed: int,
) -> None:  # fmt: skip
    x, y = trains(seed, STEPS, n, n_in), trains(seed + 1, STEPS, n, n_out)
    w = 0.5 + normal(seed + 2, n_out, n_in)  # some beyond their bounds
    options: dict[str, Any] = {
        "a_plus": 0.7, "a_minus": 0.9, "tau_plus": 0.017, "tau_minus": 0.034, "mu_plus": mus[0],
        "mu_minus": mus[1], "w_min": -0.5, "w_max": 1.5, "nearest": nearest,
        "simultaneous": simultaneous, "dt": DT,
    }  # fmt: skip
    found = changes(sh.STDP(**options), x, y, w)
    close(found, summed(oracles_spikes.pair_stdp, x, y, w=w.tolist(), **options))


def test_one_pair_of_spikes_draws_the_exponential_window() -> None:
    rule = sh.STDP(a_plus=0.8, a_minus=0.5, tau_plus=0.02, tau_minus=0.05)
    lags = torch.arange(-60, 61)  # steps from the spike of an input to that of the neuron
    x, y = torch.zeros(121, 1, 121, dtype=F64), torch.zeros(121, 1, 1, dtype=F64)
    y[60] = 1
    x[60 - lags, 0, torch.arange(121)] = 1
    dw = changes(rule, x, y, torch.zeros(1, 121, dtype=F64)).sum(0)[0]
    after = lags >= 0
    close(dw[after], 0.8 * torch.exp(-lags[after].double() / 20))
    close(dw[~after], -0.5 * torch.exp(lags[~after].double() / 50))


@pytest.mark.parametrize(
    ("simultaneous", "change"), [("potentiate", 0.8), ("ignore", 0.0), ("both", 0.3)]
)
def test_two_spikes_in_one_step(simultaneous: str, change: float) -> None:
    one = torch.ones(1, 1, 1, dtype=F64)
    rule = sh.STDP(a_plus=0.8, a_minus=0.5, simultaneous=simultaneous)
    assert float(changes(rule, one, one, one[0])) == pytest.approx(change)


def test_nearest_spikes_pair_with_the_last_one_only() -> None:
    x = torch.tensor([1.0, 1, 0, 0], dtype=F64).view(4, 1, 1)
    y = torch.tensor([0.0, 0, 0, 1], dtype=F64).view(4, 1, 1)
    w = torch.zeros(1, 1, dtype=F64)
    two, three = math.exp(-2 / 20), math.exp(-3 / 20)
    assert float(changes(sh.STDP(), x, y, w).sum()) == pytest.approx(two + three)
    assert float(changes(sh.STDP(nearest=True), x, y, w).sum()) == pytest.approx(two)


@pytest.mark.parametrize("mu", [None, 0.4])
def test_norse_agrees_where_conventions_do(mu: float | None) -> None:
    """Its traces take Euler steps, grow by dt/tau a spike, and hear spikes first on both sides."""
    norse = pytest.importorskip("norse.torch.functional.stdp")
    tau = 0.02
    inverse = torch.tensor((1 - math.exp(-DT / tau)) / DT, dtype=F64)
    given = norse.STDPParameters(
        a_pre=1 / (DT * inverse), a_post=1 / (DT * inverse), tau_pre_inv=inverse,
        tau_post_inv=inverse, w_min=0.0, w_max=1.0, eta_plus=0.01, eta_minus=0.02,
        stdp_algorithm="additive" if mu is None else "multiplicative_pow", mu=mu or 0.0,
        hardbound=False,
    )  # fmt: skip
    x, y = trains(1, 60, 2, 5), trains(2, 60, 2, 3)
    w = torch.rand(3, 5, dtype=F64, generator=torch.Generator().manual_seed(3)) * 0.4 + 0.3
    rule = sh.STDP(
        a_plus=0.01, a_minus=0.02, tau_plus=tau, tau_minus=tau, mu_plus=mu or 0.0,
        mu_minus=mu or 0.0, simultaneous="both", dt=DT,
    )  # fmt: skip
    found = w + changes(rule, x, y, w, follow=True).sum(0)
    state = norse.STDPState(torch.zeros(2, 5, dtype=F64), torch.zeros(2, 3, dtype=F64))
    theirs = w
    for t in range(60):
        theirs, state = norse.stdp_step_linear(x[t], y[t], theirs, state, given, dt=DT)
    torch.testing.assert_close(found, theirs, rtol=1e-6, atol=1e-9)  # its mu is a float32
    assert float((found - w).abs().max()) > 0.01


def test_soft_bounds_keep_weights_inside() -> None:
    rule = sh.STDP(a_plus=0.05, a_minus=0.05, mu_plus=1, mu_minus=1)
    x, y = trains(4, 2000, 1, 6), trains(5, 2000, 1, 4)
    w = torch.full((4, 6), 0.5, dtype=F64)
    path = w + changes(rule, x, y, w, follow=True).cumsum(0)
    assert 0 < float(path.min()) < 0.4
    assert 0.6 < float(path.max()) < 1
    free = w + changes(sh.STDP(a_plus=0.05, a_minus=0.05), x, y, w, follow=True).cumsum(0)
    assert float(free.abs().max()) > 1, "the bound has nothing to do here"


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0])
def test_without_spikes_nothing_changes(mu: float) -> None:
    x, y = torch.zeros(5, 2, 3, dtype=F64), torch.zeros(5, 2, 2, dtype=F64)
    w = torch.tensor([[-1.0, 0.0, 0.5], [1.0, 2.0, 0.1]], dtype=F64)  # at and beyond the bounds
    assert torch.equal(
        changes(sh.STDP(mu_plus=mu, mu_minus=mu), x, y, w), torch.zeros(5, 2, 3).double()
    )


@given(seed=st.integers(0, 2**31), moved=st.integers(0, 3))
def test_another_spike_of_an_input_changes_its_column_only(seed: int, moved: int) -> None:
    x, y, w = trains(seed, STEPS, 2, 4), trains(seed + 1, STEPS, 2, 3), normal(seed + 2, 3, 4)
    other = x.clone()
    other[3, 1, moved] = 1 - other[3, 1, moved]
    rule = sh.STDP(mu_plus=0.5, mu_minus=1)
    same = changes(rule, x, y, w) == changes(rule, other, y, w)
    assert same[:, :, [i for i in range(4) if i != moved]].all()


@given(seed=st.integers(0, 2**31))
def test_groups_are_rules_side_by_side(seed: int) -> None:
    rule, n = sh.STDP(mu_plus=0.5, mu_minus=0.5), 2
    x, y = trains(seed, STEPS, 2, n, 3), trains(seed + 1, STEPS, 2, n, 2)
    w = normal(seed + 2, 4, 3)
    state = {k: v.expand(2, -1, -1) for k, v in at_rest(rule, n, 3, 2).items()}
    found = []
    for t in range(STEPS):
        update, state = rule.terms(sh.Activity(x[t], y[t], y[t], w), state)
        found.append(kernels.accumulate(update, w, torch.empty_like(w)))
    for group in range(2):
        rows = slice(2 * group, 2 * group + 2)
        close(torch.stack(found)[:, rows], changes(rule, x[:, group], y[:, group], w[rows]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a_plus", -1), ("a_minus", float("nan")), ("tau_plus", 0), ("tau_minus", -0.02),
        ("mu_plus", -0.1), ("mu_minus", "soft"), ("w_max", 0), ("w_min", float("inf")), ("dt", 0),
        ("nearest", "yes"), ("simultaneous", "pre"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"STDP: {name}="):
        sh.STDP(**{name: value})
