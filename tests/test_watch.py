"""Weights that run away are told of, once, and long before they overflow."""

from __future__ import annotations

import warnings

import pytest
import torch

import streamhebb as sh
from streamhebb import watch
from streamhebb.errors import DivergedError, RunawayWarning


def make_net(rate: float) -> sh.StreamNet:
    return sh.StreamNet(sh.Dense(3, 2, rule=sh.Hebb(), rate=rate, scaling=sh.LayerMax()))


def test_a_runaway_is_told_once_with_layer_limit_and_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 10)
    net = make_net(rate=3000.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(60):
            net.step(torch.ones(3))
    assert [w.category for w in told] == [RunawayWarning]
    assert "0:Dense" in str(told[0].message)
    assert "25000" in str(told[0].message)
    assert "RunningNorm" in str(told[0].message)
    assert told[0].filename == __file__  # it points at the caller's line


def test_ordinary_learning_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 1)
    net = sh.StreamNet(sh.RunningNorm(3), sh.Dense(3, 2), sh.ReLU())
    for _ in range(30):
        net.step(torch.rand(3))  # a warning is an error in these tests


def test_micro_batches_that_jump_over_the_mark_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "EVERY", 1000)
    net = make_net(rate=3e5)
    with pytest.warns(RunawayWarning):
        for _ in range(3):
            net.step(torch.ones(400, 3))


def test_nothing_is_looked_at_without_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY", 1)
    monkeypatch.setattr(watch, "GROWTH", 0.0)
    make_net(rate=0.0).step(torch.ones(3), learn=False)


def test_weights_that_are_no_numbers_are_found_behind_silent_neurons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "EVERY", 1)
    net = sh.StreamNet(sh.Dense(3, 2, rate=0.0), sh.Winner())
    net.step(torch.rand(3))
    net.layers[0].weight[1, 2] = float("nan")
    with pytest.raises(DivergedError, match=r"0:Dense is no longer finite after \d+ samples"):
        net.step(torch.rand(3))
