"""What ran where and when: a row for each lane, and one for each worker."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from streamhebb.errors import ConfigError
from streamhebb.pictures._window import choose, length, unit_of
from streamhebb.pictures.style import INK, MUTED, new_figure, tidy
from streamhebb.schedule._chrome import nanoseconds, rows_apart
from streamhebb.schedule.report import plain
from streamhebb.schedule.trace import Event, Trace

MOST_TASKS = 5_000
"""Drawn at most: more would be dust."""
MOST_ROWS = 100
WIDTH = 10.0
"""Inches."""
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#c44e00", "#7a5fb5", "#8a8d0f",
)  # fmt: skip
"""Of the samples, in turn; neighbours differ for colour-blind eyes too."""
LATER = ("learn", "advance")
"""Tasks drawn in a lighter shade."""


def timeline(
    trace: Trace,
    *,
    first: int | None = None,
    frames: int | None = None,
    start: float | None = None,
    end: float | None = None,
    title: str = "Timeline",
) -> Figure:
    """Draw when each lane and each worker was at work on which sample.

    A sample keeps its colour through all lanes, so it can be followed on its way. Without a choice
    a few samples from the middle of the run are shown; the picture says which.

    Args:
        trace: of a run.
        first: number of the first sample to show.
        frames: how many samples to show.
        start: instead: seconds after the first task where the picture begins.
        end: and where it ends.
        title: title of the picture.

    Raises:
        ConfigError: if there is nothing to draw, or too much, or for a choice outside the trace.

    Example:
        >>> trace = Trace()
        >>> trace.add("respond 0:Dense", 0, 0, "worker 0", 0.0, 1e-4)
        >>> trace.add("learn 0:Dense", 0, 0, "worker 0", 1e-4, 2e-4)
        >>> figure = timeline(trace)
    """
    events = list(trace.events)
    if not events:
        raise ConfigError(
            "timeline: the trace is empty; give the trace of a scheduler that has run something"
        )
    spans = [(a / 1e9, b / 1e9) for a, b in nanoseconds(events)]
    begin, stop, words = choose(events, spans, first, frames, start, end)
    inside = [i for i, (a, b) in enumerate(spans) if a <= stop and b >= begin]
    if len(inside) > MOST_TASKS:
        raise ConfigError(
            f"timeline: {len(inside):,} tasks run in the part to show; at most {MOST_TASKS:,} can "
            f"be drawn: choose fewer frames"
        )
    lanes = {lane: plain(name) for lane, name in trace.lanes().items()}
    busy = trace.busy()
    workers = {name: plain(name) for name in busy}
    if len(lanes) + len(workers) > MOST_ROWS:
        raise ConfigError(
            f"timeline: {len(lanes)} lanes and {len(workers)} workers; at most {MOST_ROWS} rows "
            f"can be drawn"
        )
    factor, unit = unit_of(stop - begin)
    number = len({event.frame for event in events})
    whole = max(b for _, b in spans)
    heading = f"{plain(title, 60)}: {number:,} sample{'s' * (number != 1)} in {length(whole)}"
    key = "A sample keeps its colour in all rows, and has its number where there is room."
    if any(events[i].part for i in inside):
        key += " Low bars: parts of a task that another worker took over."
    lines = (_busy_words(trace, busy), words + _lost(trace), key)
    note = "\n".join(textwrap.fill(line, 140) for line in lines)
    tall = 0.34 * (len(lanes) + len(workers))
    figure = new_figure(WIDTH, tall + 1.75 + 0.19 * note.count("\n"), heading, note)
    grid: Any = figure.add_gridspec(2, 1, height_ratios=(len(lanes), len(workers)))
    above = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=above)
    scale = factor, (begin * factor, stop * factor)
    shown = [(events[i], spans[i]) for i in inside]
    _bars(above, [s for s in shown if not s[0].part], "lane", list(lanes), scale)
    _bars(below, shown, "worker", list(workers), scale)
    for axes, names, label in (
        (above, list(lanes.values()), "lanes"),
        (below, list(workers.values()), "workers"),
    ):
        axes.set_ylim(len(names) - 0.4, -0.6)
        tidy(axes, grid="x")
        axes.set_yticks(range(len(names)), names, parse_math=False, color=INK)
        axes.tick_params(axis="y", length=0)
        axes.set_ylabel(label)
    for row, share in enumerate(busy.values()):
        at: dict[str, Any] = {"transform": below.get_yaxis_transform(), "va": "center", "size": 8}
        below.text(1.005, row, f"{100 * share:.0f} %", color=MUTED, **at)
    below.text(
        1.005,
        -0.62,
        "busy",
        transform=below.get_yaxis_transform(),
        va="bottom",
        size=8,
        color=MUTED,
    )
    above.set_xlim(*scale[1])
    above.tick_params(labelbottom=False)
    below.ticklabel_format(axis="x", useOffset=False, style="plain")
    below.set_xlabel(f"time since the first task ({unit})")
    figure.legend(
        handles=_legend([event for event, _ in shown]), loc="outside lower left", ncols=4,
        frameon=False, fontsize=8, labelcolor=INK,
    )  # fmt: skip
    return figure


def _busy_words(trace: Trace, busy: dict[str, float]) -> str:
    shares = [f"{plain(name)} {100 * share:.0f} %" for name, share in busy.items()]
    if len(shares) > 4:
        low, high = min(busy.values()), max(busy.values())
        shares = [f"{len(busy)} workers, each {100 * low:.0f} to {100 * high:.0f} %"]
    several = f"; two or more at once {100 * trace.overlap():.0f} % of the time that any was"
    return f"Busy over the whole run: {', '.join(shares)}{several * (len(busy) > 1)}."


def _lost(trace: Trace) -> str:
    return f" {trace.lost:,} later tasks were not recorded." if trace.lost else ""


def _bars(
    axes: Axes,
    shown: Sequence[tuple[Event, tuple[float, float]]],
    key: str,
    names: Sequence[Any],
    scale: tuple[float, tuple[float, float]],
) -> None:
    """A bar for each task; those that overlap in a row share its height."""
    factor, (left, right) = scale
    row_of = {name: row for row, name in enumerate(names)}
    keys = [getattr(event, key) for event, _ in shown]
    whole = [(round(1e9 * a), round(1e9 * b)) for _, (a, b) in shown]
    copies = rows_apart(whole, keys, nested=key == "worker")
    most: dict[Any, int] = {}
    for name, copy in copies:
        most[name] = max(most.get(name, 0), copy + 1)
    per_inch = (right - left) / (WIDTH - 2.2)  # roughly: for the numbers only
    together: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for (event, (a, b)), (name, copy) in zip(shown, copies, strict=True):
        height = 0.8 / most[name] * (0.6 if event.part else 1.0)
        middle = row_of[name] - 0.4 + 0.8 * (copy + 0.5) / most[name]
        bar = a * factor, (b - a) * factor
        light = event.name.partition(" ")[0] in LATER
        together.setdefault((middle, height, event.frame % len(COLOURS), light), []).append(bar)
        seen = max(bar[0], left), min(bar[0] + bar[1], right)
        if seen[1] - seen[0] > (0.07 * len(str(event.frame)) + 0.05) * per_inch:
            dark = light or _brightness(COLOURS[event.frame % len(COLOURS)]) > 0.55
            axes.text(
                (seen[0] + seen[1]) / 2, middle, str(event.frame), ha="center", va="center",
                size=7 if height > 0.5 else 5.5, color=INK if dark else "white", clip_on=True,
                zorder=3,
            )  # fmt: skip
    for (middle, height, colour, light), bars in sorted(together.items(), key=lambda i: -i[0][1]):
        axes.broken_barh(bars, (middle - height / 2, height), **_look(COLOURS[colour], light))


def _look(colour: str, light: bool) -> dict[str, Any]:
    """How a task is drawn: learning is lighter."""
    if not light:
        return {"facecolor": colour, "edgecolor": "white", "linewidth": 0.4}
    pale = tuple(0.32 * c + 0.68 for c in to_rgb(colour))  # a hatch would hide the numbers
    return {"facecolor": pale, "edgecolor": colour, "linewidth": 0.7}


def _brightness(colour: str) -> float:
    red, green, blue = to_rgb(colour)
    return 0.3 * red + 0.59 * green + 0.11 * blue


def _legend(events: Sequence[Event]) -> list[Patch]:
    verbs = {event.name.partition(" ")[0] for event in events}
    solid, light = sorted(verbs - set(LATER)), sorted(verbs & set(LATER))
    found = []
    if solid:
        name = "respond" if solid == ["respond"] else "respond, or another task"
        found.append(Patch(label=name, **_look("#52606d", False)))
    if light:
        found.append(Patch(label=" or ".join(light), **_look("#52606d", True)))
    return found
