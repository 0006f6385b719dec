"""Little pictures, and walls of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamhebb.errors import ConfigError

Array = np.ndarray[Any, Any]

FRAME = (0.12, 0.44, 0.70)
GAP = 3


def as_pictures(weight: Array, shape: Sequence[int] | None) -> Array:
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


def stretched(kernel: Array) -> Array:
    """``(channels, h, w)`` to ``(h, w, 3)`` in [0, 1], with 0.5 for a weight of 0."""
    if len(kernel) not in (1, 3):
        kernel = kernel.mean(0, keepdims=True)
    top = np.abs(kernel).max()
    picture = 0.5 + kernel / (2 * top) if top > 0 else np.full(kernel.shape, 0.5)
    return np.broadcast_to(picture.transpose(1, 2, 0), (*kernel.shape[1:], 3))


def full_range(kernel: Array) -> Array:
    """``(channels, h, w)`` to ``(h, w, 3)``, its least value at 0 and its largest at 1."""
    if len(kernel) not in (1, 3):
        kernel = kernel.mean(0, keepdims=True)
    kernel = kernel - kernel.min()
    top = kernel.max()
    picture = kernel / top if top > 0 else kernel
    return np.broadcast_to(picture.transpose(1, 2, 0), (*kernel.shape[1:], 3))


def by_structure(kernels: Array) -> Array:
    """Order of kernels, the most structured first, as published.

    By the standard deviation over the places of a kernel, in the mean over its input channels.
    """
    spread = kernels.reshape(*kernels.shape[:2], -1).std(2, ddof=1).mean(1)
    return np.argsort(-spread, kind="stable")


def wall_of(tiles: Sequence[Array], rows: int, columns: int) -> Array:
    """Lay tiles out in a grid, each in a thin frame that tells white weights from the paper."""
    height, width = tiles[0].shape[:2]
    scale = max(1, math.ceil(36 / max(height, width)))  # so that a gap is thin beside a tile
    tall, wide, gap = height * scale + 2, width * scale + 2, GAP
    wall = np.ones((rows * (tall + gap) - gap, columns * (wide + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        y, x = (i // columns) * (tall + gap), (i % columns) * (wide + gap)
        wall[y : y + tall, x : x + wide] = FRAME
        inner = tile.repeat(scale, 0).repeat(scale, 1)
        wall[y + 1 : y + tall - 1, x + 1 : x + wide - 1] = inner
    return wall
