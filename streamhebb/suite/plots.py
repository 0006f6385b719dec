"""An experiment as a picture: what was found, and what was published, over the axis below."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from streamhebb.pictures.style import MUTED, count_axis, new_figure, save, tidy
from streamhebb.suite.experiment import Experiment
from streamhebb.suite.found import Found

Points = dict[str, list[tuple[float, list[float]]]]
"""Of each row, places on the axis below, and what every seed found there."""
COLOURS = ("#1f6fb2", "#d9730d", "#2e8b57", "#8e5bb5", "#b23a48", "#5b6770")


def plot(
    experiment: Experiment, found: Mapping[str, Found], out: Path, note: str = ""
) -> Path | None:
    """Draw what was run, with standard deviations; hollow, what was published.

    Returns:
        Path of the picture, or ``None`` if there is nothing to draw.
    """
    if experiment.show == "curves":
        return _curves(experiment, found, out, note)
    points: Points = {}
    beside: Points = {}
    published: dict[str, list[tuple[float, float]]] = {}
    for cell in experiment.cells:
        if isinstance(cell.column, str) or experiment.show == "table":
            return None
        if cell.trial.key in found:
            values = found[cell.trial.key].values(cell.measure)
            if values:
                points.setdefault(cell.row, []).append((cell.column, values))
            converged = found[cell.trial.key].converged() if experiment.beside else []
            if converged:
                beside.setdefault(cell.row, []).append((cell.column, converged))
        if cell.published is not None and not note:
            published.setdefault(cell.row, []).append((cell.column, cell.published))
    if not points:
        return None
    words = "Mean over seeds, bars: standard deviation."
    words += " Hollow: as published." if published else ""
    words += " Dotted, right: R1, neurons whose radius has converged." if beside else ""
    words += f"\nReduced: {note}." if note else ""
    figure = new_figure(7.2, 4.4, experiment.title, words)
    axes = figure.add_subplot()
    right = _right(axes) if beside else None
    for row, colour in zip(experiment.rows, COLOURS * 3, strict=False):
        if right is not None and row in beside:
            _means(right, sorted(beside[row]), color=colour, marker="s", ms=3, lw=0.9, ls=":")
        line = sorted(points.get(row, []))
        if not line:
            continue
        look: dict[str, Any] = {"color": colour, "marker": "o"}
        _means(axes, line, ms=4, lw=1.4, label=row, **look)
        if row in published:
            known = np.array(sorted(published[row]))
            axes.plot(*known.T, mfc="white", ms=6, lw=0.8, ls=(0, (4, 3)), **look)
    if experiment.show == "log":
        axes.set_xscale("log")
    else:
        axes.set_xticks([c for c in experiment.columns if not isinstance(c, str)])
    axes.set_xlabel(experiment.axis)
    axes.set_ylabel(experiment.quantity)
    tidy(axes)
    axes.legend(frameon=False, fontsize=8, labelcolor=MUTED)
    return _write(figure, experiment, out, note)


def _means(axes: Axes, line: Sequence[tuple[float, list[float]]], **look: Any) -> None:
    """Means over seeds, with standard deviations."""
    means = [statistics.mean(values) for _, values in line]
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for _, values in line]
    axes.errorbar([column for column, _ in line], means, spread, capsize=2, **look)


def _right(axes: Axes) -> Axes:
    """A second axis, for shares of converged neurons."""
    right = axes.twinx()
    right.set_ylabel("converged neurons (R1), %")
    right.set_ylim(-3, 103)
    tidy(right, grid="")
    right.spines["right"].set_visible(True)
    right.spines["right"].set_color(MUTED)
    return right


def _curves(
    experiment: Experiment, found: Mapping[str, Found], out: Path, note: str
) -> Path | None:
    """Draw what trials recorded on the way, every seed; rows have colours."""
    lines = {
        cell.row: found[cell.trial.key].told("curve")
        for cell in experiment.cells
        if cell.trial.key in found
    }
    if not any(lines.values()):
        return None
    words = f"Every seed a line. Reduced: {note}." if note else "Every seed a line."
    figure = new_figure(7.2, 4.4, experiment.title, words)
    axes = figure.add_subplot()
    for row, colour in zip(experiment.rows, COLOURS * 3, strict=False):
        for number, curve in enumerate(lines.get(row, [])):
            x, y = zip(*curve, strict=True)
            axes.plot(x, y, color=colour, lw=1.4, label=None if number else row)
    axes.set_xlabel(experiment.axis)
    axes.set_ylabel(experiment.quantity)
    top = max(1.0, *(y for each in lines.values() for curve in each for _, y in curve))
    axes.set_ylim(-0.03 * top, 1.05 * top)  # a curve of zeros is seen beside the axis
    tidy(axes)
    count_axis(axes)
    axes.legend(frameon=False, fontsize=8, labelcolor=MUTED)
    return _write(figure, experiment, out, note)


def _write(figure: Figure, experiment: Experiment, out: Path, note: str) -> Path:
    words = re.sub(r"[^a-z0-9]+", "-", f"{experiment.name} {note}".lower().strip())
    path = out / f"{words}.png"
    save(figure, path)
    return path
