from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles

ACTIVATIONS: list[tuple[Any, Callable[[list[float]], list[float]]]] = [
    (sh.Triangle(), oracles.triangle),
    (sh.Triangle(0.7), lambda u: oracles.triangle(u, 0.7)),
    (sh.ReLU(), lambda u: [max(0.0, v) for v in u]),
    (sh.RePU(2.5), lambda u: [max(0.0, v) ** 2.5 for v in u]),
    (sh.Softmax(3.0), lambda u: oracles.softmax(u, 3.0)),
    (sh.Exp(0.5), lambda u: [math.exp(0.5 * v) for v in u]),
    (sh.Tanh(2.0), lambda u: [math.tanh(2.0 * v) for v in u]),
    (sh.Sigmoid(), lambda u: [oracles.logistic(10.0 * v) for v in u]),
    (sh.Sigmoid(1.5), lambda u: [oracles.logistic(1.5 * v) for v in u]),
    (sh.Winner(), oracles.hard),
]


@given(
    pair=st.sampled_from(ACTIVATIONS),
    shape=st.sampled_from([(2, 5), (2, 5, 2, 3), (1, 1), (1, 1, 2, 2)]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle_over_the_channels(pair: Any, shape: Any, seed: int) -> None:
    layer, oracle = pair
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=chance, dtype=torch.float64)
    before = x.clone()
    out = layer.respond(x)
    assert torch.equal(x, before), "the input is read only: the layer before may still need it"
    assert out.shape == x.shape == (shape[0], *layer.shape(shape[1:]))
    rows = x.movedim(1, -1).reshape(-1, shape[1]).tolist()
    expected = torch.tensor([oracle(row) for row in rows], dtype=torch.float64)
    found = out.movedim(1, -1).reshape(-1, shape[1])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_the_first_of_equals_wins() -> None:
    assert sh.Winner().respond(torch.ones(1, 4)).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (sh.Triangle, "power"),
        (sh.RePU, "power"),
        (sh.Softmax, "t"),
        (sh.Exp, "t"),
        (sh.Tanh, "slope"),
        (sh.Sigmoid, "slope"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, math.nan, "1"])
def test_bad_arguments_are_named(kind: Any, name: str, value: object) -> None:
    message = f"{kind.__name__}: {name}={value!r} is not allowed; it must be a number > 0"
    with pytest.raises(ConfigError, match=message):
        kind(value)


@pytest.mark.parametrize("layer", [sh.Triangle(0.7), sh.RePU(1.4), sh.Triangle(2.0)], ids=str)
def test_powers_hand_gradients_on(layer):
    """What was raised in place cannot be differentiated."""
    x = torch.tensor([[0.5, 2.0, -1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
