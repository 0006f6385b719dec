"""One look for all pictures, set on each figure and never globally."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from streamhebb.errors import ConfigError
from streamhebb.snapshot import replace

INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e4e7eb"
BLUE = "#1f6fb2"
ORANGE = "#d9730d"
DPI = 150


def new_figure(width: float, height: float, title: str, note: str = "") -> Figure:
    """Return an empty figure with a title at the top left and a smaller note below it.

    Args:
        width: inches.
        height: inches.
        title: what the picture shows.
        note: how to read it; may have several lines.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    lines = note.count("\n") + 1 if note else 0
    top = 0.34 + 0.19 * lines  # inches that the two texts take
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.01, 0.01, 0.98, 1 - top / height - 0.01))
    left = 0.12 / width
    # A long title gets smaller letters: a bold one is 0.68 of its size wide on average.
    size = min(11.0, 72 * (width - 0.24) / (0.68 * max(1, len(title))))
    figure.text(left, 1 - 0.10 / height, title, va="top", size=size, weight="bold", color=INK)
    if note:
        at = 1 - 0.33 / height
        figure.text(left, at, note, va="top", size=8, color=MUTED, linespacing=1.4)
    return figure


def tidy(axes: Axes, *, grid: str = "y") -> None:
    """Thin lines, no box, muted ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=8, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(9)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]


def count_axis(axes: Axes) -> None:
    """Whole numbers with thousands apart on the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def as_array(values: Any) -> np.ndarray[Any, Any]:
    """Bring a tensor or sequence to a float array on the CPU; ``None`` entries become NaN."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=float)


def png(figure: Figure) -> bytes:
    """Return the figure as the bytes of a PNG file.

    Example:
        >>> from streamhebb.pictures import radii
        >>> png(radii({"layer": [1.0, 2.0]}))[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure as a PNG file, whole or not at all.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    path = Path(path)
    try:
        replace(path, png(figure))
    except OSError as error:
        raise ConfigError(
            f"cannot write the picture {path}: {error}; free some space or choose another folder"
        ) from error
    return path
