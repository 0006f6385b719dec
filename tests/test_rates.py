from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles

F64 = torch.float64
positive = st.floats(1e-3, 1e3)


@given(
    lr=st.floats(0, 10), power=st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.0]),
    radii=st.lists(st.floats(0, 50), min_size=1, max_size=5),
)  # fmt: skip
def test_norm_rate_equals_the_oracle(lr: float, power: float, radii: list[float]) -> None:
    radius = torch.tensor(radii, dtype=F64)
    before = radius.clone()
    rate = sh.NormRate(lr, power)(radius, 0)
    expected = [oracles.norm_rate(lr, power, r) for r in radii]
    torch.testing.assert_close(rate, torch.tensor(expected, dtype=F64), rtol=1e-12, atol=0)
    assert torch.equal(radius, before)


@given(lr=positive, steps=positive, s=st.integers(0, 3000))
def test_linear_decay_equals_the_oracle(lr: float, steps: float, s: int) -> None:
    rate = sh.LinearDecay(lr, steps)(torch.ones(1), s)
    assert rate == pytest.approx(oracles.linear_decay(lr, steps, s), rel=1e-12)
    assert 0 <= rate <= lr
    assert (rate == 0) == (s >= steps)


@given(
    lr=positive, steps=positive, speed=st.floats(0.1, 20), div=st.floats(1, 200),
    s=st.integers(0, 3000),
)  # fmt: skip
def test_exponential_decay_equals_the_oracle(
    lr: float, steps: float, speed: float, div: float, s: int
) -> None:
    rate = sh.ExponentialDecay(lr, steps, speed, div)(torch.ones(1), s)
    expected = oracles.exponential_decay(lr, steps, speed, div, s)
    assert rate == pytest.approx(expected, rel=1e-10, abs=1e-12 * lr)


def test_exponential_decay_starts_and_ends_where_it_says() -> None:
    rate = sh.ExponentialDecay(0.9, 100, speed=3, div=45)
    assert rate(torch.ones(1), 0) == pytest.approx(0.9)
    assert rate(torch.ones(1), 100) == pytest.approx(0.02)


def test_constant_rate_is_constant() -> None:
    assert {sh.ConstantRate(0.3)(torch.rand(2), s) for s in (0, 1, 10**9)} == {0.3}


def test_the_rate_rests_at_radius_one_and_grows_on_both_sides() -> None:
    rate = sh.NormRate(0.1, 0.5)(torch.tensor([0.5, 0.9, 1.0, 1.1, 1.5], dtype=F64), 0)
    assert rate[2] == pytest.approx(0.1 * 1e-5)
    assert rate[0] > rate[1] > rate[2] < rate[3] < rate[4]
    torch.testing.assert_close(rate[0], rate[4])


@pytest.mark.parametrize("start", [0.3, 3.0])
def test_softhebb_with_norm_rate_settles_at_radius_one_from_both_sides(start: float) -> None:
    layer = sh.Dense(
        5, 4, competition=sh.SoftWTA(1.0), rate=sh.NormRate(0.5), scaling=sh.NoScaling(),
        init=sh.Positive(start),
    )  # fmt: skip
    layer.reset(torch.Generator().manual_seed(0))
    chance = torch.Generator().manual_seed(1)
    apart = (layer.radius() - 1).abs().max()
    for _ in range(3000):
        x = torch.nn.functional.normalize(torch.rand(1, 5, generator=chance), dim=1)
        layer.learn(layer.observe(x)[1])
    assert (layer.radius() - 1).abs().max() < 0.1 * apart


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (sh.LinearDecay(0.4, 4), [0.4, 0.3, 0.2, 0.1, 0.0, 0.0]),
        (sh.ConstantRate(0.4), [0.4] * 6),
    ],
    ids=repr,
)
def test_a_layer_counts_its_updates_for_the_schedule(rate: Any, expected: list[float]) -> None:
    layer, found = sh.Dense(3, 2, rate=rate), []
    for _ in expected:
        found.append(float(layer.current_rate()))
        layer.learn(layer.observe(torch.rand(2, 3))[1])
    assert found == pytest.approx(expected)


def test_a_layer_gives_norm_rate_the_radius_it_has_now() -> None:
    layer = sh.Dense(2, 2, rate=sh.NormRate(1.0, 1.0), norm_p=3.0)
    layer.set_weight(torch.tensor([[1.0, 0.0], [2.0, 2.0]]))
    expected = [1e-10, 16 ** (1 / 3) - 1]
    torch.testing.assert_close(layer.current_rate(), torch.tensor(expected))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (sh.ConstantRate, (-0.1,), "ConstantRate: lr=-0.1 .* number >= 0"),
        (sh.ConstantRate, (math.nan,), "lr=nan"),
        (sh.NormRate, (-1,), "NormRate: lr=-1 .* number >= 0"),
        (sh.NormRate, (1, -1), "power=-1 .* number >= 0"),
        (sh.LinearDecay, (-1, 5), "LinearDecay: lr=-1 .* number >= 0"),
        (sh.LinearDecay, (1, 0), "steps=0 .* number > 0"),
        (sh.ExponentialDecay, (-1, 5), "ExponentialDecay: lr=-1 .* number >= 0"),
        (sh.ExponentialDecay, (1, 0), "steps=0 .* number > 0"),
        (sh.ExponentialDecay, (1, 5, 0), "speed=0 .* number > 0"),
        (sh.ExponentialDecay, (1, 5, 7, 0), "div=0 .* number > 0"),
    ],
)
def test_bad_arguments_are_named(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(*arguments)
