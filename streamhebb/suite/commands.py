"""Command lines that run what a report shows."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.suite.experiment import Experiment
from streamhebb.suite.found import Found
from streamhebb.suite.trial import Result


def command_lines(
    experiment: Experiment, found: Mapping[str, Found], reduction: Mapping[str, Any]
) -> list[str]:
    """The shortest that run all trials of an experiment that were found, and no others.

    Args:
        experiment: with trials that are reduced already.
        found: all finished trials by their keys.
        reduction: what was reduced.

    Returns:
        One line for all trials that ran with the same setup from the same seeds; more where rows
        and columns cannot be named together.
    """
    groups: dict[str, list[str]] = {}
    for trial in experiment.trials():
        seeds: dict[str, list[int]] = {}
        for result in found[trial.key].results if trial.key in found else ():
            seeds.setdefault(_setup(result), []).append(result["trial"]["seed"])
        for setup, each in seeds.items():
            options = f" --seeds {','.join(map(str, sorted(each)))}{setup}"
            groups.setdefault(options, []).append(trial.key)
    smaller = "".join(
        f" --{name}" if value is True else f" --{name} {value}" for name, value in reduction.items()
    )
    return [
        f"streamhebb bench run {experiment.name}{part}{options}{smaller}"
        for options, keys in groups.items()
        for part in _parts(experiment, set(keys))
    ]


def _setup(result: Result) -> str:
    """Options of what a trial ran with; kernels by name, for an environment may choose others."""
    setup = result["setup"]
    words = [f"--threads {setup['threads']}"] if setup["threads"] > 1 else []
    words += [f"--kernels {setup['kernels']}"] if setup.get("kernels") else []
    words += [f"--device {setup['device']}"] if setup["device"] != "cpu" else []
    return "".join(f" {word}" for word in words)


def _parts(experiment: Experiment, keys: Collection[str]) -> Iterator[str]:
    """Options that name rows and columns which have these trials, and no others."""
    every = experiment.columns
    cells = [cell for cell in experiment.cells if cell.trial.key in keys]
    columns = _columns(every, every, {cell.column for cell in cells})
    for part in ({}, {"columns": columns}):
        if _keys(experiment, **part) == keys:
            yield _options(part)
            return
    rows: dict[str, list[str]] = {}  # by the columns that they have
    for row in dict.fromkeys(cell.row for cell in cells):
        own = {cell.column for cell in experiment.cells if cell.row == row}
        chosen = {cell.column for cell in cells if cell.row == row}
        rows.setdefault(_columns(every, own, chosen), []).append(row)
    for columns, names in rows.items():
        part, together = {"columns": columns} if columns else {}, ",".join(names)
        wanted = {cell.trial.key for cell in cells if cell.row in names}
        for text in [together] if _keys(experiment, rows=together, **part) == wanted else names:
            yield _options({"rows": text} | part)


def _columns(
    every: Sequence[str | float], own: Collection[str | float], chosen: Collection[str | float]
) -> str:
    """Name columns: every N-th, or one by one; empty is all of a row's own.

    Columns with a comma in their names cannot be named: then all, which has those that are wanted.
    """
    if chosen == own:
        return ""
    for step in range(2, len(every) // 2):
        if set(every[::step]) & set(own) == chosen:
            return f"/{step}"
    names = [c if isinstance(c, str) else f"{c:g}" for c in every if c in chosen]
    return "" if any("," in name for name in names) else ",".join(names)


def _keys(experiment: Experiment, **part: str) -> set[str]:
    try:
        return {cell.trial.key for cell in experiment.only(**part).cells}
    except ConfigError:  # a name with a comma of its own
        return set()


def _options(part: Mapping[str, str]) -> str:
    return "".join(f" --{name} {shlex.quote(text)}" for name, text in part.items())
