"""The experiments on MNIST: every trial can be built, every kind of net learns."""

from __future__ import annotations

import pytest

from streamhebb.suite import find, run_trial
from streamhebb.suite.mnist import EXPERIMENTS

SMALL = {"twin": True, "samples": 40, "tested": 20, "epochs": 1}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_every_trial_can_be_built(experiment):
    for trial in experiment.trials():
        built = trial.but(samples=10).build()
        assert built.stages[-1].phase.blocks[-1] == len(built.blocks)


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("krotov-fashion", "5 epochs", "dense"),
        ("krotov-fashion", "5 epochs", "conv"),
        ("krotov-mnist", "SoftHebb", "dense"),
        ("krotov-mnist", "back", "dense"),
        ("krotov-fashion", "back", "conv"),
        ("mnist-conv", "SoftHebb", "accuracy"),
    ],
)
def test_a_small_one_of_each_kind(tmp_path, name, row, column):
    (cell,) = find(name).only(rows=row, columns=column).cells
    found = run_trial(cell.trial.but(**SMALL), tmp_path)["result"]
    assert 0 <= found["test_accuracy"] <= 1
    if cell.trial.net.startswith("krotov"):
        assert found["layers"][0]["cosine"][1] < 1


def test_epochs_are_those_of_the_cell():
    for cell in find("krotov-epochs").cells:
        phase = cell.trial.build().stages[0].phase
        assert phase.epochs == cell.column
