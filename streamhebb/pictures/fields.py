"""What neurons respond to: their weights as little pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from streamhebb.errors import ConfigError
from streamhebb.pictures.style import as_array, new_figure

Array = np.ndarray[Any, Any]

MOST = 144
"""Neurons drawn when no limit is given."""
FRAME = (0.12, 0.44, 0.70)


def receptive_fields(
    weight: Any,
    *,
    shape: Sequence[int] | None = None,
    wins: Any = None,
    limit: int = MOST,
    title: str = "Receptive fields",
) -> Figure:
    """Draw the weights of neurons, each stretched by itself around mid-grey, which is 0.

    Weights of three input channels are shown in colour, of one in grey; of others their mean over
    the channels. Neurons stand in the order in which they win most often, or without ``wins``
    in the order of their contrast: weights that are structured first, flat ones last.

    Args:
        weight: ``(n_out, channels, height, width)`` or ``(n_out, n_in)``.
        shape: shape ``(channels, height, width)`` of the input of dense neurons; by default a
            square, grey if ``n_in`` is a square number, else in colour.
        wins: how often each neuron wins, shape ``(n_out,)``.
        limit: draw at most so many neurons.
        title: title of the picture.

    Raises:
        ConfigError: if the weights cannot be shown as pictures.

    Example:
        >>> import torch
        >>> figure = receptive_fields(torch.randn(32, 1, 5, 5))
    """
    kernels = _as_pictures(as_array(weight), shape)
    order, how = _order(kernels, wins)
    shown = order[:limit]
    tiles = [_stretched(kernels[i]) for i in shown]
    columns = max(4, math.ceil(math.sqrt(len(tiles) * 1.5)))
    rows = math.ceil(len(tiles) / columns)
    wall = _wall(tiles, rows, columns)
    count = f"{len(tiles)} of {len(kernels)}" if len(tiles) < len(kernels) else f"{len(tiles)}"
    channels, height, width = kernels.shape[1:]
    note = (
        f"{count} neurons, {width}x{height} weights each, {how}; each stretched by itself, "
        f"mid-grey is 0."
    )
    if channels not in (1, 3):
        note += f" Mean over {channels} input channels."
    across = 7.2
    down = across * wall.shape[0] / wall.shape[1]
    figure = new_figure(across, down + 0.65, title, note)
    axes = figure.add_subplot()
    axes.imshow(wall, vmin=0, vmax=1, cmap="gray", interpolation="nearest")
    axes.set_axis_off()
    return figure


def _as_pictures(weight: Array, shape: Sequence[int] | None) -> Array:
    """Bring weights to ``(n_out, channels, height, width)``."""
    if weight.ndim == 2:
        n_in = weight.shape[1]
        side = math.isqrt(n_in)
        colour = math.isqrt(n_in // 3)
        if shape is None and side * side == n_in:
            shape = (1, side, side)
        elif shape is None and n_in % 3 == 0 and colour * colour * 3 == n_in:
            shape = (3, colour, colour)
        if shape is None or len(shape) != 3 or math.prod(shape) != n_in:
            raise ConfigError(
                f"receptive_fields: weights of shape {weight.shape} are no pictures of shape "
                f"{shape}; pass shape=(channels, height, width) of the layer's input"
            )
        weight = weight.reshape(-1, *shape)
    if weight.ndim != 4 or not weight.size:
        raise ConfigError(
            f"receptive_fields: weight has shape {weight.shape}; it must be (n_out, channels, "
            f"height, width) or (n_out, n_in)"
        )
    return weight


def _order(kernels: Array, wins: Any) -> tuple[Array, str]:
    if wins is not None:
        wins = as_array(wins)
        if wins.shape != (len(kernels),):
            raise ConfigError(
                f"receptive_fields: wins has shape {wins.shape}; it must be ({len(kernels)},)"
            )
        return np.argsort(-wins, kind="stable"), "the most frequent winners first"
    flat = kernels.reshape(len(kernels), -1)
    contrast = flat.std(1) / (np.linalg.norm(flat, axis=1) + 1e-12)
    return np.argsort(-contrast, kind="stable"), "the strongest contrast first"


def _stretched(kernel: Array) -> Array:
    """``(channels, h, w)`` to ``(h, w, 3)`` in [0, 1], with 0.5 for a weight of 0."""
    if len(kernel) not in (1, 3):
        kernel = kernel.mean(0, keepdims=True)
    top = np.abs(kernel).max()
    picture = 0.5 + kernel / (2 * top) if top > 0 else np.full(kernel.shape, 0.5)
    return np.broadcast_to(picture.transpose(1, 2, 0), (*kernel.shape[1:], 3))


def _wall(tiles: Sequence[Array], rows: int, columns: int) -> Array:
    """Lay tiles out in a grid, each in a thin frame that tells white weights from the paper."""
    height, width = tiles[0].shape[:2]
    scale = max(1, math.ceil(36 / max(height, width)))  # so that a gap is thin beside a tile
    tall, wide, gap = height * scale + 2, width * scale + 2, 3
    wall = np.ones((rows * (tall + gap) - gap, columns * (wide + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        y, x = (i // columns) * (tall + gap), (i % columns) * (wide + gap)
        wall[y : y + tall, x : x + wide] = FRAME
        inner = tile.repeat(scale, 0).repeat(scale, 1)
        wall[y + 1 : y + tall - 1, x + 1 : x + wide - 1] = inner
    return wall
