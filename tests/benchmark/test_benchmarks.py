"""The benchmarks measure what they say; no time is judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from streamhebb.benchmark import forward, memory, mnist, readouts, rules, scaling, sides, step
from streamhebb.benchmark.commands import app
from streamhebb.errors import ConfigError
from streamhebb.layers import Dense
from streamhebb.machine import machine
from streamhebb.scaling import NoScaling


def test_both_sides_of_the_step_benchmark_do_the_same_arithmetic() -> None:
    assert step.difference(steps=10) < 1e-12


def test_another_arithmetic_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "RATE", 0.081)  # of the plain side and of nets made from now on
    net = step.make_net()
    monkeypatch.setattr(step, "make_net", lambda: net)
    monkeypatch.setattr(step, "RATE", 0.08)
    assert step.difference(steps=3) > 1e-6


def test_the_step_benchmark_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    cost = step.compare(threads=2, rounds=1, steps=1, warmup=1)
    assert cost.threads == 2
    assert min(cost.net_us, cost.plain_us, cost.ratio) > 0
    assert torch.get_num_threads() == before


def test_memory_is_traced() -> None:
    found = memory.trace(20, warmup=5, every=5)
    assert 0 < found.low <= found.start <= found.high
    assert found.low <= found.end <= found.high


def test_mnist_in_one_pass(data_dir: Path) -> None:
    result = mnist.run_seed(3, limit=150, probe_epochs=1, probe_samples=200)
    assert result.samples == 150
    assert 0.2 < result.prequential < 1  # it learns, and it does not know the labels beforehand
    assert result.last_quarter > result.prequential
    assert 0.2 < result.test < 1
    again = mnist.run_seed(3, limit=150, probe_epochs=1, probe_samples=200)
    assert (result.test, result.probe) == (again.test, again.probe)


def test_random_weights_stay_and_learned_ones_turn(data_dir: Path) -> None:
    still = scaling.run_choice("random", NoScaling(), 0.0, 0, samples=5, fitted=500)
    assert still.turned == pytest.approx(1, abs=1e-6)
    name, choice, lr = scaling.CHOICES[-1]
    moved = scaling.run_choice(name, choice, lr, 0, samples=50, fitted=500)
    assert moved.turned < 0.99


def test_readouts_take_turns_and_predict_before_they_learn(data_dir: Path) -> None:
    x, labels = readouts.features("pixels", 0, 120)
    assert x.shape == (120, 784)
    x = x.view(120, 28, 28)[:, ::2, ::2].flatten(1)  # quicker
    found = readouts.race(readouts.choices("pixels"), x, labels, "pixels", 0)
    assert {result.name for result in found} == readouts.choices("net").keys()
    assert all(0.1 < result.prequential < 1 for result in found)
    assert all(result.ms > 0 for result in found)
    # Each sample has a label that was never seen before: nobody can be right.
    blind = readouts.race(readouts.choices("pixels"), x[:20], list(range(20)), "pixels", 0)
    assert not any(result.prequential for result in blind)
    learned, _ = readouts.features("net", 0, 3, looked_at=5)
    assert learned.shape == (3, 400)
    with pytest.raises(ConfigError, match="choose one of pixels, net"):
        readouts.features("edges", 0, 3)
    costs = readouts.cost(8, first=3, before=500, later=3)
    assert [result.features for result in costs[:: len(found)]] == ["noise, first", "noise, later"]


def test_a_benchmark_writes_where_it_was_run(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "step.json"
    words = ["step", "--threads", "1", "--rounds", "1", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    kept = json.loads(out.read_text("utf-8"))
    assert kept["step"][0]["threads"] == 1
    assert kept["processor"] == machine()["processor"]


def test_alignment_and_selectivity_are_what_they_say() -> None:
    axes = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    data = torch.randn(500, 6, dtype=torch.float64) * torch.arange(6, 0, -1) @ axes.T
    found = rules.components(data, 3)
    assert found.shape == (3, 6)
    assert rules.alignment(found, found) == pytest.approx(1)
    assert rules.alignment(found.flip(0), found) < 1e-6
    layer = Dense(4, 2)
    layer.set_weight(torch.tensor([[1.0, 1, 1, 1], [1, -1, -1, -1]]))
    # One neuron answers all four alike, the other one of four.
    assert rules.selectivity(layer, torch.eye(4)) == pytest.approx((0 + 0.75) / 2)
    layer.set_weight(torch.tensor([[1.0, 0, 0, 0], [-2, 0, 0, 0]]))
    assert rules.correlation(layer, torch.randn(20, 4)) == pytest.approx(1, abs=1e-5)


def test_rules_are_tried_on_mnist(data_dir: Path) -> None:
    results = rules.run_seed(0, limit=400)
    by_name = {result.rule: result for result in results}
    assert set(by_name) == {
        "Oja", "Sanger", "BCM", "Földiák (Oja + Lateral)", "Oja alone, control",
    }  # fmt: skip
    assert by_name["Oja"].end > 0.4 > by_name["Oja"].start
    assert by_name["BCM"].end > by_name["BCM"].start + 0.1
    assert all(result.samples == 400 for result in results)
    assert results[0].row()["rule"] == "Oja"


def test_two_forward_passes_learn_mnist(data_dir: Path) -> None:
    result = forward.labelled(0, n_out=100, limit=400, tested=300)
    assert result.test > 0.25 > result.before
    quiet = forward.self_contrastive(0, n_out=50, limit=300, tested=300, fitted=500)
    assert quiet.samples == 299  # the first image has none before it
    assert quiet.test > 0.5


@pytest.mark.parametrize("name", sides.names())
def test_every_side_learns_or_stands_still(name: str, data_dir: Path) -> None:
    result = sides.run(name, seed=1, n_out=30, limit=300)
    assert 0.1 <= result.probe < 1
    assert 0.25 < result.ridge < 1
    if result.turned is not None:
        still = name.startswith("random")
        assert (result.turned == pytest.approx(1, abs=1e-6)) == still
    again = sides.run(name, seed=1, n_out=30, limit=300)
    assert (again.probe, again.ridge) == (result.probe, result.ridge)


def test_sides_refuses_a_contestant_that_is_not_there() -> None:
    result = CliRunner().invoke(app, ["sides", "--only", "soft"])
    assert result.exit_code != 0
    assert isinstance(result.exception, ConfigError)
    assert "hard WTA" in str(result.exception)
