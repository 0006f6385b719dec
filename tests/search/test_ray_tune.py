"""The same search through Ray: what it is given, and one real search where Ray is installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from streamhebb.errors import ConfigError, DivergedError, MissingExtraError
from streamhebb.search import Search, Space, find_space, go_on_ray
from streamhebb.search import ray_tune as ours
from streamhebb.suite import OfflineTrial

TRIAL = OfflineTrial(net="2SoftMlpMNIST", twin=True, samples=60, tested=20, epochs=1)


class Noted:
    """Stands for a module: says what it was asked for."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: (name, *args, *sorted(kwargs.items()))


def search(*parameters, **more):
    space = Space(name="own", parameters=parameters) if parameters else find_space("radius")
    return Search(space=space, trial=TRIAL, **{"report_every": 10, "window": 20} | more)


def test_a_grid_is_a_grid_of_rays():
    found = ours.param_space(Noted(), search())
    assert found["seed"] == ("grid_search", [0, 1, 2])
    assert len(found["block 0 r"][1]) == 27


def test_ranges_are_drawn_and_hold_their_upper_ends():
    block = {"block": 0}
    found = ours.param_space(
        Noted(),
        search(
            block | {"key": "t", "low": 1, "high": 9},
            block | {"key": "lr", "low": 0.1, "high": 1, "log": True},
            block | {"key": "c", "low": 10, "high": 20, "whole": True},
            block | {"key": "r", "values": [1, 2]},
            {"key": "seed", "low": 1, "high": 8, "whole": True, "log": True},
        ),
    )
    assert found == {
        "block 0 t": ("uniform", 1.0, 9.0),
        "block 0 lr": ("loguniform", 0.1, 1.0),
        "block 0 c": ("randint", 10, 21),
        "block 0 r": ("choice", [1, 2]),
        "seed": ("lograndint", 1, 9),
    }


@pytest.mark.parametrize(
    ("prune", "kind"),
    [("median", "MedianStoppingRule"), ("halving", "ASHAScheduler"), ("none", "FIFOScheduler")],
)
def test_trials_are_ended_by_the_same_kind_of_rule(prune, kind):
    found = ours.stopping(SimpleNamespace(schedulers=Noted()), search(prune=prune))
    assert found[0] == kind
    if prune != "none":
        told = dict(found[1:])
        assert (told["time_attr"], told["metric"], told["mode"]) == (
            "samples",
            "prequential",
            "max",
        )
        assert told["grace_period"] == 10


def test_a_trial_reports_on_the_way_and_at_the_end(monkeypatch):
    told = []
    tune = SimpleNamespace(report=told.append)
    monkeypatch.setattr(ours, "import_ray", lambda: (None, tune))

    def run(self, point, setup, report):
        report(10, 0.25)
        if point["seed"]:
            raise DivergedError("too far")
        return {"test_accuracy": 0.75}

    monkeypatch.setattr(Search, "run", run)
    start = ours.trainable(search().model_dump(mode="json"), {"threads": 1})
    start({"block 0 r": 2.0, "seed": 0})
    assert told == [
        {"samples": 10, "prequential": 0.25},
        {"samples": 10, "prequential": 0.25, "accuracy": 0.75},
    ]
    start({"block 0 r": 2.0, "seed": 1})
    assert told[-1]["diverged"]


@pytest.mark.parametrize(
    ("metrics", "state"),
    [
        ({"accuracy": 0.5}, "complete"),
        ({"samples": 10}, "pruned"),
        ({"samples": 10, "diverged": True}, "diverged"),
        (None, "pruned"),
    ],
)
def test_results_are_read(metrics, state):
    result = SimpleNamespace(
        metrics=metrics, error=None, config={"seed": 1}, metrics_dataframe=None
    )
    found = ours.outcome(3, result)
    assert (found.number, found.state, found.point) == (3, state, {"seed": 1})
    result.error = RuntimeError()
    assert ours.outcome(3, result).state == "failed"


def test_numbers_of_trials_that_make_no_sense_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "import_ray", lambda: (None, None))
    with pytest.raises(ConfigError, match="leave --trials out"):
        go_on_ray(search(), tmp_path, trials=3)
    with pytest.raises(ConfigError, match="add --trials 100"):
        go_on_ray(search({"block": 0, "key": "t", "low": 1, "high": 9}), tmp_path)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[ray\]"):
        go_on_ray(search(), tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_real_search(tmp_path):
    pytest.importorskip("ray.tune")
    one = search({"block": 0, "key": "r", "values": [2.0, 30.0]})
    found = go_on_ray(one, tmp_path)
    assert [each.state for each in found] == ["complete"] * 2
    assert sorted(each.point["block 0 r"] for each in found) == [2.0, 30.0]
    assert all(each.prequential for each in found)
    assert go_on_ray(one, tmp_path) == found
