"""The published experiments from the command line."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streamhebb import snapshot
from streamhebb.benchmark.commands import app
from streamhebb.cli import app as cli
from streamhebb.errors import ConfigError, RunFolderError
from streamhebb.presets import prepare
from streamhebb.suite import find


def bench(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def refused(*words: object) -> str:
    found = bench(*words)
    assert isinstance(found.exception, (ConfigError, RunFolderError)), found.output
    return str(found.exception)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial of synthetic samples, run by the command."""
    root = tmp_path_factory.mktemp("runs")
    words = ("--rows", "linear", "--columns", "1", "--seeds", "0", "--runs", root)
    small = ("--twin", "--samples", 100, "--tested", 50, "--epochs", 2)
    found = bench("run", "b3a-radius", *words, *small)
    assert not found.exception, found.output
    assert "1 trials, seeds 0" in found.output
    return root


def test_all_experiments_are_listed() -> None:
    names = [line.split()[0] for line in bench("list").output.splitlines()[1:]]
    assert {"figure-1", "table-2", "stream", "controls", "mnist-conv"} <= set(names)


def test_what_is_finished_is_not_run_again_but_reported(runs: Path) -> None:
    words = ("--rows", "linear", "--columns", "1", "--seeds", "0", "--runs", runs)
    small = ("--twin", "--samples", 100, "--tested", 50, "--epochs", 2)
    again = bench("run", "b3a-radius", *words, *small)
    assert "test " not in again.output
    found = bench("report", "b3a-radius", "--runs", runs)
    assert not found.exception
    assert "linear decay" in found.output


def test_the_command_of_a_report_runs_what_it_shows(runs: Path, tmp_path: Path) -> None:
    found = bench("report", "b3a-radius", "--runs", runs)
    (line,) = (line for line in found.output.splitlines() if line.startswith("$ "))
    words = shlex.split(line.removeprefix("$ streamhebb bench "))
    assert not bench(*words, "--runs", tmp_path).exception
    names = [{p.relative_to(root) for p in root.glob("*/seed-*")} for root in (runs, tmp_path)]
    assert names[0] == names[1]
    settings = [next(root.rglob("settings.json")).read_text("utf-8") for root in (runs, tmp_path)]
    assert settings[0] == settings[1], "kernels too"


def test_measures_are_tables(runs: Path) -> None:
    found = bench("measures", runs)
    assert not found.exception, found.output
    assert "seed-0" in found.output
    assert "train %" in found.output
    assert "phase 0, 1:Dense: 2000 neurons" in found.output
    assert "Hebb %" in found.output
    assert "wins %" not in found.output
    (path,) = runs.rglob("measures.jsonl")
    more = bench("measures", path, "--neurons")
    assert "wins %" in more.output
    assert len(more.output) > len(found.output)


def test_measures_of_every_epoch_are_whole_where_lines_are_short(
    runs: Path, tmp_path: Path
) -> None:
    (path,) = runs.rglob("measures.jsonl")
    lines = path.read_text("utf-8").splitlines()
    one = json.loads(lines[0])
    second = one | {"epoch": 2, "converged": [7]}
    copy = tmp_path / "measures.jsonl"
    copy.write_text("\n".join([lines[0], json.dumps(second), ""]), "utf-8")
    found = CliRunner().invoke(app, ["measures", str(copy)], env={"COLUMNS": "80"})
    assert not found.exception, found.output
    assert "…" not in found.output
    start = found.output.index("near 1")
    rows = [row.split() for row in found.output[start:].splitlines()[2:4]]
    assert [row[0] for row in rows] == ["1", "2"]
    assert [row[2] for row in rows] == [str(one["converged"][0]), "7"]
    assert rows[0][4] == f"{one['layers'][0]['mean_radius']:.4g}"


def test_what_a_careless_person_types(runs: Path, tmp_path: Path) -> None:
    assert "figure-1" in refused("run", "figure1")
    assert "no folder" in refused("report", "--runs", tmp_path / "none")
    assert "no measures.jsonl" in refused("measures", tmp_path)
    text = tmp_path / "text.jsonl"
    text.write_text("nothing\n", "utf-8")
    assert "line 1" in refused("measures", text)
    for seeds in ("a", "-1", "0,,1", str(2**64), "9" * 400):
        assert "seeds" in refused("run", "figure-1", "--seeds", seeds, "--runs", runs)


def test_columns_are_named_in_full_or_one_by_one() -> None:
    table = find("table-2")
    assert table.only(columns="mnist, dense").columns == ("MNIST, dense",)
    assert table.only(columns="CIFAR-10,stl-10").columns == ("CIFAR-10", "STL-10")
    one = find("figure-1")
    for columns, word in (("1,9", "'9'"), ("1,", "''"), ("MNIST, dense", "'MNIST'")):
        with pytest.raises(
            ConfigError, match=f"columns: {word} names nothing; columns are 1; 2; 3"
        ):
            one.only(columns=columns)
    for rows, word in (("soft,hrad", "'hrad'"), ("soft,", "''")):
        with pytest.raises(ConfigError, match=f"rows: {word} names nothing; rows are SoftHebb"):
            find("competition").only(rows=rows)


def test_what_cannot_be_run_is_named_at_the_end(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    (result,) = (tmp_path / "runs").rglob("result.json")
    result.write_text("{")
    words = ("--rows", "linear", "--columns", "1", "--seeds", "0,1", "--runs", tmp_path / "runs")
    small = ("--twin", "--samples", "100", "--tested", "50", "--epochs", "2")
    found = CliRunner().invoke(cli, ["bench", "run", "b3a-radius", *map(str, words), *small])
    assert found.exit_code == 2
    assert "bench report b3a-radius" in found.stdout
    first, line = found.stderr.splitlines()
    assert first == "error: 1 of 2 trials could not be run"
    assert "seed 0: " in line
    assert "result.json cannot be read" in line
    assert len(list((tmp_path / "runs").rglob("seed-1/result.json"))) == 1


def test_names_that_stand_for_another_net_are_not_run_again(runs: Path, tmp_path: Path) -> None:
    (folder,) = (path.parent for path in runs.rglob("result.json"))
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    settings = json.loads((other / "settings.json").read_text())
    settings["resolved"]["preset"]["blocks"][0]["layer"] += "-lp0.3"
    (other / "settings.json").write_text(json.dumps(settings))
    assert "see 'resolved'" in refused("again", other)
    (other / "settings.json").write_text("{}")
    assert "there is no 'trial' in it" in refused("again", other)


def test_data_are_told_apart(runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (folder,) = (path.parent for path in runs.rglob("result.json"))
    digests = json.loads((folder / "result.json").read_text())["digests"]
    assert digests.keys() == {"MNIST_1-32", "MNIST_10"}
    real = prepare._bytes

    def another(source: Any, rows: Any) -> Any:
        pixels = real(source, rows).copy()
        pixels[7, 0, 3, 3] += 1
        return pixels

    monkeypatch.setattr(prepare, "_bytes", another)
    found = bench("again", folder)
    assert found.exit_code == 1
    assert "differ: data of MNIST_1-32, data of MNIST_10, " in found.output
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    result = json.loads((old / "result.json").read_text())
    del result["digests"]
    (old / "result.json").write_text(json.dumps(result))
    monkeypatch.undo()
    found = bench("again", old)
    assert found.exit_code == 0
    assert "does not say which data were read" in found.output


def test_a_folder_is_enough_for_the_same_bits(runs: Path, tmp_path: Path) -> None:
    (folder,) = (path.parent for path in runs.rglob("result.json"))
    found = bench("again", folder)
    assert found.exit_code == 0, found.output
    assert "to the bit" in found.output
    assert "lies in" in refused("again", folder, "--runs", runs)
    assert "settings.json" in refused("again", tmp_path)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    tensors, meta = snapshot.read(other / "net.safetensors")
    name = next(name for name in tensors if name.endswith("weight"))
    tensors[name].view(-1)[7] += 1e-3
    snapshot.write(other / "net.safetensors", tensors, meta)
    found = bench("again", other)
    assert found.exit_code == 1
    assert found.output.splitlines()[-1] == f"differ: {name}"
