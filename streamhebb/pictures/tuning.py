"""How neurons become what they are: their fields, radii and selectivity while they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from streamhebb.errors import ConfigError
from streamhebb.parts import require
from streamhebb.pictures._tiles import stretched, wall_of
from streamhebb.pictures.recorder import TuningRecorder
from streamhebb.pictures.style import BLUE, INK, MUTED, ORANGE, new_figure, tidy


def tuning_over_training(
    recorder: TuningRecorder, *, columns: int = 10, title: str | None = None
) -> Figure:
    """Draw the fields of a few neurons over training: a row is a neuron, a column a time.

    Each field is stretched by itself around mid-grey, which is 0. At the right the radius of its
    weights, and its selectivity if the recorder had probes, over the samples seen; the numbers
    are those at the end.

    Args:
        recorder: what was noted.
        columns: draw at most so many of the snapshots, evenly spread, the first and last included.
        title: title of the picture.

    Raises:
        ConfigError: for fewer than two columns.

    Example:
        >>> from streamhebb import Dense, StreamNet
        >>> recorder = TuningRecorder(StreamNet(Dense(16, 4)), neurons=2)
        >>> figure = tuning_over_training(recorder)
    """
    require("tuning_over_training", "columns", columns, at_least=2, whole=True)
    if not isinstance(recorder, TuningRecorder):
        raise ConfigError(
            f"tuning_over_training: a {type(recorder).__name__} was given; pass a TuningRecorder, "
            f"whose record() was called after every step"
        )
    kept = recorder.snapshots
    some = np.linspace(0, len(kept) - 1, min(columns, len(kept))).round().astype(int)
    shown = [kept[i] for i in some]
    neurons = len(recorder.neurons)
    at = [snapshot.sample for snapshot in kept]
    curves = {"radius": (np.stack([s.radius for s in kept]), BLUE)}
    chosen = [s.selectivity for s in kept if s.selectivity is not None]
    if chosen:
        curves["selectivity"] = (np.stack(chosen), ORANGE)
    title = title or f"Tuning of {recorder.name} over training"
    height, width = shown[0].fields.shape[2:]
    note = (
        f"{width}x{height} fields of {neurons} neurons, each stretched by itself, mid-grey is 0; "
    )
    note += "above, samples seen."
    # Inches: a curve, what stands beside it, the neuron's number, captions, the lower edge.
    panel, beside, edge, words, foot = 0.95, 0.5, 0.55, 0.22, 0.12
    across = 8.4
    room = across - edge - len(curves) * (panel + beside) - 0.1
    tile = min(room / len(shown), 0.85)
    across = max(5.2, edge + tile * len(shown) + len(curves) * (panel + beside) + 0.1)
    row = tile * height / width
    head = 0.62 + words
    down = head + row * neurons + foot
    figure = new_figure(across, down, title, note)
    figure.set_layout_engine("none")
    tiles = [stretched(s.fields[i]) for i in range(neurons) for s in shown]
    wall = wall_of(tiles, neurons, len(shown))
    place = (edge, foot, tile * len(shown), row * neurons)
    axes = figure.add_axes(_inches(place, across, down))
    axes.imshow(wall, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    small: dict[str, Any] = {"size": 8, "color": MUTED, "transform": axes.transAxes}
    for column, snapshot in enumerate(shown):
        middle = (column + 0.5) / len(shown)
        axes.text(middle, 1 + 0.05 / (row * neurons), f"{snapshot.sample:,}", ha="center", **small)
    for number, neuron in enumerate(recorder.neurons):
        middle = 1 - (number + 0.5) / neurons
        axes.text(-0.08 / place[2], middle, f"{neuron}", ha="right", va="center", **small)
    for order, (name, (values, colour)) in enumerate(curves.items()):
        left = edge + place[2] + 0.25 + order * (panel + beside)
        top = max(1.05 * np.nanmax(values), 1e-9) if np.isfinite(values).any() else 1.0
        for number in range(neurons):
            bottom = foot + row * (neurons - 1 - number) + 0.12 * row
            line = figure.add_axes(_inches((left, bottom, panel, 0.76 * row), across, down))
            curve = values[:, number]
            line.plot(at, curve, color=colour, linewidth=1.4)
            line.plot(at[-1:], curve[-1:], "o", color=colour, markersize=3)
            line.set_xlim(0, max(at[-1], 1))
            line.set_ylim(0, top)
            tidy(line)
            line.set_xticks([])
            line.set_yticks([0, 1] if top < 4 else [0, round(top)])
            line.tick_params(labelsize=6)
            words_at: dict[str, Any] = {"transform": line.transAxes, "size": 7, "va": "center"}
            line.text(1.05, curve[-1] / top, f"{curve[-1]:.2f}", color=colour, **words_at)
            if number == 0:
                line.set_title(name, size=8, color=INK, pad=6)
    return figure


def _inches(
    place: tuple[float, float, float, float], across: float, down: float
) -> tuple[float, float, float, float]:
    left, bottom, width, height = place
    return left / across, bottom / down, width / across, height / down
