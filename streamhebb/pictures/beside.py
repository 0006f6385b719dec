"""Kernels of several nets side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from streamhebb.errors import ConfigError
from streamhebb.pictures._tiles import Array, by_structure, full_range, wall_of
from streamhebb.pictures.style import INK, as_array, new_figure


def kernels_beside(
    kernels: Mapping[str, Any], *, limit: int | None = None, title: str = "Kernels"
) -> Figure:
    """Draw kernels of several nets side by side, each stretched to [0, 1].

    The most structured come first: those of the largest standard deviation over the places of a
    kernel, in the mean over its input channels.

    Args:
        kernels: by the net's name, shape ``(n_out, channels, height, width)``.
        limit: draw at most so many of each.
        title: title of the picture.

    Raises:
        ConfigError: if there are none, or they are no pictures.

    Example:
        >>> import torch
        >>> figure = kernels_beside(
        ...     {"one": torch.randn(8, 3, 5, 5), "two": torch.randn(8, 3, 5, 5)}
        ... )

    Reference:
        A. Journé et al., ICLR 2023, figure B.5. https://arxiv.org/abs/2209.11883
    """
    found: dict[str, Array] = {name: as_array(each) for name, each in kernels.items()}
    for name, each in found.items():
        if each.ndim != 4 or not each.size or each.shape[2] * each.shape[3] < 2:
            raise ConfigError(
                f"kernels_beside: kernels of {name!r} have shape {each.shape}; it must be (n_out, "
                f"channels, height, width), with more than one place"
            )
    if not found:
        raise ConfigError("kernels_beside: there are no kernels; give those of one net at least")
    most = max(len(each[:limit]) for each in found.values())
    columns = max(1, math.ceil(math.sqrt(most / 1.5)))
    rows = math.ceil(most / columns)
    walls = {
        name: wall_of([full_range(each[k]) for k in by_structure(each)[:limit]], rows, columns)
        for name, each in found.items()
    }
    height, width = next(iter(walls.values())).shape[:2]
    across = 2.6 * len(walls)
    down = 2.6 * height / width
    note = "Each stretched to its own range; the most structured first."
    figure = new_figure(max(across, 4.0), down + 0.9, title, note)
    for number, (name, wall) in enumerate(walls.items(), 1):
        axes = figure.add_subplot(1, len(walls), number)
        axes.imshow(wall, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(name, fontsize=9, color=INK)
        axes.set_axis_off()
    return figure
