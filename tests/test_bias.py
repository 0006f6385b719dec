from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles

numbers = st.floats(-3, 3)


@given(
    pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6),
    n=st.integers(1, 9),
    samples=st.integers(1, 4),
    t=st.sampled_from([0.5, 1.0, 4.0]),
    gain=st.sampled_from([None, 0.0, 0.1]),
    function=st.sampled_from(["exp", "relu"]),
)
def test_equals_the_oracle(
    pairs: list[tuple[float, float]],
    n: int,
    samples: int,
    t: float,
    gain: float | None,
    function: str,
) -> None:
    total, prior = [list(column) for column in zip(*pairs, strict=True)]
    part = sh.PriorBias(t, gain, function)
    change = part.change(
        torch.tensor(total, dtype=torch.float64),
        torch.tensor(prior, dtype=torch.float64),
        n,
        samples,
    )
    scale = 1 / t if gain is None else gain
    expected = oracles.prior_change(total, prior, n, samples, t, scale, function)
    torch.testing.assert_close(
        change, torch.tensor(expected, dtype=torch.float64), rtol=1e-11, atol=1e-12
    )


def test_starts_as_the_uniform_prior_of_the_softmax() -> None:
    bias = sh.PriorBias(t=2.0).init(8)
    torch.testing.assert_close(bias, torch.full((8,), math.log(1 / 8) / 2))
    torch.testing.assert_close((2.0 * bias).exp().sum(), torch.tensor(1.0))


def test_only_the_neuron_that_wins_more_often_than_its_prior_says_is_raised() -> None:
    wins = torch.tensor([6.0, 3.0, 1.0], dtype=torch.float64)
    prior = (wins / 10).log() / 4 - torch.tensor([0.2, 0.0, 0.0], dtype=torch.float64)
    change = sh.PriorBias(t=4.0).change(wins, prior, 10, 10)
    torch.testing.assert_close(change, torch.tensor([0.25, 0.0, 0.0], dtype=torch.float64))


def test_no_surprise_gives_no_nan() -> None:
    change = sh.PriorBias(function="relu").change(torch.zeros(3), torch.zeros(3), 4, 0)
    assert change.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t": 0}, "t=0 is not allowed; it must be a number > 0"),
        ({"gain": -1}, "gain=-1 is not allowed; it must be a number >= 0"),
        ({"gain": "x"}, "gain='x' is not allowed"),
        ({"function": "soft"}, "function='soft' is not allowed; choose one of 'exp', 'relu'"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"PriorBias: {message}"):
        sh.PriorBias(**arguments)  # type: ignore[arg-type]
