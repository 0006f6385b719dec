"""A search as a picture: accuracy against each parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from streamhebb.pictures.style import BLUE, MUTED, ORANGE, new_figure, save, tidy
from streamhebb.search.objective import Search
from streamhebb.search.outcome import Outcome
from streamhebb.search.space import Parameter, Value

COLUMNS = 3


def plot(search: Search, outcomes: Sequence[Outcome], path: Path) -> Path | None:
    """Draw every trial once for each parameter: complete ones filled, those ended early hollow.

    Returns:
        Path of the picture, or ``None`` if there is nothing to draw.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    shown = [one for one in outcomes if one.accuracy is not None or one.prequential]
    varied = [p for p in search.space.parameters if p.key != "seed"] or search.space.parameters
    if not shown:
        return None
    columns = min(COLUMNS, len(varied))
    rows = math.ceil(len(varied) / columns)
    note = "Filled: accuracy on held-out samples. Hollow: ended early, last prequential accuracy."
    width = max(5.4, 3.4 * columns)
    title = f"{search.trial.net}: search over {search.space.name}"
    figure = new_figure(width, 0.6 + 2.8 * rows, title, note)
    for place, parameter in enumerate(varied, 1):
        axes = figure.add_subplot(rows, columns, place)
        _draw(axes, parameter, shown)
    return save(figure, path)


def _draw(axes: Axes, parameter: Parameter, shown: Sequence[Outcome]) -> None:
    words: list[Value] = [v for v in parameter.values if isinstance(v, (str, bool))]

    def at(value: Value) -> float:
        return words.index(value) if words else float(value)

    done = [one for one in shown if one.accuracy is not None]
    ended = [one for one in shown if one.accuracy is None]
    axes.plot(
        [at(one.point[parameter.name]) for one in done],
        [100 * (one.accuracy or 0.0) for one in done],
        ls="", marker="o", ms=4, color=BLUE,
    )  # fmt: skip
    axes.plot(
        [at(one.point[parameter.name]) for one in ended],
        [100 * one.prequential[-1][1] for one in ended],
        ls="", marker="o", ms=4, mfc="none", color=ORANGE,
    )  # fmt: skip
    if words:
        axes.set_xticks(range(len(words)), [str(word) for word in words], rotation=30, ha="right")
        axes.set_xlim(-0.5, len(words) - 0.5)
    elif _logarithmic(parameter):
        axes.set_xscale("log")
    axes.set_xlabel(parameter.name)
    axes.set_ylabel("accuracy, %")
    tidy(axes)
    axes.tick_params(colors=MUTED)


def _logarithmic(parameter: Parameter) -> bool:
    """Whether values are spread over decades."""
    numbers = [float(v) for v in parameter.values if not isinstance(v, str)]
    if not numbers:
        return parameter.log
    return min(numbers) > 0 and max(numbers) / min(numbers) > 20
