"""Which parts of which pictures excite a neuron most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.layers import Conv2d
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.pictures._find import find_layer, find_neurons
from streamhebb.pictures._geometry import WINDOWED, field_span
from streamhebb.pictures._tiles import FRAME, Array, wall_of
from streamhebb.pictures.style import new_figure

TOGETHER = 100
SIDE = 64
"""Pixels that a picture is drawn with, about."""
MARK = (1.0, 0.55, 0.0)


class Patch(NamedTuple):
    """A part of a picture.

    Attributes:
        image: number of the picture.
        top: first row of the part; negative where it begins in the padding.
        left: first column.
        side: rows, and columns.
        drive: of the neuron that sees it.
    """

    image: int
    top: int
    left: int
    side: int
    drive: float


@torch.no_grad()
def strongest_patches(
    net: StreamNet,
    images: Tensor,
    layer: str | int | None = None,
    neurons: int | Sequence[int] | None = 5,
    *,
    count: int = 10,
    seed: int = 0,
) -> dict[int, list[Patch]]:
    """Find the parts of pictures that drive neurons of a convolution most.

    Of each picture only the part that drives a neuron most is taken, so that the ``count``
    strongest are of different pictures. Parts are found backwards through pools and convolutions.

    Args:
        net: the net; it is left as it was.
        images: shape ``(N, channels, height, width)``.
        layer: name or position of a convolution; the first layer that learns by default.
        neurons: which; or how many, drawn at random.
        count: parts for each neuron.
        seed: draws the neurons if only their number is given.

    Returns:
        By neuron, its parts, the strongest first.

    Raises:
        ConfigError: if there is no such layer or neuron, the layer is no convolution, or there are
            fewer pictures than ``count``.

    Example:
        >>> from streamhebb import Conv2d
        >>> net = StreamNet(Conv2d(1, 4, 3), input_shape=(1, 8, 8), seed=0)
        >>> found = strongest_patches(net, torch.rand(20, 1, 8, 8), neurons=[2], count=3)
        >>> len(found[2]), found[2][0].side
        (3, 3)

    Reference:
        A. Journé et al., ICLR 2023, figure 5 C and D. https://arxiv.org/abs/2209.11883
    """
    require("strongest_patches", "count", count, at_least=1, whole=True)
    position, target = find_layer("strongest_patches", net, layer)
    path: list[Any] = list(net.layers)[: position + 1]
    if len(images) < count or images.ndim != 4:
        raise ConfigError(
            f"strongest_patches: images of shape {tuple(images.shape)} are not allowed; give "
            f"(N, channels, height, width), and at least count={count} of them"
        )
    if not isinstance(target, Conv2d):
        raise ConfigError(
            f"strongest_patches: {net.names[position]} is no convolution, its neurons see the "
            f"whole picture; choose another layer"
        )
    chosen = find_neurons("strongest_patches", target.synapse.n_out, neurons, seed)
    best, where = [], []
    width = 0
    for part in torch.split(images, TOGETHER):  # type: ignore[no-untyped-call, unused-ignore]
        x = part
        for each, name in zip(path, net.names, strict=False):
            before, x = x, each.respond(x)
            if x.shape[1:] != before.shape[1:] and not isinstance(each, WINDOWED):
                raise ConfigError(
                    f"strongest_patches: no part of a picture belongs to what comes out of {name}; "
                    f"choose a layer before it"
                )
        width = x.shape[3]
        strongest = x[:, chosen].flatten(2).max(2)
        best.append(strongest.values)
        where.append(strongest.indices)
    drives, places = torch.cat(best), torch.cat(where)
    found = {}
    for column, neuron in enumerate(chosen):
        order = drives[:, column].argsort(descending=True, stable=True)[:count].tolist()
        found[neuron] = [
            _patch(path, image, int(places[image, column]), width, float(drives[image, column]))
            for image in order
        ]
    return found


def patches(
    found: Mapping[int, Sequence[Patch]], images: Tensor, *, title: str = "Strongest patches"
) -> Figure:
    """Draw parts of pictures that excite neurons most: two rows a neuron, the strongest left.

    The upper row has the pictures with the part in a box, the lower one the parts; what lies in
    the padding is blue.

    Args:
        found: by [`strongest_patches`][streamhebb.pictures.patches.strongest_patches].
        images: those it was found in; pixels lie between 0 and 1.
        title: title of the picture.

    Raises:
        ConfigError: if pictures have neither one channel nor three.

    Example:
        >>> figure = patches({3: [Patch(0, 1, 2, 5, 1.0)]}, torch.rand(1, 3, 16, 16))
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not found:
        raise ConfigError(
            f"patches: images of shape {tuple(images.shape)} cannot be drawn; give "
            f"(N, channels, height, width) with 1 or 3 channels, and at least one neuron"
        )
    scale = max(1, SIDE // max(images.shape[2:]))
    tiles: list[Array] = []
    columns = max(len(row) for row in found.values())
    for row in found.values():
        for draw in (_boxed, _cut_out):
            drawn = [draw(images[one.image], one, scale) for one in row]
            tiles += drawn + [np.ones_like(drawn[0])] * (columns - len(drawn))
    wall = wall_of(tiles, 2 * len(found), columns)
    across = 7.2
    down = across * wall.shape[0] / wall.shape[1]
    side = next(iter(found.values()))[0].side
    note = (
        f"Neurons {', '.join(map(str, found))}, two rows each: the {columns} pictures with the "
        f"part ({side}x{side})\nthat drives it most, the strongest left; below, these parts "
        f"alone, padding blue."
    )
    figure = new_figure(across, down + 0.84, title, note)
    axes = figure.add_subplot()
    axes.imshow(wall, vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    return figure


def _patch(path: Sequence[Any], image: int, place: int, width: int, drive: float) -> Patch:
    top, below = field_span(path, place // width)
    left, _ = field_span(path, place % width)
    return Patch(image, top, left, below - top, drive)


def _pixels(image: Tensor) -> Array:
    """Shape ``(height, width, 3)``."""
    found: Array = image.detach().cpu().float().clamp(0, 1).numpy().transpose(1, 2, 0)
    return np.broadcast_to(found, (*found.shape[:2], 3))


def _boxed(image: Tensor, one: Patch, scale: int) -> Array:
    """A picture with a box around the part, as far as that lies in the picture."""
    drawn = _pixels(image).repeat(scale, 0).repeat(scale, 1)
    tall, wide = drawn.shape[:2]
    top, left = (max(0, edge * scale) for edge in (one.top, one.left))
    bottom = min(tall, (one.top + one.side) * scale) - 1
    right = min(wide, (one.left + one.side) * scale) - 1
    drawn[top : bottom + 1, [left, right]] = MARK
    drawn[[top, bottom], left : right + 1] = MARK
    return drawn


def _cut_out(image: Tensor, one: Patch, scale: int) -> Array:
    """The part alone, as large as a picture; the nearest pixel is taken."""
    pixels = _pixels(image)
    tall, wide = (side * scale for side in pixels.shape[:2])
    rows = one.top + np.arange(tall) * one.side // tall
    columns = one.left + np.arange(wide) * one.side // wide
    inside = np.logical_and.outer(
        (rows >= 0) & (rows < pixels.shape[0]), (columns >= 0) & (columns < pixels.shape[1])
    )
    cut: Array = pixels[rows.clip(0, pixels.shape[0] - 1)][:, columns.clip(0, pixels.shape[1] - 1)]
    cut[~inside] = FRAME
    return cut
