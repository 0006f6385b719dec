"""Trials run once, by one process, and their folders tell all."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from streamhebb import kernels
from streamhebb.errors import ConfigError, RunFolderError, SourceError, TrialsError
from streamhebb.evaluate.probe import EpochResult
from streamhebb.evaluate.reports import read_lines
from streamhebb.suite import (
    OfflineTrial,
    Setup,
    Trial,
    TrialFolder,
    read_trial,
    run_trial,
    run_trials,
)
from streamhebb.suite.running import folder_of


class Toy(Trial):
    kind: Literal["toy"] = "toy"
    fails: bool = False
    lacks: str = ""

    def label(self):
        return "A toy/with a slash"

    def run(self, work):
        if self.lacks == "data":
            raise SourceError("nothing was found:\n  put it there")
        if self.lacks == "sense":
            raise KeyError("a bug")
        work.report(EpochResult(1, 0.5, 0.5, 0.1, 1.0))
        work.folder.progress("a").write_bytes(b"x")
        if self.fails:
            raise KeyboardInterrupt
        return {"test_accuracy": 0.5 + self.seed / 10}


def test_a_finished_trial_is_read_not_run(tmp_path, monkeypatch):
    one = run_trial(Toy(), tmp_path)
    monkeypatch.setattr(Toy, "run", lambda self, work: pytest.fail("ran again"))
    assert run_trial(Toy(), tmp_path) == json.loads(json.dumps(one))


def test_its_folder_tells_how_to_run_it_again(tmp_path):
    run_trial(Toy(seed=3), tmp_path, Setup(threads=2))
    folder = folder_of(Toy(seed=3), tmp_path)
    assert folder.path.name == "seed-3"
    assert folder.read("settings.json")["trial"]["seed"] == 3
    assert folder.read("settings.json")["setup"]["threads"] == 2
    assert read_lines(folder.measures)[0].test_accuracy == 0.5
    result = folder.read("result.json")
    assert result["machine"]["cores"] >= 1
    assert result["date"][:2] == "20"


def test_states_stay_after_a_kill_and_go_at_the_end(tmp_path):
    trial = Toy(fails=True)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial, tmp_path)
    folder = folder_of(trial, tmp_path)
    assert folder.progress("a").exists()
    assert not folder.finished
    with pytest.raises(ConfigError, match="was begun with"):
        run_trial(trial, tmp_path, Setup(threads=2))
    run_trial(Toy(), tmp_path)
    assert not folder_of(Toy(), tmp_path).progress("a").exists()


def test_names_that_stand_for_something_else_are_noticed(tmp_path, monkeypatch):
    run_trial(Toy(), tmp_path)
    monkeypatch.setattr(Toy, "resolved", lambda self: {"preset": "other blocks"})
    with pytest.raises(ConfigError, match="names or defaults stood for another net"):
        run_trial(Toy(), tmp_path)


def test_defaults_that_are_others_now_are_noticed(tmp_path):
    run_trial(Toy(), tmp_path)
    folder = folder_of(Toy(), tmp_path)
    settings = folder.read("settings.json")
    del settings["trial"]["twin"]  # which an earlier version did not know
    folder.write("settings.json", settings)
    run_trial(Toy(), tmp_path)
    settings["trial"]["samples"] = 7  # the default when it was run
    folder.write("settings.json", settings)
    with pytest.raises(ConfigError, match="see 'samples'"):
        run_trial(Toy(), tmp_path)


def test_a_trial_says_its_net_and_data_in_full():
    trial = OfflineTrial(net="2SoftMlpMNIST", changes={"0": {"radius": 3.5}}, samples=100)
    said = trial.resolved()
    assert "-r3.5" in said["preset"]["blocks"][0]["layer"]
    assert [each["samples"] for each in said["data"]] == [100, 60000]
    assert json.loads(json.dumps(said)) == said


def test_another_process_is_left_alone(tmp_path):
    told = []
    with folder_of(Toy(), tmp_path).lock():
        assert run_trial(Toy(), tmp_path, tell=told.append) is None
    assert "another process" in told[0]
    assert run_trial(Toy(), tmp_path) is not None


def test_all_seeds_of_a_trial_share_a_folder_and_other_settings_do_not():
    keys = {Toy(seed=seed).key for seed in range(3)}
    assert len(keys) == 1
    assert "/" not in keys.pop()
    assert Toy().key != Toy(samples=3).key


def test_seed_by_seed(tmp_path):
    told = []
    found = run_trials([Toy(), Toy(samples=3)], [0, 1], tmp_path, tell=told.append)
    assert [result["trial"]["seed"] for result in found] == [0, 0, 1, 1]
    assert any("test 60.00 %" in line for line in told)
    told.clear()
    run_trials([Toy()], [0], tmp_path, tell=told.append)
    assert not told


def test_one_trial_that_cannot_be_run_does_not_stop_the_others(tmp_path):
    told = []
    lacking = Toy(lacks="data")
    with pytest.raises(TrialsError) as caught:
        run_trials([lacking, Toy()], [0, 1], tmp_path, tell=told.append)
    count, *lines = str(caught.value).splitlines()
    assert count == "2 of 4 trials could not be run"
    assert lines == [
        f"A toy/with a slash, seed {seed}: nothing was found: put it there" for seed in (0, 1)
    ]
    assert [result["trial"]["seed"] for result in caught.value.results] == [0, 1]
    assert all(folder_of(Toy(seed=seed), tmp_path).finished for seed in (0, 1))


@pytest.mark.parametrize("name", ["result.json", "settings.json", "progress-a.safetensors"])
@pytest.mark.parametrize("text", ["{", "[]", '{"trial": 3}', "\0"])
def test_a_damaged_folder_does_not_stop_the_others(tmp_path, name, text):
    trial = OfflineTrial(net="2SoftMlpMNIST", twin=True, samples=60, tested=20, epochs=1)
    if name.startswith("progress"):
        name = "progress-0.safetensors"
    else:
        run_trial(trial, tmp_path)
    path = folder_of(trial, tmp_path).path
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)
    with pytest.raises(TrialsError, match=f"seed 0: .*{name}.*(remove the folder|Delete the file)"):
        run_trials([trial, Toy()], [0], tmp_path)
    assert folder_of(Toy(), tmp_path).finished


@pytest.mark.parametrize(
    ("trial", "error"), [(Toy(lacks="sense"), KeyError), (Toy(fails=True), KeyboardInterrupt)]
)
def test_bugs_and_ctrl_c_stop_all(tmp_path, trial, error):
    with pytest.raises(error):
        run_trials([trial, Toy()], [0], tmp_path)
    assert not folder_of(Toy(), tmp_path).finished


def test_what_is_left_to_another_process_is_said_at_the_end(tmp_path):
    told = []
    with folder_of(Toy(), tmp_path).lock():
        (found,) = run_trials([Toy(), Toy(samples=3)], [0], tmp_path, tell=told.append)
    assert found["trial"]["samples"] == 3
    assert told[-1].startswith("left to another process: A toy/with a slash, seed 0")


def test_finished_trials_of_another_setup_are_named(tmp_path):
    told = []
    run_trials([Toy()], [0], tmp_path, Setup(kernels="torch"))
    run_trials(
        [Toy(), Toy(samples=3)], [0], tmp_path, Setup(kernels="torch", threads=2), told.append
    )
    (line,) = (each for each in told if "finished before" in each)
    assert "1 trials, made with threads 1, kernels torch, device cpu; for threads 2" in line


def test_seeds_are_refused_before_anything_runs(tmp_path):
    assert run_trial(Toy(seed=2**64 - 1), tmp_path)
    with pytest.raises(ConfigError, match="seed"):
        run_trials([Toy()], [0, 2**64], tmp_path)
    assert not folder_of(Toy(), tmp_path).finished


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x"])
def test_a_device_that_torch_does_not_know_is_refused(device):
    with pytest.raises(ConfigError, match="no device of torch; take cpu, cuda"):
        Setup.of(device=device)


@pytest.mark.parametrize("device", ["cuda:63", "meta"])
def test_a_device_that_is_not_here_is_refused_before_anything_runs(tmp_path, device):
    setup = Setup.of(device=device)
    for run in (lambda: run_trials([Toy()], [0], tmp_path, setup), setup.ready().__enter__):
        with pytest.raises(ConfigError, match=f"device='{device}' cannot be used here .*doctor"):
            run()
    assert not list(tmp_path.iterdir())


def test_kernels_that_would_do_nothing_are_refused(tmp_path, monkeypatch):
    pytest.importorskip("triton", reason="needs the extra triton")
    with pytest.raises(ConfigError, match="serve CUDA cards only"):
        run_trials([Toy()], [0], tmp_path, Setup(kernels="triton"))
    with kernels.use("triton"), pytest.raises(ConfigError, match="serve CUDA cards only"):
        run_trials([Toy()], [0], tmp_path)
    assert not list(tmp_path.iterdir())


def test_kernels_are_kept_by_name():
    assert Setup(kernels="auto").said().kernels in ("numba", "torch")


def test_trials_are_read_back_as_they_were():
    trial = OfflineTrial(net="2SoftMlpMNIST", changes={"0": {"radius": 3.5, "by_radius": False}})
    assert read_trial(json.loads(trial.model_dump_json())) == trial


@pytest.mark.parametrize("data", [None, [], {}, {"kind": "nothing"}, {"kind": ["offline"]}])
def test_what_is_no_trial_is_refused(data):
    with pytest.raises(ConfigError, match="no kind of trial"):
        read_trial(data)


@pytest.mark.parametrize("more", [{"seed": -1}, {"epochs": 0}, {"colour": "red"}, {"net": 3}])
def test_settings_out_of_range_are_refused(more):
    with pytest.raises(ConfigError, match=next(iter(more))):
        read_trial({"kind": "offline", "net": "2SoftMlpMNIST"} | more)


def test_a_damaged_result_says_what_to_do(tmp_path):
    run_trial(Toy(), tmp_path)
    folder = folder_of(Toy(), tmp_path)
    folder.result_file.write_text("{")
    with pytest.raises(RunFolderError, match="remove the folder"):
        run_trial(Toy(), tmp_path)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(RunFolderError, match="cannot make"):
        TrialFolder(tmp_path / "x" / "y").write("z", {})


def test_measures_go_to_tensorboard_too(tmp_path):
    pytest.importorskip("tensorboard")
    run_trial(Toy(), tmp_path, tensorboard=True)
    assert list((folder_of(Toy(), tmp_path).path / "tensorboard").glob("events*"))
