"""What `streamhebb bench speed` takes, prints and writes."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from streamhebb.benchmark import tuned
from streamhebb.benchmark.commands import app
from streamhebb.benchmark.speed import command
from streamhebb.benchmark.speed.compare import Speed
from streamhebb.benchmark.tuned import TUNED
from streamhebb.errors import ConfigError


def measured(batch, count, *, ways, rounds, seconds, device):
    """As if it had been measured."""
    rows = [Speed("plain", batch, count, "default", True, 40.0, 1.0, 1.0, 1.0, 20.0, 0.5, 100.0)]
    for way in ways:
        rows.append(
            Speed(way, batch, count, "default", True, 10.0, 4.0, 3.0, 5.0, 20.0, 2.0, 100.0)
        )
        rows.append(
            Speed(way, batch, count, "default", False, 5.0, 8.0, 7.0, 9.0, 10.0, 2.0, 100.0)
        )
    return rows


@pytest.fixture(autouse=True)
def nothing_is_timed(monkeypatch):
    monkeypatch.setattr(command, "compare", measured)
    monkeypatch.setattr(command.kernels, "multiplies", lambda device: False)


def invoke(*words):
    return CliRunner().invoke(app, ["speed", *words])


def test_the_table_the_picture_and_the_file(tmp_path):
    out, picture = tmp_path / "speed.json", tmp_path / "deep" / "speed.png"
    result = invoke(
        "--batches", "1,10", "--threads", "2", "--out", str(out), "--picture", str(picture)
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len([line for line in lines if "winograd4" in line]) == 2 * 2 * 2
    assert "4.00" in result.output
    assert "200 %" in result.output
    assert picture.read_bytes()[1:4] == b"PNG"
    kept = json.loads(out.read_text())
    assert len(kept["speed"]) == 2 * 11
    assert kept["processor"]


def test_some_ways_only():
    result = invoke("--batches", "1", "--threads", "1", "--ways", "direct; winograd2")
    assert "winograd2" in result.output
    assert "winograd4" not in result.output


def test_blocks_are_measured_if_asked_for():
    result = invoke("--batches", "10", "--threads", "1", "--ways", "winograd2, in blocks; direct")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if "in blocks  yes" in line]
    assert line.split("yes")[1].split()[:2] == ["10.0", "1000.0"]
    assert "µs a sample" in result.output


def test_a_card_has_ways_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(command.torch.cuda, "get_device_name", lambda: "Some Card")
    out = tmp_path / "speed.json"
    words = "--device", "cuda", "--batches", "1", "--threads", "1"
    result = invoke(*words, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "direct, triton, bfloat16" in result.output
    assert "numba" not in result.output
    settings = json.loads(out.read_text())["settings"]
    assert (settings["device"], settings["card"]) == ("cuda", "Some Card")
    refused = invoke(*words, "--ways", "direct, numba")
    assert "ways='direct, numba'" in str(refused.exception)


def test_a_card_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    result = invoke("--device", "cuda")
    assert isinstance(result.exception, ConfigError)
    assert "device='cuda' is not allowed" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batches", "ten"), "batches='ten'"),
        (("--threads", "0"), "threads"),
        (("--rounds", "0"), "rounds=0"),
        (("--seconds", "0"), "seconds=0"),
        (("--ways", "fast"), "fast"),
        (("--ways", "direct, triton"), "direct, triton"),
    ],
)
def test_what_cannot_be_is_refused(words, message):
    result = invoke(*words)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_with_tuned_memory_it_starts_again(monkeypatch):
    asked = {}

    def run(words, env, check):
        asked.update(words=words, env=env)
        return type("Done", (), {"returncode": 3})()

    monkeypatch.setattr(tuned.subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["streamhebb", "bench", "speed", "--tuned"])
    assert invoke("--tuned").exit_code == 3
    assert asked["words"][1:] == ["-m", "streamhebb", "bench", "speed", "--tuned"]
    assert TUNED.items() <= asked["env"].items()
