"""What was found, as Markdown and pictures beside the published figures; only what was run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamhebb.errors import StreamhebbError
from streamhebb.files import replace
from streamhebb.suite.catalogue import experiments
from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.folder import TrialFolder
from streamhebb.suite.kinds import read_trial
from streamhebb.suite.plots import plot
from streamhebb.suite.running import outdated
from streamhebb.suite.trial import REDUCTION, Result


@dataclass(frozen=True)
class Found:
    """All seeds of one trial.

    Args:
        results: what ``result.json`` of each seed holds.
        folders: where each was found.
    """

    results: tuple[Result, ...]
    folders: tuple[Path, ...] = ()

    def values(self, measure: str) -> list[float]:
        """A measure of every seed; accuracies in percent."""
        found = [result["result"].get(measure) for result in self.results]
        scale = 100 if measure.endswith("accuracy") else 1
        return [scale * value for value in found if value is not None]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run."""
        return sorted(result["trial"]["seed"] for result in self.results)


def mean_and_sd(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds, with their number.

    Example:
        >>> mean_and_sd([80.0, 81.0, 79.0]), mean_and_sd([80.0])
        ('80.00 ± 1.00 (3)', '80.00 (1)')
    """
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread} ({len(values)})"


def collect(root: Path) -> dict[str, Found]:
    """All finished trials below a root, by their keys.

    Folders that cannot be read are left out, and those whose presets have changed since.
    """
    found: dict[str, list[tuple[Result, Path]]] = {}
    for path in sorted(root.glob("*/seed-*/result.json")):
        try:
            result = TrialFolder(path.parent).read(path.name)
            trial = read_trial(result["trial"])
            if outdated(result, trial.resolved()):
                continue
        except (StreamhebbError, KeyError, TypeError):
            continue
        found.setdefault(trial.key, []).append((result, path.parent))
    return {key: Found(*map(tuple, zip(*pairs, strict=True))) for key, pairs in found.items()}


def report(root: Path, out: Path, names: Iterable[str] = ()) -> Path:
    """Write ``report.md`` and its pictures.

    Args:
        root: folders of trials lie in it.
        out: folder of the report.
        names: experiments; none are all that something was run of.

    Returns:
        Path of ``report.md``.
    """
    found = collect(root)
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
    missing = len(experiment.cells) - len(cells)
    parts.append(_footer(experiment, cells, found, missing))
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
    """How far the weights of each layer turned, seed by seed averaged."""
    lines = []
    for cell in {cell.trial.key: cell for cell in cells}.values():
        per_seed = [
            result["result"].get("layers") or [] for result in found[cell.trial.key].results
        ]
        if not per_seed[0] or all(layer["cosine"][1] == 1 for layer in per_seed[0]):
            continue
        for number, layer in enumerate(per_seed[0]):
            cosine, radius = (
                [statistics.mean(seed[number][name][i] for seed in per_seed) for i in range(3)]
                for name in ("cosine", "radius")
            )
            near = statistics.mean(seed[number]["converged"] for seed in per_seed)
            lines.append(
                f"| {cell.row} {_text(cell.column)} | {number + 1} | "
                f"{' / '.join(f'{c:.3f}' for c in cosine)} | "
                f"{' / '.join(f'{r:.1f}' for r in radius)} | {near:.0f} of {layer['neurons']} |"
            )
    if not lines:
        return ""
    return (
        "How far weights turned: cosine between a neuron's last and first weights, and its radius, "
        "as 5 / 50 / 95 % of the neurons; radii within 0.01 of 1.\n\n"
        "| trial | layer | cosine | radius | converged |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(lines)
        + "\n"
    )


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
    """Say what the accuracies are without test samples that differ from the original set's."""
    parts = []
    for cell in cells:
        values = found[cell.trial.key].values("exact_test_accuracy")
        if values:
            parts.append(f"{cell.row} {_text(cell.column)}: {mean_and_sd(values)}")
    if not parts:
        return ""
    return (
        "Without the test samples whose content differs from that of the original data set: "
        + "; ".join(dict.fromkeys(parts))
        + ".\n"
    )


def _footer(
    experiment: Experiment, cells: Sequence[Cell], found: dict[str, Found], missing: int
) -> str:
    results = [result for cell in cells for result in found[cell.trial.key].results]
    places = sorted({_place(result) for result in results})
    dates = sorted(result["date"][:10] for result in results)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    lines = [
        f"`streamhebb bench run {experiment.name}`; mean ± standard deviation (seeds). "
        f"{'; '.join(places)}; {when}."
    ]
    if missing:
        lines.append(f"{missing} of {len(experiment.cells)} cells were not run.")
    if experiment.source:
        lines.append(f"Source: {experiment.source}.")
    return " ".join(lines) + "\n"


def _place(result: Result) -> str:
    machine, setup = result["machine"], result["setup"]
    device = machine["gpu"] if setup["device"].startswith("cuda") else machine["processor"]
    return (
        f"{device}, {machine['cores']} cores, {setup['threads']} threads, torch {machine['torch']}"
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
