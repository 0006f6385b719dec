"""How well a net predicts, over the stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from streamhebb.errors import ConfigError
from streamhebb.pictures.style import (
    BLUE,
    MUTED,
    ORANGE,
    as_array,
    count_axis,
    new_figure,
    tidy,
)


def learning_curve(
    samples: Any,
    accuracy: Any,
    window_accuracy: Any = None,
    *,
    window: int | None = None,
    chance: float | None = None,
    title: str = "Learning curve",
) -> Figure:
    """Draw prequential accuracy (each sample is predicted before it is learned) over the stream.

    Args:
        samples: how many samples had been seen, shape ``(n,)``.
        accuracy: accuracy over all of them, 0 to 1, shape ``(n,)``; ``None`` where unknown.
        window_accuracy: accuracy over the last ``window`` samples, shape ``(n,)``.
        window: length of that window.
        chance: accuracy of a guess, drawn as a dashed line.
        title: title of the picture.

    Raises:
        ConfigError: if the arrays differ in length.

    Example:
        >>> figure = learning_curve([10, 20, 30], [0.1, 0.4, 0.6], chance=0.1)
    """
    lines = {"all samples so far": (accuracy, BLUE, 1.4)}
    if window_accuracy is not None:
        name = f"last {window:,} samples" if window else "window"
        lines[name] = (window_accuracy, ORANGE, 2.0)
    x = as_array(samples)
    note = "Share of samples predicted correctly, each before the net learned from it."
    figure = new_figure(7.2, 4.2, title, note)
    axes = figure.add_subplot()
    for name, (values, colour, width) in lines.items():
        y = as_array(values)
        if y.shape != x.shape:
            raise ConfigError(
                f"learning_curve: {len(x)} samples but {len(y)} values of {name!r}; give one each"
            )
        # A single point, of a very short run, would be invisible as a line.
        marker = "o" if np.isfinite(y).sum() < 2 else None
        axes.plot(x, y, color=colour, linewidth=width, marker=marker, label=name)
    if chance is not None:
        axes.axhline(chance, color=MUTED, linestyle=(0, (5, 4)), linewidth=1)
        across = axes.get_yaxis_transform()
        words: dict[str, Any] = {"ha": "right", "va": "bottom", "size": 8, "color": MUTED}
        axes.text(0.99, chance + 0.01, f"chance {100 * chance:.3g} %", transform=across, **words)
    axes.set_ylim(0, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6), [f"{p} %" for p in range(0, 101, 20)])
    axes.set_xlim(0, max(float(x.max()), 1.0) if x.size else 1.0)
    axes.set_xlabel("samples seen")
    axes.set_ylabel("prequential accuracy")
    count_axis(axes)
    tidy(axes)
    # Lower right, where curves seldom are, but above the line of chance.
    above = 0.0 if chance is None or chance > 0.4 else chance + 0.06
    axes.legend(loc="lower right", bbox_to_anchor=(1, above), frameon=False, fontsize=8)
    return figure
