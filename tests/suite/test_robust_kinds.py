"""Trials about a trained net: post hoc, one pass, under attack, and from class to class."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
import torch

from streamhebb.evaluate import features, train_phases
from streamhebb.evaluate.probing import Probe
from streamhebb.suite import read_trial, run_trial, run_trials
from streamhebb.suite.bayesian import EXPERIMENTS as BAYESIAN
from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.interpolations import InterpolationTrial, ends
from streamhebb.suite.onepass import OnePassTrial
from streamhebb.suite.passes import Learner, batches_between, loss_and_accuracy, rows_of
from streamhebb.suite.posthoc import PostHocTrial, stretches
from streamhebb.suite.report import collect, section
from streamhebb.suite.robust import RobustTrial
from streamhebb.suite.running import folder_of

SMALL = {"twin": True, "samples": 60, "tested": 40, "epochs": 2}
SOFT = {"net": "2SoftMlpMNIST", "changes": {"0": {"n_out": 30, "radius": 2.5}}, **SMALL}
BACK = {"net": "backprop-mnist-mlp", "changes": {"0": {"n_out": 30}}, **SMALL}


def run(trial, tmp_path):
    return run_trial(trial, tmp_path)["result"]


# ---- post hoc ---------------------------------------------------------------------------------


def test_learning_again_is_the_same_learning_and_the_readout_stays(tmp_path, monkeypatch):
    nets = []
    monkeypatch.setattr(
        "streamhebb.suite.posthoc.Learner",
        lambda net, **more: nets.append(net) or Learner(net, **more),
    )
    trial = PostHocTrial(**SOFT, batch_size=8)
    found = run(trial, tmp_path)
    first = trial.offline().build().net
    first.load(folder_of(trial.offline(), tmp_path).net)
    assert torch.equal(nets[0].layers[1].weight, first.layers[1].weight), "bit for bit"
    assert torch.equal(nets[0].readout.weight, first.readout.weight)
    trained = folder_of(trial.offline(), tmp_path).read("result.json")["result"]
    assert found["last test accuracy"] == pytest.approx(trained["test_accuracy"])
    assert len(found["curve"]["loss"]) == 60
    assert found["curve"]["samples"][-1] == 60


def test_the_control_fits_its_readout_to_first_weights_and_leaves_it(tmp_path):
    trial = PostHocTrial(**BACK, batch_size=8)
    found = run(trial, tmp_path)
    assert not (tmp_path / trial.offline().key).exists(), "nothing is trained beforehand"
    assert found["last test loss"] != found["first test loss"]
    assert found["loss 1"] > 0
    assert 0 <= found["20 accuracy"] <= 1


def test_readouts_are_fitted_as_long_as_published():
    for settings in (SOFT, BACK):
        about = PostHocTrial(**settings | {"epochs": None}).offline()
        assert about.build().stages[-1].phase.epochs == 100
        assert about.resolved()["data"][1]["epochs"] == 100
    assert PostHocTrial(**SOFT).offline().build().stages[-1].phase.epochs == SMALL["epochs"]


@contextlib.contextmanager
def killed_after(count):
    """Let so many epochs of probes pass; gives those that were begun."""
    begun, epoch = [], Probe.epoch

    def counted(self):
        if len(begun) == count:
            raise KeyboardInterrupt
        begun.append(self)
        return epoch(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Probe, "epoch", counted)
        yield begun


@pytest.mark.parametrize(
    "trial",
    [PostHocTrial(**BACK | {"epochs": 5}), OnePassTrial(**SOFT, probe_epochs=3)],
    ids=lambda trial: trial.kind,
)
def test_epochs_of_readouts_are_not_repeated_after_a_kill(tmp_path, monkeypatch, trial):
    monkeypatch.setattr("streamhebb.suite.onepass.STOPS", (20, 40))
    with killed_after(None) as whole:
        found = run(trial, tmp_path / "whole")
    with killed_after(4) as first, pytest.raises(KeyboardInterrupt):
        run(trial, tmp_path / "killed")
    with killed_after(None) as rest:
        assert run(trial, tmp_path / "killed") == found
    assert len(first) + len(rest) == len(whole)


def test_stretches_are_means_of_all():
    values = torch.arange(10.0)
    assert stretches(values, 100) == values.tolist()
    assert stretches(values, 2) == [2.0, 7.0]
    assert stretches(values, 3, last=True) == [3.0, 6.0, 9.0]


# ---- one pass ---------------------------------------------------------------------------------


def test_one_pass_learns_what_a_phase_learns(tmp_path, monkeypatch):
    monkeypatch.setattr("streamhebb.suite.onepass.STOPS", (16, 40))
    for settings in (SOFT, BACK):
        trial = OnePassTrial(**settings, batch_size=8, probe_epochs=2)
        found = run(trial, tmp_path)
        assert {"stream 16 accuracy", "probe 40 accuracy", "stream 60 accuracy"} <= found.keys()
        assert ("neurons 60 accuracy" in found) == (settings is SOFT)
        # by another way: one phase in which everything learns; stops are where mini-batches end
        built = trial.offline().build()
        data = trial.offline().read(built.stages[-1].data, "cpu")
        phase = built.stages[-1].phase
        blocks = tuple(range(len(built.blocks) + 1))
        whole = dataclasses.replace(
            phase, blocks=blocks, epochs=1, batch_size=8, halving="none", seed=0, dropout=0.0
        )
        (row,) = train_phases(built.net, whole, data.train, data.test, blocks=built.blocks)
        own = trial.offline().build().net
        own.load(folder_of(trial, tmp_path).net)
        assert found["stream 60 accuracy"] == row.test_accuracy
        weights = [(net.layers[1].weight, net.readout.weight) for net in (own, built.net)]
        for one, other in zip(*weights, strict=True):
            assert torch.allclose(one, other, atol=1e-6)


def test_mini_batches_end_at_stops_and_show_every_sample_once():
    found = list(batches_between(20, 8, 3, (5, 20, 90)))
    assert [seen for seen, _ in found] == [5, 13, 20]
    order = torch.cat([rows for _, rows in found])
    wanted = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    assert torch.equal(order, wanted)


# ---- under attack -----------------------------------------------------------------------------


@pytest.fixture
def few_sizes(monkeypatch):
    monkeypatch.setattr("streamhebb.suite.robust.LINF", (0.05, 0.3))
    monkeypatch.setattr("streamhebb.suite.robust.L2", (0.5,))
    monkeypatch.setattr("streamhebb.suite.robust.SIGMAS", (0.0, 0.5))


def test_attacks_do_harm_and_noise_of_0_does_none(tmp_path, few_sizes):
    more = {"attacked": 20, "steps": 5}
    found = run(RobustTrial(**BACK | {"epochs": 10, "samples": 300}, **more), tmp_path)
    assert found["noise 0 accuracy"] == found["clipped noise 0 accuracy"] == found["test_accuracy"]
    assert found["linf 0.3 accuracy"] <= found["linf 0.05 accuracy"] <= found["attacked accuracy"]
    assert found["linf 0.3 accuracy"] < found["attacked accuracy"]
    assert found["fgsm 0.3 accuracy"] < found["attacked accuracy"]
    assert found["flat"] == 0


def test_attacks_made_on_another_net(tmp_path, few_sizes):
    more = {"made_on": BACK["net"], "made_on_changes": BACK["changes"]}
    found = run(RobustTrial(**SOFT, **more, attacked=10, steps=2), tmp_path)
    assert "noise 0.5 accuracy" not in found
    assert len(list(tmp_path.glob("backprop-mnist-mlp*"))) == 1
    assert run(RobustTrial(**SOFT, **more, attacked=10, steps=2), tmp_path) == found


def test_a_net_that_another_process_trains_is_left_and_the_others_run(tmp_path, few_sizes):
    told = []
    busy, free = (RobustTrial(**net, attacked=5, steps=1) for net in (SOFT, BACK))
    with folder_of(busy.offline(), tmp_path).lock():
        found = run_trials([busy, free], [0], tmp_path, tell=told.append)
    assert [result["trial"]["net"] for result in found] == [BACK["net"]]
    assert told[-1].startswith(f"left to another process: {busy.label()}, seed 0")
    assert not folder_of(busy, tmp_path).finished


# ---- from class to class ----------------------------------------------------------------------


def test_ways_are_drawn_and_shown_in_the_report(tmp_path):
    trial = InterpolationTrial(**BACK | {"epochs": 10, "samples": 300}, each=2, steps=14)
    found = run(trial, tmp_path)
    assert found["confidence 1"] > found["confidence 0"]
    assert found["distance to start"] <= trial.eps + 1e-3
    experiment = Experiment(
        "x", "X", "x", (Cell("a row", "x", trial, measure="confidence 1"),), show="table"
    )
    text = section(experiment, collect(tmp_path), tmp_path, {})
    (picture,) = tmp_path.glob("*interpolations.png")
    assert f"![a row, seed 0]({picture.name})" in text
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_result_cannot_have_files_from_elsewhere_shown(tmp_path):
    trial = InterpolationTrial(**BACK)
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"x")
    result = {"trial": trial.model_dump(mode="json"), "result": {"pictures": ["../../outside.png"]},
              "date": "2026-01-02", "setup": {"threads": 1, "device": "cpu"},
              "machine": {"processor": "", "cores": 1, "gpu": None, "torch": ""}}  # fmt: skip
    folder_of(trial, tmp_path).write("result.json", result)
    experiment = Experiment("x", "X", "x", (Cell("a", "x", trial),), show="table")
    out = tmp_path / "out"
    out.mkdir()
    assert section(experiment, collect(tmp_path), out, {})
    assert not list(out.iterdir())


def test_ends_are_measured_by_hand():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    at, start = torch.tensor([[0.8, 0.0]]), torch.tensor([[0.0, 0.0]])
    found = ends(at, start, torch.tensor([0]), torch.tensor([1]), x, torch.tensor([0, 1, 1]))
    assert found["distance to start"] == pytest.approx(0.8)
    assert found["distance to source"] == pytest.approx(0.8)
    assert found["distance to target"] == pytest.approx(0.2)
    assert (found["nearest is target accuracy"], found["nearest is source accuracy"]) == (1, 0)


# ---- experiments ------------------------------------------------------------------------------


def test_every_cell_names_something_that_its_trial_finds(tmp_path):
    tiny = {"twin": True, "samples": 60, "tested": 20, "epochs": 1}
    results = {}
    for cell in (cell for experiment in BAYESIAN for cell in experiment.cells):
        trial = cell.trial
        small = {"0": trial.changes.get("0", {}) | {"n_out": 20}}
        kind = (trial.kind, "made_on" in trial.model_fields_set)
        if kind not in results:
            found = run(
                trial.but(changes=small, made_on_changes={}, **tiny)
                if trial.kind == "robust"
                else trial.but(changes=small, **tiny),
                tmp_path,
            )
            results[kind] = found.keys()
        if trial.kind != "one-pass" or cell.column <= 60:
            assert cell.measure in results[kind], cell
    assert len(results) == 5


# ---- shared -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trial",
    [
        PostHocTrial(**SOFT, batch_size=1, seed=3),
        OnePassTrial(**BACK, hidden="random"),
        RobustTrial(**SOFT, made_on="backprop-mnist-mlp"),
        InterpolationTrial(**SOFT, eps=3),
    ],
    ids=lambda trial: trial.kind,
)
def test_they_are_read_back_and_know_the_net_they_are_about(trial):
    assert read_trial(json.loads(trial.model_dump_json())) == trial
    about = trial.offline()
    for name in ("net", "seed", "twin", "samples", "tested", "epochs", "changes", "hidden"):
        assert getattr(about, name) == getattr(trial, name)
    assert trial.preset().blocks[0].n_out == 30
    assert trial.label().startswith(trial.kind)


def test_loss_is_that_of_the_readouts_features():
    trial = OnePassTrial(**SOFT).offline()
    net = trial.build().net
    data = trial.read(trial.build().stages[-1].data, "cpu")
    net.readout.weight.normal_(generator=torch.Generator().manual_seed(1))
    rows = rows_of(data.y_test, net.labels)
    scores = net.readout.respond(features(net, data.x_test))
    loss, right = loss_and_accuracy(net, data.x_test, rows, size=7)
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(scores, rows)), rel=1e-5)
    assert right == float((scores.argmax(1) == rows).double().mean())
