from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.parts import State
from tests import oracles_rules as oracles
from tests.rules.helpers import F64, activities, change, close, outer_by_group, side_by_side, start


@given(
    seen=activities(steps=4),
    hebbian=st.sampled_from([0.0, 1.5]),
    decorrelation=st.sampled_from([0.0, 0.7]),
    tau=st.sampled_from([1, 2.5, 100]),
    name=st.sampled_from(["linear", "relu", "sigmoid", "tanh"]),
)
def test_equals_the_oracle(
    seen: list[sh.Activity], hebbian: float, decorrelation: float, tau: float, name: str
) -> None:
    rule = sh.LPL(hebbian, decorrelation, tau, 0.1, function=name)
    state, memory = start(rule, seen[0]), {}
    for instant in seen:
        found, state = change(rule, instant, state)
        factor, memory = oracles.lpl(
            side_by_side(instant.post), side_by_side(instant.drive), memory, hebbian=hebbian,
            decorrelation=decorrelation, tau=tau, eps=0.1, name=name,
        )  # fmt: skip
        close(found, outer_by_group(factor, instant, oracles.outer))
        close(state["mean"], memory["mean"])
        close(state["variance"], [row[j] for j, row in enumerate(memory["covariance"])])
        assert torch.equal(state["previous"], instant.post)


@given(seen=activities())
def test_weight_decay_is_that_of_each_row(seen: list[sh.Activity]) -> None:
    plain, _ = change(sh.LPL(), seen[0])
    decayed, _ = change(sh.LPL(weight_decay=0.1), seen[0])
    rows = seen[0].pre.shape[-2]
    torch.testing.assert_close(decayed, plain - 0.1 * rows * seen[0].weight)


def test_running_statistics_are_exact_while_they_are_young() -> None:
    values = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    rule = sh.LPL(decorrelation=1.0, tau=100)
    state: State | None = None
    for row in values:
        one, w = torch.ones(1, 1, dtype=F64), torch.ones(3, 1, dtype=F64)
        seen = sh.Activity(one, row[None], row[None], w)
        _, state = change(rule, seen, state)
    assert state is not None
    torch.testing.assert_close(state["mean"], values.mean(0))
    torch.testing.assert_close(state["variance"], values.var(0, correction=0))
    torch.testing.assert_close(state["covariance"], torch.cov(values.T, correction=0))


def learned(rule: Any) -> Tensor:
    """One neuron on two clusters that last for long, beside noise that varies more."""
    chance = torch.Generator().manual_seed(0)
    weight = torch.tensor([[0.3, 0.3]], dtype=F64)
    state: State | None = None
    side = 1.0
    for _ in range(3000):
        if float(torch.rand((), generator=chance)) < 0.05:
            side = -side
        noise = torch.randn(2, generator=chance, dtype=F64) * torch.tensor([0.1, 2.0])
        x = (torch.tensor([side, 0.0], dtype=F64) + noise)[None]
        y = x @ weight.T
        dw, state = change(rule, sh.Activity(x, y, y, weight), state)
        weight = weight + 0.005 * dw
    return weight[0] / weight.norm()


def test_finds_what_lasts_where_variance_alone_finds_noise() -> None:
    slow = learned(sh.LPL(hebbian=1.0, tau=500))
    assert abs(float(slow[0])) > 0.99
    loud = learned(sh.Oja())
    assert abs(float(loud[1])) > 0.99


def test_without_the_hebbian_term_the_output_collapses() -> None:
    chance = torch.Generator().manual_seed(0)
    spread = []
    for hebbian in (0.0, 1.0):
        weight, state = torch.ones(1, 2, dtype=F64), None
        for _ in range(1000):
            x = torch.randn(1, 2, generator=chance, dtype=F64)
            y = x @ weight.T
            dw, state = change(sh.LPL(hebbian=hebbian), sh.Activity(x, y, y, weight), state)
            weight = weight + 0.01 * dw
        spread.append(float(weight.norm()))
    assert spread[0] < 0.01
    assert spread[1] > 0.3


def test_only_the_decorrelation_is_not_local() -> None:
    assert sh.LPL().nonlocal_parts == ()
    assert sh.LPL(decorrelation=0.1).nonlocal_parts == ("decorrelation",)
    assert "covariance" not in sh.LPL().init(3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hebbian": -1}, r"LPL: hebbian=-1 is not allowed; it must be a number >= 0"),
        ({"decorrelation": -0.1}, r"LPL: decorrelation=-0.1 is not allowed"),
        ({"weight_decay": float("nan")}, r"LPL: weight_decay=nan is not allowed"),
        ({"tau": 0}, r"LPL: tau=0 is not allowed; it must be a number >= 1"),
        ({"eps": 0}, r"LPL: eps=0 is not allowed; it must be a number > 0"),
        ({"function": "repu"}, r"LPL: function='repu' is not allowed; choose one of 'linear'"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sh.LPL(**arguments)
