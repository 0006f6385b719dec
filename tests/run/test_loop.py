"""The main job as a whole: what it leaves behind, and that it goes on as if never stopped."""

from __future__ import annotations

import errno
import json

import pytest
import torch

import streamhebb
from streamhebb import snapshot
from streamhebb.errors import (
    DivergedError,
    NonFiniteError,
    RunFolderError,
    SnapshotError,
    SourceError,
)
from streamhebb.run import folder as folder_module
from streamhebb.run.display import Quiet
from streamhebb.run.job import prepare
from streamhebb.run.loop import perform
from streamhebb.run.settings import RunSettings
from streamhebb.run.stop import Stop
from streamhebb.values import Sample

TIMES = ("seconds", "samples_per_second")


def metrics(path):
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def kept(path):
    tensors, meta = snapshot.read(path / "snapshot.safetensors")
    meta["extra"].pop("seconds")
    return tensors, meta


def assert_same(one, other):
    (a, a_meta), (b, b_meta) = kept(one), kept(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert a_meta == b_meta
    assert metrics(one) == metrics(other)


def test_a_run_leaves_everything_behind(start, tmp_path):
    job, outcome = start("run", limit=60)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "settings.json", "net.txt", "metrics.jsonl", "snapshot.safetensors", "summary.json",
        "learning_curve.png", "receptive_fields.png", "radii.png", "win_shares.png",
    }  # fmt: skip
    assert {path.name for path in outcome.files} == names
    for path in (tmp_path / "run").glob("*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == outcome.summary
    assert summary["status"] == "finished"
    assert summary["samples"] == 60
    assert summary["last_quarter"]["from"] == 45
    assert summary["last_quarter"]["samples"] == 15
    rows = metrics(tmp_path / "run")
    assert [row["sample"] for row in rows] == [10, 20, 30, 40, 45, 50, 60]
    assert rows[-1]["labelled"] == 60
    assert rows[-1]["radius"]["1:Conv2d"] > 0
    assert streamhebb.load(tmp_path / "run" / "snapshot.safetensors").counts["samples"] == 60


def test_accuracy_is_test_then_train(start, tmp_path):
    job, outcome = start("run", limit=80)
    net = streamhebb.build(job.settings.net, input_shape=(1, 8, 8), classes=range(10), seed=0)
    from streamhebb.sources import open_source

    hits = [net.step(s).prediction == s.target for s in open_source("digits", limit=80)]
    assert outcome.summary["accuracy"] == pytest.approx(sum(hits) / 80)
    assert outcome.summary["last_quarter"]["accuracy"] == pytest.approx(sum(hits[60:]) / 20)


def test_resumed_twice_is_bit_equal_to_uninterrupted(start, go_on, tmp_path):
    start("whole", limit=730)
    _, first = start("parts", after=101, limit=730)
    assert first.summary["status"] == "interrupted"
    go_on("parts", after=460)
    # What was in flight when it was told to stop has been learned from, too.
    assert 561 <= kept(tmp_path / "parts")[1]["extra"]["position"] <= 565
    _, last = go_on("parts")
    assert last.summary["status"] == "finished"
    assert last.summary["converged"] is not None  # the marks of 500 samples ago were kept
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_resume_after_a_crash_forgets_what_the_snapshot_does_not_know(start, go_on, tmp_path):
    start("whole", limit=200)
    start("crash", after=100, limit=200)
    # A crash: lines that are later than the snapshot, the last one cut off.
    with (tmp_path / "crash" / "metrics.jsonl").open("a") as file:
        file.write('{"sample": 101, "accuracy": 0.0}\n{"sample": 102, "accu')
    go_on("crash")
    assert_same(tmp_path / "whole", tmp_path / "crash")


def test_resume_with_a_larger_limit(start, go_on, tmp_path):
    start("whole", limit=90)
    start("longer", limit=50)
    job, outcome = go_on("longer", limit=90)
    assert job.position == 90
    a, b = kept(tmp_path / "whole")[0], kept(tmp_path / "longer")[0]
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert json.loads((tmp_path / "longer" / "settings.json").read_text())["limit"] == 90


def test_kernels_are_measured_if_asked_and_kept_when_a_run_goes_on(
    start, go_on, tmp_path, monkeypatch
):
    asked = []

    def choose(self, x):
        asked.append(tuple(x.shape))
        self.layers[1].method = "winograd2"
        return self.kernels()

    monkeypatch.setattr(streamhebb.StreamNet, "choose_kernels", choose)
    start("plain", limit=12)
    assert not asked
    _, outcome = start("run", limit=40, tune=True, after=20)
    assert asked == [(1, 8, 8)]
    assert outcome.summary["kernels"]["1:Conv2d"] == "winograd2"
    job, outcome = go_on("run")
    assert len(asked) == 1
    assert job.net.kernels()["1:Conv2d"] == "winograd2"
    start("whole", limit=40, tune=True)
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_resume_at_the_end_changes_nothing(start, go_on, tmp_path):
    start("run", limit=40)
    before = metrics(tmp_path / "run")
    _, outcome = go_on("run")
    assert outcome.summary["samples"] == 40
    assert metrics(tmp_path / "run") == before


def test_snapshots_on_the_way(start, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        streamhebb.StreamNet, "save", lambda net, path, extra: saved.append(extra["position"])
    )
    start("run", limit=50, save_every=20)
    assert saved == [20, 40, 50]


# ------------------------------------------------------------------------------------ no labels


class Film:
    """Frames without labels."""

    name, shape, classes = "film", (3, 12, 16), None

    def __init__(self, length=30, start=0):
        self.counts = {"dropped": 2}
        self.length, self.start = length, start

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __len__(self):
        return self.length - self.start

    def __iter__(self):
        for number in range(self.start, self.length):
            generator = torch.Generator().manual_seed(number // 5)
            yield Sample(torch.rand(self.shape, generator=generator), id=number)


@pytest.fixture
def film(monkeypatch):
    monkeypatch.setattr(
        "streamhebb.run.job.open_source", lambda spec, **options: Film(start=options["start"])
    )


def test_without_labels_there_is_no_accuracy_but_activity(film, start, tmp_path):
    job, outcome = start("run")
    assert job.net.readout is None
    names = {path.name for path in outcome.files}
    assert {"activity.png", "reconstruction.png", "receptive_fields.png", "radii.png"} <= names
    assert "learning_curve.png" not in names
    assert "accuracy" not in outcome.summary
    assert outcome.summary["counts"]["dropped"] == 2
    assert all("accuracy" not in row and row["active"] > 0 for row in metrics(tmp_path / "run"))


def test_without_labels_a_resumed_run_is_bit_equal(film, start, go_on, tmp_path):
    start("whole")
    start("parts", after=11)
    go_on("parts")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert len(kept(tmp_path / "parts")[1]["extra"]["keepsakes"]["kept"]) >= 2


# ----------------------------------------------------------------------------------- bad input


def digits(count, bad=()):
    generator = torch.Generator().manual_seed(0)
    pairs = [(torch.rand(1, 8, 8, generator=generator), i % 10) for i in range(count)]
    for i in bad:
        pairs[i][0][0, 0, 0] = float("nan")
    return pairs


class Broken:
    """A source that fails after some samples."""

    def __init__(self, samples, error):
        self.samples, self.error = samples, error
        self.name, self.shape, self.classes, self.counts = "broken", (1, 8, 8), range(10), {}

    __enter__ = Film.__enter__
    __exit__ = Film.__exit__

    def __iter__(self):
        for x, y in self.samples:
            yield Sample(x, y)
        raise self.error


def test_a_bad_sample_ends_the_run_but_keeps_what_was_learned(net_file, go_on, tmp_path):
    job = prepare(RunSettings.make(net=net_file, limit=20), tmp_path / "run")
    job.source = Broken(digits(9, bad=[8]), SourceError("never reached"))
    with pytest.raises(NonFiniteError, match="on_bad='skip'") as caught:
        perform(job, Quiet(), Stop())
    assert "--resume" in caught.value.__notes__[0]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert summary["counts"]["non-finite"] == 1
    # The bad one has been counted, so the run goes on behind it.
    resumed, _ = go_on("run")
    assert resumed.position == 20
    assert resumed.net.counts["learned"] == 19


def test_skip_counts_bad_samples(net_file, tmp_path):
    job = prepare(RunSettings.make(net=net_file, limit=20, on_bad="skip"), tmp_path / "run")
    job.source = Broken(digits(9, bad=[3, 5]), SourceError("gone"))
    with pytest.raises(SourceError, match="gone"):
        perform(job, Quiet(), Stop())
    assert job.net.counts["non-finite"] == 2
    assert job.prequential.count == 7
    assert streamhebb.load(job.folder.snapshot).counts["samples"] == 9


def test_a_source_without_samples_leaves_no_folder(net_file, tmp_path):
    job = prepare(RunSettings.make(net=net_file), tmp_path / "run")
    job.source = Film(length=0)
    with pytest.raises(SourceError, match="film gave no sample"):
        perform(job, Quiet(), Stop())
    assert not (tmp_path / "run").exists()


def test_a_diverged_net_does_not_overwrite_its_snapshot(net_file, tmp_path, monkeypatch):
    job = prepare(
        RunSettings.make(net=net_file, limit=20, save_every=5, scheduler="serial"), tmp_path / "run"
    )
    finish = job.net.finish

    def diverge(frame, start):
        if frame.number == 7:
            raise DivergedError("layer 1 is no longer finite")
        return finish(frame, start)

    monkeypatch.setattr(job.net, "finish", diverge)
    with pytest.raises(DivergedError):
        perform(job, Quiet(), Stop())
    assert streamhebb.load(job.folder.snapshot).counts["samples"] == 5


def test_a_full_disk_is_a_clear_error_and_the_old_snapshot_survives(
    start, go_on, tmp_path, monkeypatch
):
    start("run", limit=20)
    before = (tmp_path / "run" / "snapshot.safetensors").read_bytes()

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshot, "replace", full)
    with pytest.raises(SnapshotError, match="No space left"):
        go_on("run", limit=30)
    monkeypatch.setattr(folder_module, "replace", full)
    with pytest.raises(RunFolderError, match=r"No space left on device; free some space"):
        go_on("run", limit=30)
    assert (tmp_path / "run" / "snapshot.safetensors").read_bytes() == before
