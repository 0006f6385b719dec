from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_rules as oracles
from tests.rules.helpers import F64, activities, change, close, grouped


@given(
    seen=activities(),
    theta=st.sampled_from([0.0, 2.0]),
    goodness=st.sampled_from(["mean", "sum"]),
    m=st.sampled_from([1.0, -1.0, 0.0, 0.4]),
)
def test_equals_the_oracle(seen: list[sh.Activity], theta: float, goodness: str, m: float) -> None:
    rule = sh.ForwardForward(theta, goodness)
    expected = [
        row
        for group in grouped(seen[0])
        for row in oracles.forward_forward(*group, theta, goodness, m)
    ]
    for modulator in (m, torch.tensor(m)):
        found, state = change(rule, seen[0]._replace(modulator=modulator))
        close(found, expected) if isinstance(modulator, float) else torch.testing.assert_close(
            found, torch.tensor(expected, dtype=F64)
        )
        assert state == {}


@given(seed=st.integers(0, 2**31), m=st.sampled_from([1.0, -1.0]))
def test_is_the_gradient_of_the_likelihood_of_rectified_neurons(seed: int, m: float) -> None:
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 4, generator=chance, dtype=F64)
    weight = torch.randn(5, 4, generator=chance, dtype=F64, requires_grad=True)
    goodness = (x @ weight.T).relu().square().mean(1)
    torch.nn.functional.logsigmoid(m * (goodness - 2.0)).sum().backward()
    u = (x @ weight.T).detach()
    seen = sh.Activity(x, u.relu(), u, weight.detach(), modulator=m)
    torch.testing.assert_close(change(sh.ForwardForward(), seen)[0], weight.grad)


def test_goodness_comes_to_tell_real_from_false() -> None:
    chance = torch.Generator().manual_seed(0)
    layer = sh.Dense(
        4, 16, rule=sh.ForwardForward(), competition=sh.Independent("relu"), rate=0.3,
        scaling=sh.NoScaling(), init=sh.Normal(1.0),
    )  # fmt: skip
    layer.reset(torch.Generator().manual_seed(1))
    real = torch.tensor([1.0, 1.0, 0.0, 0.0]) + 0.1 * torch.randn(300, 4, generator=chance)
    false = torch.tensor([1.0, 0.0, 1.0, 0.0]) + 0.1 * torch.randn(300, 4, generator=chance)
    net = sh.StreamNet(layer, sh.ReLU(), seed=None)
    for yes, no in zip(real, false, strict=True):
        net.step(yes, modulator=1.0)
        net.step(no, modulator=-1.0)
    good, bad = (net.respond(x).scores.square().mean(1) for x in (real, false))
    assert float((good > 2).float().mean()) > 0.95
    assert float((bad < 2).float().mean()) > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"theta": -1}, r"ForwardForward: theta=-1 is not allowed; it must be a number >= 0"),
        ({"goodness": "max"}, r"ForwardForward: goodness='max' is not allowed; choose one of"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sh.ForwardForward(**arguments)
