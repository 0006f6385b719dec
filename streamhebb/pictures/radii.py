"""How far neurons have come: the radii of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from streamhebb.errors import ConfigError
from streamhebb.net import StreamNet
from streamhebb.pictures._find import plastic_layers
from streamhebb.pictures.style import BLUE, INK, MUTED, ORANGE, as_array, new_figure, tidy

Array = np.ndarray[Any, Any]

SPREAD = 30
"""With the largest radius so many times the median, the axis is logarithmic."""


def radii(layers: StreamNet | Mapping[str, Any], *, title: str = "Weight radii") -> Figure:
    """Draw how the radii of weights are spread over the neurons, one row a layer.

    Args:
        layers: a net; or layer name to radii (norms of the weights), shape ``(n_out,)``.
        title: title of the picture.

    Raises:
        ConfigError: if there is no layer that learns weights.

    Example:
        >>> figure = radii({"1:Conv2d": [0.9, 1.0, 1.2, 3.0]})
    """
    if isinstance(layers, StreamNet):
        found = plastic_layers("radii", layers)
        layers = {name: layer.radius() for name, layer in found.items()}
    if not layers:
        raise ConfigError("radii: there is no layer to draw; pass at least one with weights")
    note = "Length of each neuron's weight vector. Rules that normalise pull it towards 1 (dashed)."
    figure = new_figure(7.2, 0.75 + 1.75 * len(layers), title, note)
    rows = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(rows, layers.items(), strict=True):
        values = as_array(values)
        good = values[np.isfinite(values)]
        bins = _bins(good)
        axes.hist(good.clip(bins[0], bins[-1]), bins=bins.tolist(), color=BLUE)
        axes.axvline(1, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.set_xlim(bins[0], bins[-1])
        if bins[0] > 0:
            axes.set_xscale("log")
        axes.set_title(name, loc="left", size=9, color=INK)
        mean = f"mean {good.mean():.3g}" if good.size else "no mean"
        if good.size < len(values):
            mean += f", {len(values) - good.size} not finite"
        axes.set_title(f"{len(values)} neurons, {mean}", loc="right", size=8, color=MUTED)
        axes.set_ylabel("neurons")
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        tidy(axes)
    rows[-1].set_xlabel("radius")
    return figure


def _bins(values: Array) -> Array:
    """Sixty bins with 1 in sight: from 0 on, or in powers of ten where radii lie far apart."""
    top = max(1.25, float(values.max()) * 1.03) if values.size else 1.25
    if values.size and top > SPREAD * max(1.0, float(np.median(values))):
        low = max(min(0.8, float(values.min())), 1e-3)
        return np.geomspace(low, top, 61)
    return np.linspace(0, top, 61)
