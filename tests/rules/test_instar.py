from __future__ import annotations

import torch
from hypothesis import given

import streamhebb as sh
from tests import oracles_rules as oracles
from tests.rules.helpers import activities, change, close, grouped


@given(seen=activities())
def test_equals_the_oracle(seen: list[sh.Activity]) -> None:
    found, state = change(sh.Instar(), seen[0])
    close(found, [row for group in grouped(seen[0]) for row in oracles.instar(*group)])
    assert state == {}


def test_winners_move_to_the_means_of_their_clusters() -> None:
    chance = torch.Generator().manual_seed(0)
    centres = torch.tensor([[1.0, 0.0, 0.2], [0.0, 1.0, 0.4]])
    layer = sh.Dense(
        3, 2, rule=sh.Instar(), competition=sh.HardWTA(), rate=0.02, scaling=sh.NoScaling()
    )
    layer.set_weight(torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]]))
    for t in range(800):
        x = centres[t % 2] + 0.1 * torch.randn(3, generator=chance)
        layer.learn(layer.observe(x[None])[1])
    torch.testing.assert_close(layer.weight, centres, atol=0.06, rtol=0)


def test_a_neuron_that_is_silent_keeps_its_weights() -> None:
    seen = sh.Activity(
        torch.ones(1, 3), torch.tensor([[0.0, 1.0]]), torch.ones(1, 2), torch.eye(2, 3)
    )
    dw, _ = change(sh.Instar(), seen)
    assert dw.tolist() == [[0, 0, 0], [1, 0, 1]]
