from __future__ import annotations

import torch
from hypothesis import given

import streamhebb as sh
from tests import oracles_rules as oracles
from tests.rules.helpers import activities, change, close, grouped


@given(seen=activities())
def test_equals_the_oracle(seen: list[sh.Activity]) -> None:
    found, state = change(sh.Outstar(), seen[0])
    close(found, [row for group in grouped(seen[0]) for row in oracles.outstar(*group)])
    assert state == {}


def test_an_input_that_is_silent_keeps_its_weights() -> None:
    seen = sh.Activity(
        torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 2.0]]), torch.ones(1, 2), torch.eye(2)
    )
    dw, _ = change(sh.Outstar(), seen)
    assert dw.tolist() == [[0, 3], [0, 1]]


def test_an_input_learns_the_pattern_that_goes_with_it() -> None:
    patterns = torch.tensor([[1.0, 0.0, 0.5], [0.2, 0.8, 0.0]], dtype=torch.float64)
    weight = torch.zeros(3, 2, dtype=torch.float64)
    for t in range(200):
        x = torch.eye(2, dtype=torch.float64)[t % 2][None]
        y = patterns[t % 2][None]
        weight += 0.1 * change(sh.Outstar(), sh.Activity(x, y, y, weight))[0]
    torch.testing.assert_close(weight.T, patterns, atol=1e-3, rtol=0)
