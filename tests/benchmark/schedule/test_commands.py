"""The commands run, print a table and keep the machine beside the figures."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamhebb import Dense, StreamNet
from streamhebb.benchmark.commands import app
from streamhebb.benchmark.schedule import host, speed
from streamhebb.errors import ConfigError
from streamhebb.layers import Flatten


def call(tmp_path: Path, *words: str) -> tuple[str, dict[str, Any]]:
    out = tmp_path / "new" / "result.json"
    result = CliRunner().invoke(app, ["schedule", *words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    kept = json.loads(out.read_text("utf-8"))
    assert {"processor", "cores", "torch", "threads", "settings"} <= kept.keys()
    return result.output, kept


def tiny() -> StreamNet:
    return StreamNet(Flatten(), Dense(12, 3), input_shape=(3, 2, 2), seed=0)


def test_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = partial(speed.compare, make=tiny, shape=(3, 2, 2))
    monkeypatch.setattr(speed, "compare", compare)
    picture = tmp_path / "speed.png"
    words = ["--rounds", "1", "--steps", "1", "--batches", "10,1", "--picture", str(picture)]
    text, kept = call(tmp_path, "speed", *words)
    assert len(kept["speed"]) == 6
    assert "times as fast" in text
    assert picture.exists()


def test_overhead(tmp_path: Path) -> None:
    text, kept = call(tmp_path, "overhead", "--rounds", "1", "--frames", "5")
    assert {row["what"] for row in kept["overhead"]} == {"plan", "net"}
    assert kept["untraced"].keys() == {"serial", "check", "clock"}
    assert "tracing off costs a task" in text


def test_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(batch: int, *, together: int, rounds: int, turn: int) -> list[host.Cost]:
        ways = ("net.learn", 8.0), ("net.run", 300.0)
        return [host.Cost(way, together, batch, us, us / 2, 2 * us) for way, us in ways]

    monkeypatch.setattr(host, "compare", compare)  # the published net takes its time
    text, kept = call(tmp_path, "host", "--batches", "1,10", "--together", "4")
    assert [(row["batch"], row["way"]) for row in kept["host"]] == [
        (1, "net.learn"), (1, "net.run"), (10, "net.learn"), (10, "net.run"),
    ]  # fmt: skip
    assert "4.0, 16.0" in text


def test_balance(tmp_path: Path) -> None:
    words = ["--widths", "6,8", "--batch", "2", "--rounds", "1", "--steps", "2"]
    text, kept = call(tmp_path, "balance", *words)
    assert [row["width"] for row in kept["balance"]] == [6, 6, 8, 8]
    assert "of the bound" in text


def test_orders(tmp_path: Path, data_dir: Path) -> None:
    words = ["--data", "mnist", "--seeds", "0,1", "--samples", "12", "--tested", "10"]
    picture = tmp_path / "orders.png"
    more = ["--only", "Stale(1), at worst", "--picture", str(picture)]
    text, kept = call(tmp_path, "orders", *words, *more)
    ways = [(row["seed"], row["way"]) for row in kept["orders"]]
    assert ways == [(s, w) for s in (0, 1) for w in ("in order", "Stale(1), at worst")]
    assert kept["orders"][1]["staleness"]
    assert " ± " in text
    assert picture.exists()


def test_latency(tmp_path: Path) -> None:
    words = ["--source", "digits", "--seconds", "0.01", "--warmup", "5", "--factor", "2"]
    text, kept = call(tmp_path, "latency", *words)
    assert [row["policy"] for row in kept["latency"]] == [
        "block", "drop_oldest", "latest", "skip_learning",
    ]  # fmt: skip
    assert kept["settings"]["net"] == "digits"
    assert "p99, ms" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["speed", "--busy", "-1"], "busy=-1"),
        (["speed", "--rounds", "0"], "rounds=0"),
        (["speed", "--batches", "10,0"], "batches=0"),
        (["speed", "--batches", "ten"], "batches='ten'"),
        (["overhead", "--frames", "0"], "frames=0"),
        (["host", "--together", "0"], "together=0"),
        (["balance", "--widths", "0"], "widths=0"),
        (["orders", "--only", "Stale"], "in order"),
        (["orders", "--data", "digits"], "cifar10"),
        (["latency", "--factor", "0"], "factor=0"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["schedule", *words])
    assert isinstance(result.exception, ConfigError)
    assert told in str(result.exception)
