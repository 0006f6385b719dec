"""Reports: only what was run, beside what was published."""

from __future__ import annotations

import json

import pytest

from streamhebb.errors import ConfigError
from streamhebb.suite import experiments, find, report
from streamhebb.suite.report import collect, mean_and_sd
from streamhebb.suite.running import folder_of

MACHINE = {"processor": "a chip", "cores": 2, "gpu": None, "torch": "2"}


def write(root, trial, accuracy, **more):
    layers = [{"layer": "1", "neurons": 4, "cosine": [0.1, 0.2, 0.3], "radius": [1, 2, 3],
               "convergence": 1.0, "converged": 2}]  # fmt: skip
    result = {
        "trial": trial.model_dump(mode="json"),
        "setup": {"threads": 1, "kernels": None, "device": "cpu"},
        "result": {"test_accuracy": accuracy, "layers": layers} | more,
        "wall_seconds": 1.0,
        "date": "2026-01-02T03:04:05+00:00",
        "machine": MACHINE,
    }
    folder_of(trial, root).write("result.json", result)


def test_cells_are_means_over_seeds_beside_published_figures(tmp_path):
    figure = find("figure-1")
    for seed, accuracy in enumerate((0.70, 0.71, 0.72)):
        write(
            tmp_path, figure.cells[0].trial.but(seed=seed), accuracy, exact_test_accuracy=accuracy
        )
    text = report(tmp_path, tmp_path / "out", ["figure-1"]).read_text()
    assert "71.00 ± 1.00 (3); published 71.10" in text
    assert text.count("| not run") == 2
    assert "2 of 3 cells were not run" in text
    assert "Without the test samples" in text
    assert "0.100 / 0.200 / 0.300" in text
    assert (tmp_path / "out" / "figure-1.png").stat().st_size > 5000


def test_a_reduced_run_is_never_beside_published_figures(tmp_path):
    write(tmp_path, find("figure-1").cells[0].trial.but(samples=50), 0.3)
    text = report(tmp_path, tmp_path / "out").read_text()
    assert "(reduced: samples 50)" in text
    assert "published 71.10" not in text
    assert "30.00 (1)" in text


def test_experiments_share_trials(tmp_path):
    write(tmp_path, find("figure-1").cells[2].trial, 0.8)
    text = report(tmp_path, tmp_path / "out").read_text()
    for name in ("figure-1", "figure-3-cifar10", "figure-4", "together", "b4-neurons"):
        assert f"bench run {name}`" in text


def test_nothing_run_says_so(tmp_path):
    assert "Nothing of this was run" in report(tmp_path, tmp_path / "out").read_text()


def test_what_cannot_be_read_is_left_out(tmp_path):
    trial = find("figure-1").cells[0].trial
    write(tmp_path, trial, 0.7)
    for seed, text in ((1, "{"), (2, "[]"), (3, json.dumps({"trial": {"kind": "?"}}))):
        folder = folder_of(trial.but(seed=seed), tmp_path)
        folder.write("x", 0)
        folder.result_file.write_text(text)
    assert len(collect(tmp_path)[trial.key].results) == 1


def test_results_of_presets_that_have_changed_since_are_left_out(tmp_path):
    trial = find("figure-1").cells[0].trial
    for seed, blocks in enumerate((trial.resolved()["preset"]["blocks"], [])):
        resolved = trial.resolved() | {"preset": {"blocks": blocks}}
        write(tmp_path, trial.but(seed=seed), 0.7)
        folder = folder_of(trial.but(seed=seed), tmp_path)
        folder.write("result.json", folder.read("result.json") | {"resolved": resolved})
    assert collect(tmp_path)[trial.key].seeds == [0]


def test_mean_and_spread():
    assert mean_and_sd([1.0]) == "1.00 (1)"
    assert mean_and_sd([1.0, 3.0]) == "2.00 ± 1.41 (2)"


def test_all_experiments_can_be_built_and_are_told_apart():
    every = experiments()
    for name, experiment in every.items():
        assert name == experiment.name == name.lower()
        assert experiment.title
        assert experiment.about
        places = [(cell.row, cell.column) for cell in experiment.cells]
        assert len(set(places)) == len(places)
        for trial in experiment.trials():
            if hasattr(trial, "preset"):
                trial.preset()


def test_rows_and_columns_can_be_chosen():
    figure = find("Figure-3-CIFAR10")
    assert {cell.row for cell in figure.only(rows="softhebb").cells} == {"SoftHebb"}
    assert figure.only(rows="Random, normalised").rows == ("random, normalised",)
    assert figure.only(rows="hard, random").rows == (
        "hard WTA",
        "random, not normalised",
        "random, normalised",
        "random, nets of WTA, normalised",
    )
    assert {cell.column for cell in figure.only(columns="1, 3").cells} == {1, 3}
    assert len(find("b1-temperature").only(columns="/10").columns) < 12
    with pytest.raises(ConfigError, match="rows are SoftHebb"):
        figure.only(rows="magic")
    with pytest.raises(ConfigError, match="every tenth is /10"):
        figure.only(columns="/0")


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(ConfigError, match="did you mean figure-"):
        find("figure-33-cifar10")
