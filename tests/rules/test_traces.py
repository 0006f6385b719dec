from __future__ import annotations

import math

import pytest
import torch

import streamhebb as sh
from streamhebb.rules.traces import decayed, heard, soft_bound
from tests.spike_runs import at_rest


def test_traces_stay_bounded_for_ever() -> None:
    """1e5 steps in float32, a spike in every one: the trace ends at 1 / (1 - exp(-dt/tau))."""
    one, trace = torch.ones(2), torch.zeros(2)
    for _ in range(100_000):
        trace = heard(decayed(trace, 0.02, 1e-3), one)
    limit = 1 / (1 - math.exp(-1 / 20))
    assert trace.tolist() == pytest.approx([limit] * 2, rel=1e-5)


@pytest.mark.parametrize("rule", [sh.STDP(), sh.PostSTDP(), sh.TripletSTDP()], ids=repr)
def test_a_rule_keeps_no_more_than_its_traces(rule: sh.STDP) -> None:
    state, one = at_rest(rule, 1, 1, 1, torch.float32), torch.ones(1, 1)
    for _ in range(1500):
        update, state = rule.terms(sh.Activity(one, one, one, one), state)
    for value in state.values():
        assert 15 < float(value) < 130  # tau / dt and a little
    assert all(outer.post.isfinite().all() and outer.pre.isfinite().all() for outer in update.outer)


def test_silence_ends_at_zero_and_not_at_a_number_too_small_to_be_handled_fast() -> None:
    trace = torch.ones(1)
    smallest = 1.0
    for _ in range(2000):
        trace = decayed(trace, 0.02, 1e-3)
        smallest = min(smallest, float(trace) or smallest)
    assert float(trace) == 0
    assert smallest > torch.finfo(torch.float32).tiny


def test_a_trace_does_not_hide_what_is_not_finite() -> None:
    assert decayed(torch.tensor([float("nan")]), 0.02, 1e-3).isnan().all()


def test_a_weight_beyond_its_bound_has_no_room() -> None:
    weight = torch.tensor([2.0, 1.0, 0.75])
    assert soft_bound(True, 1.0, 0) is None
    for upper, sign in ((True, 1), (False, -1)):
        bounds = [soft_bound(upper, sign * 1.0, mu) for mu in (0.5, 1)]
        found = [None if b is None else b(sign * weight).tolist() for b in bounds]
        assert found == [[0, 0, 0.5], [0, 0, 0.25]]
