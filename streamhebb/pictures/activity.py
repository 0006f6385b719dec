"""Who answered when: the winners of each layer over the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from streamhebb.errors import ConfigError
from streamhebb.pictures.style import INK, MUTED, as_array, count_axis, new_figure, tidy

Array = np.ndarray[Any, Any]


def activity_over_time(
    samples: Any, shares: Mapping[str, Any], *, title: str = "Activity over time"
) -> Figure:
    """Draw how often each neuron won, over the stream: one row of dots a neuron, one map a layer.

    Neurons stand in the order of the time at which they won on average, so that early ones lie
    at the bottom and neurons that serve one scene only stand out as a streak.

    Args:
        samples: how many samples had been seen at each point of time, shape ``(n,)``.
        shares: layer name to the share of competitions that each neuron won, 0 to 1, shape
            ``(n, n_out)``.
        title: title of the picture.

    Raises:
        ConfigError: if a map does not fit ``samples``.

    Example:
        >>> figure = activity_over_time([1, 2], {"1:Conv2d": [[0.2, 0.8], [0.5, 0.5]]})
    """
    at = as_array(samples)
    if not shares or not at.size:
        raise ConfigError("activity_over_time: there is nothing to draw; pass at least one layer")
    note = "Share of competitions that each neuron won; neurons in order of when they won."
    figure = new_figure(7.2, 0.75 + 2.6 * len(shares), title, note)
    rows = figure.subplots(len(shares), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, shares.items(), strict=True):
        map_ = as_array(values)
        if map_.ndim != 2 or len(map_) != len(at):
            raise ConfigError(
                f"activity_over_time: {name} has shape {map_.shape}; it must be ({len(at)}, n_out)"
            )
        map_ = map_[:, _by_time(map_, at)]
        # Roots: a few strong neurons must not leave the others black.
        norm = PowerNorm(0.5, vmin=0, vmax=max(float(map_.max()), 1e-9))
        edges = np.concatenate([[0.0], at])
        neurons = np.arange(map_.shape[1] + 1)
        mesh = axes.pcolormesh(edges, neurons, map_.T, cmap="magma", norm=norm, rasterized=True)
        bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=14)
        bar.ax.yaxis.set_major_locator(MaxNLocator(3))
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        bar.ax.tick_params(colors=MUTED, labelsize=8, length=3)
        bar.outline.set_visible(False)
        axes.set_title(name, loc="left", size=9, color=INK)
        axes.set_title(_summary(map_), loc="right", size=8, color=MUTED)
        axes.set_ylabel("neuron")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        count_axis(axes)
        tidy(axes, grid="")
    rows[-1].set_xlabel("samples seen")
    return figure


def _by_time(map_: Array, at: Array) -> Array:
    """Neurons ordered by their mean time of winning; those that never win come last."""
    total = map_.sum(0)
    mean = (map_ * at[:, None]).sum(0) / np.maximum(total, 1e-12)
    return np.argsort(np.where(total > 0, mean, np.inf), kind="stable")


def _summary(map_: Array) -> str:
    """Of the last tenth: how many neurons win, and how evenly."""
    last = map_[-max(1, len(map_) // 10) :].mean(0)
    share = last / max(float(last.sum()), 1e-12)
    spread = np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())
    return (
        f"at the end {int((last > 0).sum())} of {map_.shape[1]} neurons win, as many as "
        f"{spread:.0f} evenly used ones"
    )
