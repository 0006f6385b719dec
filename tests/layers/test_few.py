"""Where few neurons win, only their weights are touched: the same as by the whole matrix."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import streamhebb as sh
from streamhebb.layers import changing


def layer(competition: Any, scaling: Any = None, **parts: Any) -> sh.Dense:
    made = sh.Dense(
        6, 40, competition=competition, scaling=scaling or sh.LayerMax(), rate=0.3, **parts
    ).double()
    chance = torch.Generator().manual_seed(1)
    made.set_weight(torch.randn(40, 6, dtype=torch.float64, generator=chance))
    return made


def learned(net: sh.Dense, batch: int = 3, steps: int = 4) -> torch.Tensor:
    chance = torch.Generator().manual_seed(2)
    for _ in range(steps):
        x = torch.rand(batch, 6, dtype=torch.float64, generator=chance)
        net.learn(net.observe(x)[1])
    return net.weight


@pytest.mark.parametrize("competition", [sh.HardWTA(), sh.RankedHardWTA(3, 0.4)])
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NoScaling()])
@pytest.mark.parametrize("rate", [0.3, sh.NormRate(0.1), sh.LinearDecay(0.3, 3)])
def test_the_same_weights_as_by_the_whole_matrix(monkeypatch, competition, scaling, rate):
    few, whole = (layer(competition, scaling, norm_p=3.0) for _ in range(2))
    few.rate = whole.rate = rate
    first = few.weight.clone()
    found = learned(few)
    monkeypatch.setattr(changing, "_few", lambda layer, update: None)
    torch.testing.assert_close(found, learned(whole), rtol=1e-12, atol=1e-12)
    still = (found == first).all(1)
    assert 0 < int((~still).sum()) <= 24, "two of each of 12 samples at most"


@pytest.mark.parametrize(
    "made",
    [
        layer(sh.SoftWTA()),
        layer(sh.HardWTA(), sh.NeuronRMS()),
        layer(sh.HardWTA(), trained=20),
        layer(sh.HardWTA(), rule=sh.Oja(), eligibility=sh.Eligibility(0.5)),
    ],
    ids=["many win", "idle neurons count", "some never learn", "traces"],
)
def test_others_change_as_a_whole(monkeypatch, made):
    def refuse(*args: Any) -> None:
        raise AssertionError("taken for few")

    monkeypatch.setattr(changing, "_of_few", refuse)
    learned(made)


def test_many_competitions_are_not_searched():
    made = layer(sh.HardWTA())
    assert changing._few(made, _update(made, 9)) is None
    assert len(changing._few(made, _update(made, 2))) == 1


def _update(made: sh.Dense, n: int) -> Any:
    post = torch.zeros(n, 40, dtype=torch.float64)
    post[:, 4] = 1.0
    pre = torch.rand(n, 6, dtype=torch.float64)
    return sh.values.LocalUpdate((sh.values.Outer(post, pre),), post)
