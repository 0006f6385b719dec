"""When neurons spike: each spike a mark, with rates beside and below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.pictures.style import BLUE, INK, MUTED, ORANGE, new_figure, tidy

Array = np.ndarray[Any, Any]

MOST = 200
"""Neurons drawn when no limit is given."""
COLUMNS = 2000
"""Marks of one neuron side by side; spikes closer together than that coincide on the page."""
BINS = 120
"""Of the rate over time, at most."""
LABELS = 24
"""Names of spans that fit above the picture."""


def spike_raster(
    spikes: Any,
    *,
    step: float = 0.001,
    spans: Sequence[tuple[float, float, Any]] = (),
    limit: int = MOST,
    title: str = "Spikes",
) -> Figure:
    """Draw spikes over time: one row of marks a neuron, its rate beside, all neurons' rate below.

    Of more than ``limit`` neurons only every so-manieth is drawn, evenly spread over the layer,
    and the picture says so; the rate over time and the words count all of them.

    Args:
        spikes: 0 or 1, shape ``(T, n)`` or ``(T, n, ...)``; what follows T is flattened.
        step: seconds per time step.
        spans: begin and end in seconds, and the label of what was shown meanwhile.
        limit: draw at most so many neurons.
        title: title of the picture.

    Raises:
        ConfigError: if ``spikes`` are not 0 and 1 or have no time, or for a span outside them.

    Example:
        >>> import torch
        >>> figure = spike_raster(torch.rand(100, 20) < 0.1, spans=[(0, 0.05, "a")])
    """
    require("spike_raster", "step", step, above=0)
    require("spike_raster", "limit", limit, at_least=1, whole=True)
    fired = _binary(spikes)
    total, neurons = fired.shape
    seconds = total * step
    shown = np.unique(np.linspace(0, neurons - 1, min(limit, neurons)).round().astype(int))
    note = "Each mark is a spike; on the right each neuron's rate, below the mean rate of all."
    if len(shown) < neurons:
        note += f"\nDrawn are {len(shown)} of {neurons:,} neurons, evenly spread over the layer."
    tall = float(np.clip(0.022 * len(shown), 1.6, 4.4))
    figure = new_figure(7.2, tall + 2.1 + 0.19 * note.count("\n"), title, note)
    grid: Any = figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(tall, 0.9))
    marks = figure.add_subplot(grid[0, 0])
    beside = figure.add_subplot(grid[0, 1], sharey=marks)
    below = figure.add_subplot(grid[1, 0], sharex=marks)
    _marks(marks, fired[:, shown], shown, step, tall)
    rate = fired[:, shown].sum(0) / seconds
    apart = neurons / len(shown)
    beside.barh(shown, rate, height=apart, color=BLUE, linewidth=0)
    _over_time(below, fired, step)
    marks.set_xlim(0, seconds)
    marks.set_ylim(-apart / 2, neurons - 1 + apart / 2)
    marks.set_ylabel("neuron")
    marks.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    marks.yaxis.set_major_formatter(lambda neuron, _: f"{neuron:,.0f}")
    silent = int((~fired.any(0)).sum())
    words = f"{neurons:,} neurons, {silent:,} silent, mean rate {fired.mean() / step:.3g} Hz"
    below.set_title(words, loc="right", size=8, color=MUTED)
    beside.set_title("rate (Hz)", size=8, color=INK)
    beside.xaxis.set_major_locator(MaxNLocator(2))
    beside.set_xlim(left=0)
    below.set_xlabel("time (s)")
    below.set_ylabel("rate (Hz)")
    for axes in (marks, beside, below):
        tidy(axes, grid="")
    marks.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    _spans(marks, below, spans, seconds)
    return figure


def _binary(spikes: Any) -> Array:
    """Spikes as booleans, shape ``(T, neurons)``."""
    if hasattr(spikes, "detach"):
        spikes = spikes.detach().cpu()
        spikes = (spikes.float() if spikes.is_floating_point() else spikes).numpy()
    values = np.asarray(spikes)  # kept as it is: rasters are large
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"spike_raster: spikes of type {values.dtype} are not 0 and 1")
    if values.ndim < 2 or not values.size:
        raise ConfigError(
            f"spike_raster: spikes have shape {values.shape}; they must be (T, n) or (T, n, ...), "
            f"time first, and not empty"
        )
    odd = values[(values != 0) & (values != 1)]
    if odd.size:
        raise ConfigError(
            f"spike_raster: {odd.size} values are neither 0 nor 1, such as {odd[0]:g}; of counts "
            f"or analog values pass where they are spikes, for example spikes > 0"
        )
    fired: Array = values.reshape(len(values), -1) > 0
    return fired


def _marks(axes: Axes, fired: Array, names: Array, step: float, tall: float) -> None:
    """One mark a spike, in the middle of its time step."""
    total, rows = fired.shape
    at, row = fired.nonzero()
    if total > COLUMNS:
        column = at * COLUMNS // total
        _, first = np.unique(column * rows + row, return_index=True)
        at, row = at[first], row[first]
    size = 72 * tall / rows  # points from row to row
    axes.scatter(
        (at + 0.5) * step, names[row], marker="|", s=max(1.8, 0.8 * size) ** 2, color=INK,
        linewidths=0.7 if rows > 40 else 1.0, rasterized=True,
    )  # fmt: skip


def _over_time(axes: Axes, fired: Array, step: float) -> None:
    """Mean rate of all neurons in bins of whole time steps."""
    total, neurons = fired.shape
    length = max(1, -(-total // BINS))
    starts = np.arange(0, total, length)
    ends = np.minimum(starts + length, total)
    rate = np.add.reduceat(fired.sum(1), starts) / (neurons * (ends - starts) * step)
    axes.stairs(rate, np.append(starts, total) * step, fill=True, color=BLUE, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _spans(marks: Axes, below: Axes, spans: Sequence[tuple[float, float, Any]], end: float) -> None:
    """Bands, and as many of their labels above as fit."""
    every = -(-len(spans) // LABELS)
    for number, (begin, stop, label) in enumerate(spans):
        if not 0 <= begin < stop <= end * (1 + 1e-9):
            raise ConfigError(
                f"spike_raster: span {number} from {begin:g} s to {stop:g} s is not allowed; it "
                f"must begin before it ends, and lie between 0 and {end:g} s"
            )
        for axes in (marks, below):
            axes.axvspan(
                begin, stop, color=ORANGE, alpha=0.14 if number % 2 else 0.05, linewidth=0, zorder=0
            )
        if number % every == 0:
            words: dict[str, Any] = {"ha": "center", "va": "bottom", "size": 8, "color": INK}
            at = marks.get_xaxis_transform()
            marks.text((begin + stop) / 2, 1.01, str(label), transform=at, **words)
