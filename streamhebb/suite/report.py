"""What was found, as Markdown and pictures beside the published figures; only what was run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from streamhebb.errors import SourceError
from streamhebb.files import replace
from streamhebb.sources.datasets import inexact_cifar10
from streamhebb.suite.catalogue import experiments
from streamhebb.suite.commands import command_lines
from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.found import Found, collect
from streamhebb.suite.plots import plot
from streamhebb.suite.trial import REDUCTION, Result


def mean_and_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds, with their number.

    Example:
        >>> mean_and_sd([80.0, 81.0, 79.0]), mean_and_sd([80.0])
        ('80.00 ± 1.00 (3)', '80.00 (1)')
    """
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread} ({len(values)})"


def report(root: Path, out: Path, names: Iterable[str] = ()) -> Path:
    """Write ``report.md`` and its pictures.

    Args:
        root: folders of trials lie in it.
        out: folder of the report.
        names: experiments; none are all that something was run of.

    Returns:
        Path of ``report.md``.
    """
    left_out: list[str] = []
    found = collect(root, left_out.append)
    chosen = tuple(names)
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# Experiments\n"]
    for experiment in experiments().values():
        if chosen and experiment.name not in chosen:
            continue
        for reduction in _reductions(found):
            part = section(experiment.but(**reduction), found, out, reduction)
            if part:
                parts.append(part)
    if len(parts) == 1:
        parts.append("Nothing of this was run yet.\n")
    if left_out:
        parts += ["## Left out\n", "No number above has these folders in it.\n"]
        parts += [f"- {line}" for line in left_out] + [""]
    path = out / "report.md"
    replace(path, "\n".join(parts).encode())
    return path


def section(
    experiment: Experiment, found: dict[str, Found], out: Path, reduction: dict[str, Any]
) -> str:
    """One experiment as Markdown; empty if nothing of it was run."""
    cells = [cell for cell in experiment.cells if cell.trial.key in found]
    if not cells:
        return ""
    note = ", ".join(f"{name} {value}" for name, value in reduction.items())
    title = experiment.title + (f" (reduced: {note})" if note else "")
    parts = [f"## {title}\n", f"{experiment.about}\n", table(experiment, found, bool(reduction))]
    picture = plot(experiment, found, out, note)
    if picture is not None:
        parts.append(f"![{title}]({picture.name})\n")
    parts += [] if picture is not None else _pictures(cells, found, out)
    parts += [part for part in (_exact(cells, found), turned_table(cells, found)) if part]
    lines = command_lines(experiment, found, reduction)
    parts += ["```console", *(f"$ {line}" for line in lines), "```\n"]
    parts.append(_footer(experiment, cells, found))
    return "\n".join(parts)


def table(experiment: Experiment, found: dict[str, Found], reduced: bool = False) -> str:
    """A Markdown table: rows of the experiment across its columns, and what was published.

    Cells are mean ± standard deviation (seeds). Sweeps with many columns have them downwards.
    """
    cells = {(cell.row, cell.column): cell for cell in experiment.cells}
    rows: list[Any] = list(experiment.rows)
    columns: list[Any] = list(experiment.columns)
    downwards = len(columns) > 8
    if downwards:
        rows, columns = columns, rows
    lines = []
    for row in rows:
        keys = [(column, row) if downwards else (row, column) for column in columns]
        line = [_cell(cells.get(key), found, reduced) for key in keys]
        if any(line):
            lines.append([_text(row), *line])
    head = [experiment.axis if downwards else "", *map(_text, columns)]
    body = ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]]
    return "\n".join(body) + "\n"


def turned_table(cells: Sequence[Cell], found: dict[str, Found]) -> str:
    """How far the weights of each layer turned, in the mean over seeds."""
    lines = []
    for cell in {cell.trial.key: cell for cell in cells}.values():
        for number, seeds in enumerate(found[cell.trial.key].layers(), 1):
            cosine, radius = (
                [statistics.mean(layer[name][i] for layer in seeds) for i in range(3)]
                for name in ("cosine", "radius")
            )
            lines.append(
                f"| {cell.row} {_text(cell.column)} | {number} | "
                f"{' / '.join(map(_cosine, cosine))} | "
                f"{' / '.join(f'{r:.1f}' for r in radius)} | {_converged(seeds)} |"
            )
    if not lines:
        return ""
    return (
        "How far weights turned: cosine between a neuron's last and first weights (1 is not at "
        "all), and its radius, as 5 / 50 / 95 % of the neurons; how many Hebbian neurons have "
        "converged, their radius being so near to 1. Published are 0.01 for convolutions and 0.005 "
        "for dense layers; results of earlier versions have 0.01 for both.\n\n"
        "| trial | layer | cosine | radius | converged |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(lines)
        + "\n"
    )


def _cosine(value: float) -> str:
    """Three digits, or as many as results have where three would not tell it from 1."""
    return f"{value:.3f}" if value < 0.9995 else f"{value:.6f}" if value < 1 else "1"


def _converged(seeds: Sequence[dict[str, Any]]) -> str:
    """Neurons of a layer whose radius has converged, in the mean over seeds."""
    told = [layer for layer in seeds if "converged" in layer]
    if not told:
        return "-"
    mean = statistics.mean(layer["converged"] for layer in told)
    near = sorted({layer.get("near", 0.01) for layer in told})  # earlier versions do not say it
    return f"{mean:.0f} of {told[0]['neurons']} within {' or '.join(f'{n:g}' for n in near)}"


def _cell(cell: Cell | None, found: dict[str, Found], reduced: bool) -> str:
    if cell is None or cell.trial.key not in found:
        return "" if cell is None or cell.published is None or reduced else "not run"
    values = found[cell.trial.key].values(cell.measure)
    if not values:
        return "-"
    published = "" if cell.published is None or reduced else f"; published {cell.published:.2f}"
    return mean_and_sd(values) + published


def _pictures(cells: Sequence[Cell], found: dict[str, Found], out: Path) -> list[str]:
    """Copy what trials have drawn, of the first seed of each, and show it.

    Only where the experiment has no picture of its own: experiments share trials.
    """
    parts = []
    for cell in {cell.trial.key: cell for cell in cells}.values():
        own = found[cell.trial.key]
        for name in own.results[0]["result"].get("pictures") or []:
            # A file of the trial's own folder, whatever the result says.
            source = own.folders[0] / Path(str(name)).name if own.folders else Path()
            if source.suffix == ".png" and source.is_file():
                copied = f"{cell.trial.key}-{source.name}"
                replace(out / copied, source.read_bytes())
                seed = own.results[0]["trial"]["seed"]
                parts.append(f"![{cell.row}, seed {seed}]({copied})\n")
    return parts


def _exact(cells: Sequence[Cell], found: dict[str, Found]) -> str:
    """Say what the accuracies are without test samples that differ from the original set's.

    Only copies of CIFAR-10 have such samples.
    """
    parts = []
    for cell in cells:
        values = found[cell.trial.key].values("exact_test_accuracy")
        if values:
            parts.append(f"{cell.row} {_text(cell.column)}: {mean_and_sd(values)}")
    if not parts:
        return ""
    try:
        train, test = inexact_cifar10()
    except SourceError:
        train = test = 0
    many = str(train + test) if test else "Some"
    parts_of = f" ({train} to learn from, {test} to test on)" if test else ""
    return (
        f"{many} of the images in this copy of CIFAR-10{parts_of} differ in content from the "
        "original ones. They stay in: the accuracies above are with them. Without the test images "
        "among them: " + "; ".join(dict.fromkeys(parts)) + ".\n"
    )


def _footer(experiment: Experiment, cells: Sequence[Cell], found: dict[str, Found]) -> str:
    results = [result for cell in cells for result in found[cell.trial.key].results]
    places = sorted({_place(result) for result in results})
    dates = sorted(result["date"][:10] for result in results)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    lines = [f"Mean ± standard deviation (seeds). {'; '.join(places)}; {when}."]
    missing = len(experiment.cells) - len(cells)
    if missing:
        lines.append(f"{missing} of {len(experiment.cells)} cells were not run.")
    if experiment.source:
        lines.append(f"Source: {experiment.source}.")
    return " ".join(lines) + "\n"


def _place(result: Result) -> str:
    machine, setup = result["machine"], result["setup"]
    device = machine["gpu"] if setup["device"].startswith("cuda") else machine["processor"]
    kernels = f", {setup['kernels']} kernels" if setup.get("kernels") else ""
    return (
        f"{device}, {machine['cores']} cores, {setup['threads']} threads{kernels}, "
        f"torch {machine['torch']}"
    )


def _reductions(found: dict[str, Found]) -> list[dict[str, Any]]:
    """The ways in which trials were made smaller; the published size comes first."""
    seen: dict[str, dict[str, Any]] = {"{}": {}}
    for each in found.values():
        trial = each.results[0]["trial"]
        reduction = {name: trial[name] for name in REDUCTION if trial.get(name)}
        seen[json.dumps(reduction)] = reduction
    return list(seen.values())


def _text(column: str | float) -> str:
    return column if isinstance(column, str) else f"{column:g}"
