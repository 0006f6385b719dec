"""Runs of the command line with several samples in flight: the same run, sooner."""

from __future__ import annotations

import json

import pytest
import torch

import streamhebb
from streamhebb import snapshot
from streamhebb.errors import ConfigError, TraceError
from streamhebb.run.command import carry_out
from streamhebb.run.display import Quiet
from streamhebb.run.job import prepare, prepare_resumed
from streamhebb.run.loop import perform
from streamhebb.run.settings import RunSettings
from streamhebb.run.stop import Stop
from streamhebb.schedule import read_trace


def tensors(folder):
    return snapshot.read(folder / "snapshot.safetensors")[0]


def rows(folder):
    timed = ("seconds", "samples_per_second")
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in timed} for row in lines]


@pytest.mark.parametrize("depth", [None, 1, 7])
def test_threads_leave_what_serial_leaves(start, tmp_path, depth):
    start("serial", limit=150, save_every=40, scheduler="serial")
    _, outcome = start("threads", limit=150, save_every=40, scheduler="threads:2", depth=depth)
    one, other = tensors(tmp_path / "serial"), tensors(tmp_path / "threads")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert rows(tmp_path / "serial") == rows(tmp_path / "threads")
    assert outcome.summary["scheduler"] == "Threads(2)"
    assert outcome.summary["latency"]["count"] == 150


def test_interrupted_with_samples_in_flight_and_resumed_it_is_the_same_run(start, go_on, tmp_path):
    start("whole", limit=120, scheduler="serial")
    _, first = start("parts", after=50, limit=120, scheduler="threads:2", depth=6)
    assert first.summary["status"] == "interrupted"
    assert 50 <= first.summary["samples"] <= 57
    go_on("parts", scheduler="threads:3", depth=2)
    one, other = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


@pytest.mark.parametrize("scheduler", ["serial", "threads:2"])
@pytest.mark.parametrize("task", ["observe", "learn"])
def test_a_layer_that_fails_leaves_a_snapshot_that_goes_on(
    scheduler, task, net_file, tmp_path, monkeypatch
):
    settings = RunSettings.make(net=net_file, limit=60, scheduler=scheduler)
    job = prepare(settings, tmp_path / "run")
    layer, seen = job.net.layers[1], []
    work = getattr(layer, task)

    def fail(*args):
        seen.append(1)
        if len(seen) == 31:
            raise RuntimeError("a cable came off")
        return work(*args)

    monkeypatch.setattr(layer, task, fail)
    with pytest.raises(RuntimeError, match="a cable came off") as caught:
        perform(job, Quiet(), Stop())
    notes = "\n".join(caught.value.__notes__)
    assert "0:RunningNorm+1:Conv2d" in notes
    assert "sample 30" in notes
    assert "--resume" in notes
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["samples"]) == ("failed", 30)
    assert streamhebb.load(tmp_path / "run" / "snapshot.safetensors").counts["samples"] == 30
    outcome = perform(prepare_resumed(tmp_path / "run"), Quiet(), Stop())
    assert (outcome.summary["status"], outcome.summary["samples"]) == ("finished", 60)


def test_samples_that_were_dropped_are_not_seen_again_after_a_resume(net_file, tmp_path):
    settings = RunSettings.make(net=net_file, limit=200, policy="latest", scheduler="serial")
    outcome = perform(prepare(settings, tmp_path / "run"), Quiet(), Stop())
    counts = outcome.summary["counts"]
    assert counts["samples"] + counts.get("overtaken", 0) == 200
    again = prepare_resumed(tmp_path / "run", limit=250)
    assert again.source.start == 200


def test_a_trace_is_written_also_of_a_run_that_fails(net_file, tmp_path, monkeypatch):
    settings = RunSettings.make(net=net_file, limit=40, scheduler="threads:2")
    assert (
        carry_out(prepare(settings, tmp_path / "run"), quiet=True, trace=tmp_path / "t.json") == 0
    )
    trace = read_trace(tmp_path / "t.json")
    assert len({event.frame for event in trace.events}) == 40
    assert list(trace.lanes().values())[-1] == "readout"

    job = prepare(settings, tmp_path / "other")

    def fail(*args):
        raise RuntimeError("no")

    monkeypatch.setattr(job.net.readout, "learn", fail)
    with pytest.raises(RuntimeError, match="no"):
        carry_out(job, quiet=True, trace=tmp_path / "failed.json")
    assert read_trace(tmp_path / "failed.json").events


def test_a_trace_that_cannot_be_written_is_an_error_after_all_is_kept(net_file, tmp_path):
    settings = RunSettings.make(net=net_file, limit=10, scheduler="serial")
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(TraceError):
        carry_out(prepare(settings, tmp_path / "run"), quiet=True, trace=blocked / "t.json")
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scheduler": "fast"}, "--scheduler fast"),
        ({"scheduler": "threads:0"}, "--scheduler threads:0"),
        ({"depth": 0}, "--depth 0"),
        ({"policy": "hurry"}, "--policy hurry"),
        ({"waiting": 0}, "--waiting 0"),
        ({"deadline": 0}, "--deadline 0"),
        ({"deadline": 5.0}, "skip_learning"),
        ({"policy": "skip_learning"}, "deadline"),
    ],
)
def test_settings_that_are_refused(given, said, net_file, tmp_path):
    with pytest.raises(ConfigError, match=said):
        prepare(RunSettings.make(net=net_file, **given), tmp_path / "run")
    assert not (tmp_path / "run").exists()
