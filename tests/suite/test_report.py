"""Reports: only what was run, beside what was published."""

from __future__ import annotations

import json

import pytest

from streamhebb.errors import ConfigError
from streamhebb.suite import Cell, Experiment, OfflineTrial, experiments, find, report
from streamhebb.suite.commands import command_lines
from streamhebb.suite.found import Found, collect
from streamhebb.suite.plots import plot
from streamhebb.suite.report import mean_and_sd, turned_table
from streamhebb.suite.running import folder_of

MACHINE = {"processor": "a chip", "cores": 2, "gpu": None, "torch": "2"}


def write(root, trial, accuracy, setup=None, **more):
    layers = [{"layer": "1", "neurons": 4, "cosine": [0.1, 0.2, 0.3], "radius": [1, 2, 3],
               "convergence": 1.0, "converged": 2}]  # fmt: skip
    result = {
        "trial": trial.model_dump(mode="json"),
        "setup": setup or {"threads": 1, "kernels": None, "device": "cpu"},
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
        assert f"bench run {name} " in text


def test_nothing_run_says_so(tmp_path):
    assert "Nothing of this was run" in report(tmp_path, tmp_path / "out").read_text()


def test_what_is_left_out_of_a_report_is_said_with_the_reason(tmp_path):
    trial = find("figure-1").cells[0].trial
    write(tmp_path, trial, 0.7)
    incomplete = {"trial": {"kind": "offline", "net": "2SoftMlpMNIST"}}
    write(tmp_path, trial.but(seed=9), 0.7, layers=[{}])
    texts = ("{", "[]", json.dumps({"trial": {"kind": "?"}}), json.dumps(incomplete))
    for seed, text in enumerate(texts, 1):
        folder = folder_of(trial.but(seed=seed), tmp_path)
        folder.write("x", 0)
        folder.result_file.write_text(text)
    assert collect(tmp_path)[trial.key].seeds == [0]
    text = report(tmp_path, tmp_path / "out", ["figure-1"]).read_text()
    assert "70.00 (1)" in text
    said = [line for line in text.splitlines() if line.startswith(f"- {trial.key}/seed-")]
    assert [line.split(": ")[0][-1] for line in said] == ["1", "2", "3", "4", "9"]
    assert "cannot be read" in said[0]
    assert all("not whole" in line for line in said[1:])
    assert "setup, result, date, machine" in said[3]
    assert "result.layers.0.cosine" in said[4]


def test_results_of_presets_that_have_changed_since_are_left_out(tmp_path):
    trial = find("figure-1").cells[0].trial
    for seed, blocks in enumerate((trial.resolved()["preset"]["blocks"], [])):
        resolved = trial.resolved() | {"preset": {"blocks": blocks}}
        write(tmp_path, trial.but(seed=seed), 0.7)
        folder = folder_of(trial.but(seed=seed), tmp_path)
        folder.write("result.json", folder.read("result.json") | {"resolved": resolved})
    said = []
    assert collect(tmp_path, said.append)[trial.key].seeds == [0]
    assert [line.split(": ")[0] for line in said] == [f"{trial.key}/seed-1"]
    assert "another net" in said[0]


# ---- samples that are not the original ones -----------------------------------------------------


def test_pictures_that_are_not_exact_are_counted_and_stay_in(tmp_path, monkeypatch):
    write(tmp_path, find("figure-1").cells[0].trial, 0.70, exact_test_accuracy=0.69)
    many = "96 of the images in this copy of CIFAR-10 (76 to learn from, 20 to test on) differ"
    for copy, said in (((76, 20), many), ((0, 0), "Some of the images")):
        monkeypatch.setitem(report.__globals__, "inexact_cifar10", lambda copy=copy: copy)
        text = report(tmp_path, tmp_path / "out", ["figure-1"]).read_text()
        assert said in text
        assert "They stay in" in text
        assert "Without the test images among them: SoftHebb 1: 69.00 (1)" in text


def test_where_all_pictures_are_exact_nothing_is_said_of_them(tmp_path):
    write(tmp_path, find("figure-1").cells[0].trial, 0.7)
    assert "differ in content" not in report(tmp_path, tmp_path / "out").read_text()


# ---- how far weights turned ---------------------------------------------------------------------


def row_of(*seeds):
    """The table's only row, of a trial with one layer, from what seeds say of it."""
    trial = OfflineTrial(net="2SoftMlpMNIST")
    results = tuple({"result": {} if each is None else {"layers": [each]}} for each in seeds)
    text = turned_table([Cell("a", 1, trial)], {trial.key: Found(results)})
    (row,) = [line for line in text.splitlines() if line.startswith("| a 1")]
    return [cell.strip() for cell in row.split("|")[3:6]]


def told(cosine, **more):
    return {"layer": "1:Dense", "neurons": 9, "cosine": cosine, "radius": [1, 2, 3], **more}


def test_layers_that_turned_little_or_not_at_all_have_a_row():
    assert row_of(told([1, 1, 1], converged=0))[0] == "1 / 1 / 1"
    assert row_of(told([0.5, 0.99997, 1], converged=0))[0] == "0.500 / 0.999970 / 1"
    assert row_of(told([1, 1, 1], converged=0), told([0, 0, 0], converged=0))[0] == (
        "0.500 / 0.500 / 0.500"
    )


def test_converged_says_how_near_and_results_of_earlier_versions_keep_theirs():
    one = [0.1, 0.2, 0.3]
    assert row_of(told(one, converged=3, near=0.005))[2] == "3 of 9 within 0.005"
    assert row_of(told(one, converged=3))[2] == "3 of 9 within 0.01"
    both = row_of(told(one, converged=3), told(one, converged=5, near=0.005))
    assert both[2] == "4 of 9 within 0.005 or 0.01"


def test_layers_without_converged_neurons_and_results_without_layers_are_read():
    assert row_of(None, told([0.1, 0.2, 0.3]))[2] == "-"


# ---- command lines ------------------------------------------------------------------------------

ONE = {"threads": 1, "kernels": "numba", "device": "cpu"}


def lines_of(root, name, **reduction):
    lines = command_lines(find(name).but(**reduction), collect(root), reduction)
    return [line.removeprefix(f"streamhebb bench run {name}") for line in lines]


def test_command_lines_have_seeds_setup_and_what_was_reduced(tmp_path):
    reduction = {"twin": True, "samples": 50, "tested": 20, "epochs": 2}
    for trial in find("figure-1").but(**reduction).trials():
        for seed in (1, 0):
            write(tmp_path, trial.but(seed=seed), 0.7, ONE | {"threads": 2})
    assert lines_of(tmp_path, "figure-1", **reduction) == [
        " --seeds 0,1 --threads 2 --kernels numba --twin --samples 50 --tested 20 --epochs 2"
    ]
    text = report(tmp_path, tmp_path / "out", ["figure-1"]).read_text()
    assert "--twin --samples 50" in text
    assert "a chip, 2 cores, 2 threads, numba kernels, torch 2" in text


def test_command_lines_name_no_more_rows_and_columns_than_were_run(tmp_path):
    for cell in find("figure-3-cifar10").cells:
        if (cell.row, cell.column) in (("hard WTA", 1), ("hard WTA", 3), ("SoftHebb", 2)):
            write(tmp_path, cell.trial, 0.7, ONE)
        if cell.row == "random, normalised":
            write(tmp_path, cell.trial, 0.7, ONE | {"device": "cuda"})
    assert set(lines_of(tmp_path, "figure-3-cifar10")) == {
        " --rows SoftHebb --columns 2 --seeds 0 --kernels numba",
        " --rows 'hard WTA' --columns 1,3 --seeds 0 --kernels numba",
        " --rows 'random, normalised' --seeds 0 --kernels numba --device cuda",
    }


def test_command_lines_of_long_sweeps_have_every_nth_column(tmp_path):
    for cell in find("b1-temperature").only(columns="/20").cells:
        write(tmp_path, cell.trial, 0.7, ONE)
    assert lines_of(tmp_path, "b1-temperature") == [" --columns /20 --seeds 0 --kernels numba"]


def test_columns_that_cannot_be_named_are_all_run(tmp_path):
    trials = [OfflineTrial(net="2SoftMlpMNIST"), OfflineTrial(net="2CnnCIFAR")]
    cells = [Cell("a", f"x, {n}", trial) for n, trial in enumerate(trials)]
    experiment = Experiment("e", "E", "e", tuple(cells))
    write(tmp_path, trials[0], 0.7, ONE)
    (line,) = command_lines(experiment, collect(tmp_path), {})
    assert line == "streamhebb bench run e --rows a --seeds 0 --kernels numba"


# ---- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b1-temperature", "b2-temperature"])
def test_converged_neurons_are_on_a_second_axis_where_they_were_told(name, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("streamhebb.suite.plots.save", lambda figure, path: figures.append(figure))
    cells = find(name).only(columns="/20", rows="soft, anti-Hebbian losers").cells
    for cell in cells[:2]:
        for seed in (0, 1):
            write(tmp_path, cell.trial.but(seed=seed), 0.7)
    write(tmp_path, cells[2].trial, 0.6, layers=[])
    plot(find(name), collect(tmp_path), tmp_path)
    left, right = figures[0].axes
    assert right.get_ylabel() == "converged neurons (R1), %"
    assert len(left.containers[0].lines[0].get_xdata()) == 3
    (shown,) = right.containers
    assert sorted(shown.lines[0].get_xdata()) == sorted(cell.column for cell in cells[:2])
    assert list(shown.lines[0].get_ydata()) == [50, 50]  # 2 of 4, as written


def test_other_experiments_have_one_axis(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("streamhebb.suite.plots.save", lambda figure, path: figures.append(figure))
    write(tmp_path, find("figure-1").cells[0].trial, 0.7)
    plot(find("figure-1"), collect(tmp_path), tmp_path)
    assert len(figures[0].axes) == 1


def test_curves_that_were_not_recorded_are_not_drawn(tmp_path):
    write(tmp_path, find("b3b-speed").cells[0].trial, 0.7)
    assert plot(find("b3b-speed"), collect(tmp_path), tmp_path) is None


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
