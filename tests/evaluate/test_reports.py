"""Reports on the screen, as JSON lines, and for TensorBoard."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import streamhebb as sh
from streamhebb.errors import MissingExtraError, RunFolderError
from streamhebb.evaluate import (
    EpochResult,
    LayerMeasures,
    Phase,
    PhaseEpoch,
    linear_probe,
    train_phases,
)
from streamhebb.evaluate.reports import (
    ReportLines,
    TensorBoard,
    epoch_table,
    histograms,
    neuron_table,
    radius_table,
    read_lines,
    scalars,
    weight_table,
)

X = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
Y = [n % 3 for n in range(30)]


@pytest.fixture(scope="module")
def reports() -> tuple[PhaseEpoch, ...]:
    net = sh.StreamNet(
        sh.Dense(6, 5, bias=sh.PriorBias(gain=0.1)), sh.Triangle(), sh.Dense(5, 4),
        readout=sh.SoftmaxReadout(4, classes=3), seed=0,
    )  # fmt: skip
    return train_phases(net, [Phase((0,), epochs=2), Phase((2,), epochs=2)], (X, Y), (X, Y))


def shown(table: Any) -> str:
    console = Console(width=200, record=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_every_number_has_a_name_once(reports: tuple[PhaseEpoch, ...]) -> None:
    found = scalars(reports[0])
    first, second = reports[0].layers
    assert found["phase0/0:Dense/mean_radius"] == first.mean_radius
    assert found["phase0/0:Dense/max_deviation"] == first.max_deviation
    assert found["phase0/0:Dense/mean_bias"] == first.mean_bias
    assert found["phase0/0:Dense/hebbian"] == first.hebbian
    assert found["phase0/2:Dense/convergence"] == reports[0].convergence[1]
    assert found["phase0/2:Dense/converged"] == reports[0].converged[1]
    assert found["phase0/2:Dense/rate"] == reports[0].rates[1]
    assert "phase0/2:Dense/hebbian" not in found, "it did not learn, so nobody counted"
    assert "phase0/train_loss" not in found
    assert scalars(reports[-1])["phase1/train_loss"] == reports[-1].train_loss
    assert second.hebbian is None


def test_tables_hold_the_numbers(reports: tuple[PhaseEpoch, ...]) -> None:
    epochs = shown(epoch_table(reports))
    assert epochs.count("\n") == 3 + len(reports) + 1
    assert f"{100 * reports[-1].test_accuracy:.2f}" in epochs
    assert f"{reports[-1].train_loss:.4g}" in epochs
    first, start = reports[0].layers[0], reports[:2]
    radii = [row.split() for row in shown(radius_table(start, "0:Dense")).splitlines()[2:]]
    assert [row[0] for row in radii] == ["1", "2"], "a row an epoch"
    wanted = (reports[0].convergence[0], reports[0].rates[0], first.mean_radius, first.std_radius,
              first.mean_deviation, first.max_deviation)  # fmt: skip
    assert [radii[0][1], *radii[0][3:]] == [f"{value:.4g}" for value in wanted]
    assert radii[0][2] == str(reports[0].converged[0])
    weights = [row.split() for row in shown(weight_table(start, "0:Dense")).splitlines()[2:]]
    wanted = (first.mean_weight, first.std_weight, first.mean_bias, first.std_bias)
    assert weights[0][:5] == ["1", *(f"{value:.4g}" for value in wanted)]
    assert weights[0][5:] == [f"{100 * v:.2f}" for v in (first.hebbian, first.anti_hebbian)]
    neurons = shown(neuron_table(first)).splitlines()[3:-1]
    assert len(neurons) == 5
    row = (first.rates[2], first.radii[2], first.wins[2])
    assert [c.strip() for c in neurons[2].split("│")[1:5]] == ["2", *(f"{v:.4g}" for v in row)]
    assert "–" in shown(neuron_table(reports[0].layers[1])), "nobody counted wins"


def test_the_longest_numbers_fit_80_characters() -> None:
    x = 1.2345e-05
    layer = LayerMeasures("1:Conv2d", 12288, x, x, x, x, -x, x, -x, x, 1.0, 1.0)
    report = PhaseEpoch(0, 1000, None, None, None, None, (x,), (12288,), (x,), 1.0, (layer,))
    console = Console(width=80, file=io.StringIO())
    console.print(radius_table([report], "1:Conv2d"), weight_table([report], "1:Conv2d"))
    text = console.file.getvalue()
    assert text.count("1.234e-05") == 10
    assert "…" not in text


def test_neurons_of_a_rank_have_a_column() -> None:
    layer = LayerMeasures("x", 2, 1, 0, 0, 0, 0, 0, rates=(0.1, 0.2), radii=(1.0, 1.0),
                          wins=(75.0, 25.0), ranked=(40.0, 60.0))  # fmt: skip
    lines = shown(neuron_table(layer)).splitlines()
    assert "ranked %" in lines[1]
    assert [cell.strip() for cell in lines[4].split("│")[1:6]] == ["1", "0.2", "1", "25", "60"]


def test_lines_come_back_as_reports(reports: tuple[PhaseEpoch, ...], tmp_path: Path) -> None:
    lines = ReportLines(tmp_path / "deep" / "run.jsonl")
    for report in reports:
        lines(report)
    found = linear_probe(None, (X, Y), (X, Y), epochs=2, on_epoch=lines)
    assert read_lines(lines.path) == (*reports, *found.epochs)


def test_a_line_cut_off_by_a_crash_is_dropped(
    reports: tuple[PhaseEpoch, ...], tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    lines = ReportLines(path)
    lines(reports[0])
    lines(reports[1])
    path.write_bytes(path.read_bytes()[:-20])
    lines = ReportLines(path)
    assert read_lines(path) == reports[:1]
    lines(reports[1])
    lines(reports[1])  # done again
    assert read_lines(path) == reports[:2]


@pytest.mark.parametrize("text", ["no json", "[1]", "{}", '{"report": "PhaseEpoch"}',
                                  '{"report": "Other", "epoch": 1}', "7"])  # fmt: skip
def test_a_line_that_is_no_report_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    ReportLines(path)(EpochResult(1, 0.5, 0.5, 0.1, 1.0))
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(RunFolderError, match="line 2 is no report"):
        read_lines(path)


def test_places_that_refuse(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="choose another place"):
        ReportLines(tmp_path / "file" / "run.jsonl")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_lines(tmp_path / "nothing")


def test_tensorboard_reads_what_was_written(
    reports: tuple[PhaseEpoch, ...], tmp_path: Path
) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with TensorBoard(tmp_path / "board") as board:
        for report in reports:
            board(report)
    found = events.EventAccumulator(str(tmp_path / "board"), {"histograms": 0})  # all of them
    found.Reload()
    wanted: dict[str, list[tuple[int, float]]] = {}
    for report in reports:
        for name, value in scalars(report).items():
            wanted.setdefault(name.replace(":", "_"), []).append((report.epoch, value))
    assert sorted(found.Tags()["scalars"]) == sorted(wanted)
    assert sorted(found.Tags()["histograms"]) == sorted(
        {name.replace(":", "_") for report in reports for name in histograms(report)}
    )
    for name in ("wins", "radii", "rates"):
        told = found.Histograms(f"phase0/0_Dense/{name}")
        assert [event.step for event in told] == [1, 2]
        values = getattr(reports[1].layers[0], name)
        assert told[1].histogram_value.num == len(values) == 5
        assert told[1].histogram_value.sum == pytest.approx(sum(values))
    for name, values in wanted.items():
        got = [(event.step, event.value) for event in found.Scalars(name)]
        assert [step for step, _ in got] == [step for step, _ in values]
        assert [v for _, v in got] == pytest.approx([v for _, v in values], rel=1e-6, abs=1e-12)


def test_without_tensorboard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        n for n in sys.modules if n.startswith(("tensorboard", "torch.utils.tensorboard"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[tracking\]"):
        TensorBoard(tmp_path)
