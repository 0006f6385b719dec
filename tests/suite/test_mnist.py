"""The experiments on MNIST: every trial can be built, every kind of net learns."""

from __future__ import annotations

import pytest

from streamhebb.suite import find, run_trial
from streamhebb.suite.mnist import EXPERIMENTS

SMALL = {"twin": True, "samples": 120, "tested": 20, "epochs": 1}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_every_trial_can_be_built(experiment):
    for trial in experiment.trials():
        built = trial.but(samples=10).build()
        assert built.stages[-1].phase.blocks[-1] == len(built.blocks)


@pytest.mark.parametrize(
    ("name", "row", "column", "neurons"),
    [
        ("krotov-fashion", "5 epochs", "dense", [2000]),
        ("krotov-fashion", "5 epochs", "conv", [400]),
        ("krotov-mnist", "SoftHebb", "dense", [2000]),
        ("krotov-mnist", "back", "dense", [2000]),
        ("krotov-fashion", "back", "conv", [400]),
        ("mnist-conv", "SoftHebb", "accuracy", [96, 384]),
    ],
)
def test_a_small_one_of_each_kind(tmp_path, name, row, column, neurons):
    (cell,) = find(name).only(rows=row, columns=column).cells
    once = {"settings": {"epochs": 1}}  # of the rule of Krotov and Hopfield
    found = run_trial(cell.trial.but(**SMALL, **once), tmp_path)["result"]
    assert 0 <= found["test_accuracy"] <= 1
    assert [layer["neurons"] for layer in found["layers"]] == neurons


def test_epochs_are_those_of_the_cell():
    for cell in find("krotov-epochs").cells:
        phase = cell.trial.build().stages[0].phase
        assert phase.epochs == cell.column
