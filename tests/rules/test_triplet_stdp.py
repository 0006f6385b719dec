from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_spikes
from tests.spike_runs import F64, changes, close, normal, summed, trains


@given(
    n=st.integers(1, 3),
    n_in=st.integers(1, 4),
    n_out=st.integers(1, 3),
    nearest=st.booleans(),
    simultaneous=st.sampled_from(("potentiate", "ignore", "both")),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(
    n: int, n_in: int, n_out: int, nearest: bool, simultaneous: str, seed: int
) -> None:
    x, y = trains(seed, 12, n, n_in), trains(seed + 1, 12, n, n_out)
    options: dict[str, Any] = {
        "a2_plus": 0.3, "a3_plus": 0.7, "a2_minus": 0.4, "a3_minus": 0.2, "tau_plus": 0.0168,
        "tau_minus": 0.0337, "tau_x": 0.1, "tau_y": 0.125, "nearest": nearest,
        "simultaneous": simultaneous, "dt": 0.002,
    }  # fmt: skip
    found = changes(sh.TripletSTDP(**options), x, y, normal(seed + 2, n_out, n_in))
    close(found, summed(oracles_spikes.triplet_stdp, x, y, **options))


@given(seed=st.integers(0, 2**31))
def test_without_triplets_it_is_pair_stdp(seed: int) -> None:
    x, y, w = trains(seed, 20, 2, 3), trains(seed + 1, 20, 2, 3), normal(seed, 3, 3)
    same = {"tau_plus": 0.01, "tau_minus": 0.03, "dt": 0.002}
    triplet = sh.TripletSTDP(a2_plus=0.4, a3_plus=0, a2_minus=0.6, a3_minus=0, **same)
    pair = sh.STDP(a_plus=0.4, a_minus=0.6, **same)
    close(changes(triplet, x, y, w), changes(pair, x, y, w))


def pairing(rule: Any, hertz: float, lag: int, pairs: int = 60) -> float:
    """Change by the protocol of the paper: 60 pairs at a frequency, ``lag`` milliseconds apart."""
    every, lag, edge = round(1 / hertz / rule.dt), round(lag / 1000 / rule.dt), 50
    run = pairs if hertz >= 1 else 1  # seconds apart, nothing remains of one pair at the next
    x, y = torch.zeros(2, (run - 1) * every + 2 * edge, 1, 1, dtype=F64)
    for k in range(run):
        at = edge + k * every
        x[at], y[at + lag] = 1, 1
    return float(changes(rule, x, y, torch.ones(1, 1, dtype=F64)).sum()) * pairs / run


CORTEX = sh.TripletSTDP.visual_cortex(dt=2e-3)


def test_visual_cortex_pairings_change_sign_with_frequency() -> None:
    """Post 10 ms before pre: depression at 10 Hz, potentiation at 50 Hz (Sjöström et al.)."""
    low, middle, high = (pairing(CORTEX, hertz, -10) for hertz in (10, 20, 50))
    assert -0.5 < low < -0.15
    assert middle < 0
    assert 0.3 < high < 1


def test_visual_cortex_needs_frequency_to_potentiate() -> None:
    """Pre 10 ms before post: nothing at 0.1 Hz, and ever more from 10 to 50 Hz."""
    rising = [pairing(CORTEX, hertz, 10) for hertz in (0.1, 10, 20, 50)]
    assert abs(rising[0]) < 1e-6
    assert rising == sorted(rising)
    assert 0.05 < rising[1] < 0.3
    assert 0.4 < rising[-1] < 1.2


def test_pair_stdp_gets_it_wrong() -> None:
    rule = sh.STDP(a_plus=7e-3, a_minus=7e-3, tau_plus=0.0168, tau_minus=0.0337, dt=2e-3)
    assert pairing(rule, 50, 10) < pairing(rule, 0.1, 10)  # less, where cortex shows more


def test_hippocampus_keeps_the_published_fit() -> None:
    rule = sh.TripletSTDP.hippocampus(dt=5e-4)
    assert (rule.a2_plus, rule.a3_plus, rule.a2_minus, rule.a3_minus) == (
        6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3,
    )  # fmt: skip
    assert (rule.tau_plus, rule.tau_minus, rule.tau_x, rule.tau_y, rule.dt) == (
        0.0168, 0.0337, 0.946, 0.027, 5e-4,
    )  # fmt: skip


def test_triplets_of_both_orders() -> None:
    """Hippocampus: post, pre, post potentiates more than pre, post, pre (Wang et al., figure 3)."""
    rule, w = sh.TripletSTDP.hippocampus(), torch.ones(1, 1, dtype=F64)
    two, one = torch.zeros(60, 1, 1, dtype=F64), torch.zeros(60, 1, 1, dtype=F64)
    two[10] = two[20] = one[15] = 1
    assert float(changes(rule, one, two, w).sum()) > 2 * float(changes(rule, two, one, w).sum())


def test_without_spikes_nothing_changes_and_traces_stay_at_rest() -> None:
    x, y = torch.zeros(5, 2, 3, dtype=F64), torch.zeros(5, 2, 2, dtype=F64)
    assert not changes(sh.TripletSTDP(), x, y, torch.ones(2, 3, dtype=F64)).any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a2_plus", -1), ("a3_plus", float("inf")), ("a2_minus", "x"), ("a3_minus", -1e-9),
        ("tau_plus", 0), ("tau_minus", None), ("tau_x", -1), ("tau_y", 0), ("dt", 0),
        ("nearest", None), ("simultaneous", ""),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"TripletSTDP: {name}="):
        sh.TripletSTDP(**{name: value})
