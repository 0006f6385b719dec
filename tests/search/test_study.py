"""Studies: shared, gone on with, and pruned. What is measured is made up here, and quick."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("optuna")

from streamhebb.errors import ConfigError, DivergedError, MissingExtraError
from streamhebb.search import Search, Space, find_space, go_on, open_study, study
from streamhebb.search.outcome import as_json, best_lines, settings, table
from streamhebb.search.plots import plot
from streamhebb.suite import OfflineTrial, Setup

NET = "2SoftMlpMNIST"
GRID = Space(
    name="grid",
    parameters=(
        {"block": 0, "key": "r", "values": [1.0, 2.0, 3.5, 8.0, 16.0]},
        {"key": "seed", "values": [0, 1]},
    ),
)
RANGES = Space(name="ranges", parameters=({"block": 0, "key": "t", "low": 1.0, "high": 9.0},))


def search(space="seed", **more):
    space = find_space(space) if isinstance(space, str) else space
    settings = {"prune": "none", "report_every": 10} | more
    return Search(space=space, trial=OfflineTrial(net=NET, twin=True, samples=60), **settings)


@pytest.fixture
def pretend(monkeypatch):
    """Accuracy by an equation; every trial reports it five times on the way."""

    def run(self, point, setup, report=None):
        value = point.get("block 0 r", point.get("block 0 t", 1.0))
        accuracy = 1 / (1 + abs(value - 4)) - point.get("seed", 0) / 100
        for number in range(1, 6):
            report(10 * number, accuracy * number / 5)
        return {"test_accuracy": accuracy}

    monkeypatch.setattr(Search, "run", run)


def test_a_grid_is_run_whole_each_point_once(tmp_path, pretend):
    found = go_on(search(GRID), str(tmp_path / "a.db"))
    assert len(found) == 10
    points = {(one.point["block 0 r"], one.point["seed"]) for one in found}
    assert len(points) == 10
    assert {one.state for one in found} == {"complete"}
    best = settings(found)[0]
    assert best.point["block 0 r"] == 3.5  # the nearest to 4
    assert len(best.accuracies) == 2


def test_a_study_that_is_finished_is_not_run_again(tmp_path, pretend, monkeypatch):
    where = str(tmp_path / "a.db")
    one = go_on(search(), where)
    monkeypatch.setattr(Search, "run", lambda *_: pytest.fail("ran again"))
    assert go_on(search(), where) == one


def test_trials_go_on_where_they_were(tmp_path, pretend, monkeypatch):
    monkeypatch.setattr(study, "STARTUP", 3)  # trials by chance before TPE; it is reached
    for space, trials in ((RANGES, 6), ("radius", 4)):
        where, whole = (str(tmp_path / f"{name}-{trials}.db") for name in ("parts", "whole"))
        go_on(search(space), where, trials=2)
        parts = go_on(search(space), where, trials=trials)
        at_once = go_on(search(space), whole, trials=trials)
        assert [one.point for one in parts] == [one.point for one in at_once]


def test_another_seed_draws_other_points(tmp_path, pretend):
    points = [
        [one.point for one in go_on(search(RANGES, seed=n), str(tmp_path / f"{n}.db"), trials=2)]
        for n in (0, 1)
    ]
    assert points[0] != points[1]


@pytest.mark.parametrize("prune", ["median", "halving", "none"])
def test_hopeless_trials_are_pruned(tmp_path, pretend, prune):
    found = go_on(search(GRID, prune=prune), str(tmp_path / "a.db"))
    pruned = [one for one in found if one.state == "pruned"]
    assert bool(pruned) is (prune != "none")
    assert all(one.accuracy is None and len(one.prequential) < 6 for one in pruned)
    done = [one.accuracy for one in found if one.state == "complete"]
    assert max(done) == 1 / (1 + 0.5)
    with open_study(search(GRID, prune=prune), str(tmp_path / "a.db")) as kept:
        states = [trial.state.name for trial in kept.get_trials()]
    assert states.count("PRUNED") == len(pruned)


def test_a_net_that_diverges_is_an_outcome(tmp_path, monkeypatch):
    def run(self, point, setup, report=None):
        raise DivergedError("too far")

    monkeypatch.setattr(Search, "run", run)
    told = []
    found = go_on(search(), str(tmp_path / "a.db"), tell=told.append)
    assert [one.state for one in found] == ["diverged"] * 4
    assert "too far" in told[0]
    assert best_lines(search(), found) == ["no trial is complete yet"]


def test_a_trial_that_fails_is_run_again(tmp_path, pretend, monkeypatch):
    where, real = str(tmp_path / "a.db"), Search.run

    def stop(self, point, setup, report=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        go_on(search(), where)
    monkeypatch.setattr(Search, "run", real)
    found = go_on(search(), where)
    done = sorted(one.point["seed"] for one in found if one.state == "complete")
    assert done == [0, 1, 2, 3]
    assert [one.state for one in found].count("failed") == 1


WORKER = """
import sys, time
from pathlib import Path
from streamhebb.search import Search, find_space, go_on
from streamhebb.suite import OfflineTrial
import streamhebb.search.study as study

study.HEARTBEAT = 1
def run(self, point, setup, report=None):
    Path(sys.argv[2]).touch()
    time.sleep(float(sys.argv[3]))
    return {"test_accuracy": 0.5}
Search.run = run
trial = OfflineTrial(net="2SoftMlpMNIST", twin=True, samples=60)
search = Search(space=find_space("seed"), trial=trial, prune="none", report_every=10)
go_on(search, sys.argv[1])
"""


def start(*arguments):
    command = [sys.executable, "-W", "error", "-c", WORKER, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def wait_for(path):
    for _ in range(900):
        if path.exists():
            return
        time.sleep(0.1)
    pytest.fail(f"{path} never came")


def test_another_process_takes_what_is_left(tmp_path, pretend, monkeypatch):
    where, quick, told, inner = str(tmp_path / "a.db"), Search.run, [], []

    def slow(self, point, setup, report=None):
        monkeypatch.setattr(Search, "run", quick)
        inner.extend(go_on(search(), where, tell=told.append))  # as another process would
        return quick(self, point, setup, report)

    monkeypatch.setattr(Search, "run", slow)
    found = go_on(search(), where)
    assert [one.state for one in inner] == ["running"] + ["complete"] * 3
    assert "1 trials are run by other processes" in told[-1]
    assert [one.state for one in found] == ["complete"] * 4
    assert sorted(one.point["seed"] for one in found) == [0, 1, 2, 3]


@pytest.mark.slow
def test_two_processes_share_a_study_and_one_that_is_killed_is_no_loss(
    tmp_path, pretend, monkeypatch
):
    where, marks = tmp_path / "a.db", [tmp_path / name for name in ("killed", "other")]
    killed = start(where, marks[0], 1000)
    other = start(where, marks[1], 0.2)
    try:
        wait_for(marks[0])
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert other.communicate()[1] == b""
        assert other.returncode == 0
    finally:
        killed.kill()
        other.kill()
    monkeypatch.setattr(study, "GRACE", 1)
    time.sleep(2.5)
    found = go_on(search(), str(where))
    complete = [one for one in found if one.state == "complete"]
    assert sorted(one.point["seed"] for one in complete) == [0, 1, 2, 3]
    assert sorted(one.accuracy for one in complete if one.accuracy == 0.5) == [0.5] * 3
    assert [one.state for one in found].count("failed") == 1


def test_what_cannot_be_a_study_is_refused(tmp_path, pretend):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough for one " * 10)
    with pytest.raises(ConfigError, match="cannot be opened as a study"):
        go_on(search(), str(text))
    assert text.read_text().startswith("no database")
    with pytest.raises(ConfigError, match="cannot be opened as a study"):
        go_on(search(), "nothing://at/all")
    with pytest.raises(ConfigError, match="cannot make"):
        go_on(search(), str(text / "a.db"))
    with pytest.raises(ConfigError, match="--trials 100"):
        go_on(search(RANGES), str(tmp_path / "a.db"))


def test_another_search_of_the_same_name_is_refused(tmp_path, pretend):
    where = str(tmp_path / "a.db")
    go_on(search(), where)
    with pytest.raises(ConfigError, match="window was 1000, not 7"):
        go_on(search(window=7), where)
    assert len(go_on(search("one-seed"), where)) == 1  # another name, beside it


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[search\]"):
        go_on(search(), str(tmp_path / "a.db"))


def test_all_that_was_found_is_shown(tmp_path, pretend):
    one = search(GRID, prune="median")
    found = go_on(one, str(tmp_path / "a.db"), trials=8)
    rows = table(one, found)
    assert rows[0] == ["block 0 r", "accuracy, %", "prequential, %", "pruned"]
    assert len(rows) <= 6
    lines = best_lines(one, found)
    assert "soft-c2000-t12-lr0.045-r" in lines[1]
    best = settings(found)[0].point["block 0 r"]
    assert as_written(lines[-1]).preset().blocks[0].code.radius == best
    data = json.loads(json.dumps(as_json(one, found)))
    assert Search(**data["search"]) == one
    assert len(data["trials"]) == 8
    path = plot(one, found, tmp_path / "a.png")
    assert path.read_bytes()[1:4] == b"PNG"
    assert plot(one, [], tmp_path / "b.png") is None


def as_written(line):
    """The trial that a line writes down."""
    call = ast.parse(line.strip(), mode="eval").body
    return OfflineTrial(**{word.arg: ast.literal_eval(word.value) for word in call.keywords})


def test_a_real_search_is_quiet(tmp_path, recwarn, capfd):
    space = Space(name="own", parameters=({"block": 0, "key": "r", "values": [2.0, 30.0]},))
    trial = OfflineTrial(net=NET, twin=True, samples=60, tested=20, epochs=1)
    one = Search(space=space, trial=trial, report_every=10, window=20)
    told = []
    found = go_on(one, str(tmp_path / "a.db"), Setup(), tell=told.append)
    assert [len(each.prequential) for each in found] == [2, 2]  # mini-batches of 32, 48 samples
    assert len(told) == 2
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
