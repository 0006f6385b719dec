"""What neurons respond to: their weights, or the inputs they prefer, as little pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from streamhebb.errors import ConfigError
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.pictures._find import find_layer, find_neurons, sees_input
from streamhebb.pictures._tiles import (
    Array,
    as_pictures,
    by_structure,
    full_range,
    stretched,
    wall_of,
)
from streamhebb.pictures.preferred import START, preferred_inputs, projected
from streamhebb.pictures.style import as_array, new_figure

MOST = 144
"""Neurons drawn when no limit is given."""
MOST_CLIMB = 36
"""The same for deeper layers, whose pictures take time."""
PUBLISHED = 72
"""Neurons of each layer in the published figure."""


def receptive_fields(
    net: Any,
    layer: str | int | None = None,
    *,
    shape: Sequence[int] | None = None,
    wins: Any = None,
    limit: int | None = None,
    steps: int = 500,
    rate: float = 0.001,
    seed: int = 0,
    published: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw what neurons respond to, each stretched by itself around mid-grey, which is 0.

    Of a layer that sees the input itself (through nothing but a normalisation or ``Flatten``) these
    are the weights. Of deeper layers they are the inputs that drive the neurons most, found by
    [`preferred_inputs`][streamhebb.pictures.preferred.preferred_inputs]: some seconds for 36
    neurons. The published figures then draw the absolute value of these inputs; here negative
    values stay darker than 0, as they are in weights.

    Pictures of three input channels are shown in colour, of one in grey; of others their mean over
    the channels. Neurons stand in the order in which they win most often. Without ``wins``,
    weights that are structured come first: those of the strongest contrast, or in deeper layers,
    as published, of the largest standard deviation within a kernel. If a deeper layer has more
    than ``limit`` neurons, and no ``wins`` are known, those drawn are chosen at random, as
    published.

    Args:
        net: the net; or weights alone, ``(n_out, channels, height, width)`` or ``(n_out, n_in)``.
        layer: name or position of a layer that learns weights; the first one by default.
        shape: shape ``(channels, height, width)`` of the input of dense neurons; by default that
            of the net's samples, or a square, grey if ``n_in`` is a square number, else in colour.
        wins: how often each neuron wins, shape ``(n_out,)``.
        limit: draw at most so many neurons; 144 by default, 36 in deeper layers.
        steps: of the gradient ascent.
        rate: of the gradient ascent.
        seed: of the gradient ascent, and of chance in choosing neurons.
        published: draw the published figure: preferred inputs of any layer, the first too, of 72
            neurons drawn at random, as large as the receptive field, and their absolute values.
        title: title of the picture.

    Raises:
        ConfigError: if there is no such layer, if weights are not finite, or if they cannot be
            shown as pictures.

    Example:
        >>> import torch
        >>> figure = receptive_fields(torch.randn(32, 1, 5, 5))
    """
    if limit is not None:
        require("receptive_fields", "limit", limit, at_least=1, whole=True)
    if not isinstance(net, StreamNet):
        if layer is not None:
            raise ConfigError(
                f"receptive_fields: layer={layer!r} needs a StreamNet, and not a "
                f"{type(net).__name__}; pass the net, or the layer's weights alone"
            )
        kernels = _finite(as_pictures(as_array(net), shape))
        return _direct(kernels, wins, limit, title or "Receptive fields")
    position, target = find_layer("receptive_fields", net, layer)
    title = title or f"Receptive fields of {net.names[position]}"
    if sees_input(net, position) and not published:
        flat = target.kernel.ndim == 2
        whole = net.input_shape if flat and len(net.input_shape or ()) == 3 else None
        kernels = as_pictures(as_array(target.kernel), shape or whole)
        return _direct(kernels, wins, limit, title)
    return _preferred(
        net, position, shape, wins,
        min(limit or (PUBLISHED if published else MOST_CLIMB), target.synapse.n_out), title,
        {"steps": steps, "rate": rate, "seed": seed, "published": published},
    )  # fmt: skip


def _direct(kernels: Array, wins: Any, limit: int | None, title: str) -> Figure:
    """Weights themselves."""
    order, how = _order(kernels, wins)
    shown = kernels[order[: limit or MOST]]
    count = f"{len(shown)} of {len(kernels)}" if len(shown) < len(kernels) else f"{len(shown)}"
    height, width = kernels.shape[2:]
    return _draw(shown, f"{count} neurons, {width}x{height} weights each, {how}; each ", title)


def _preferred(
    net: StreamNet, position: int, shape: Any, wins: Any, count: int, title: str, ascent: Any
) -> Figure:
    """Inputs that drive neurons most."""
    layer: Any = net.layers[position]
    n_out = layer.synapse.n_out
    of, chance = f"{count}", ""
    if wins is not None:
        chosen = _order(np.empty((n_out, 1)), wins)[0][:count].tolist()
    else:
        chosen = find_neurons("receptive_fields", n_out, count, ascent["seed"])
        chance = " drawn at random," if count < n_out else ""
    if count < n_out:
        of = f"{count} of {n_out}"
    inputs = preferred_inputs(net, position, chosen, **ascent)
    found = as_array(inputs)
    still = np.linalg.norm(found.reshape(count, -1), axis=1) <= START
    grey = f" {still.sum()} that no gradient reaches stay grey." if still.any() else ""
    if ascent["published"]:
        found = as_array(projected(inputs))
        grey = grey.replace("stay grey", "show where they began")
    else:
        found[still] = 0
    pictures = as_pictures(found, shape)
    order, how = _order(pictures, wins if wins is None else as_array(wins)[chosen])
    kernel = as_array(layer.kernel)[chosen]
    if wins is None and kernel.ndim == 4 and kernel.shape[2] > 1:
        order, how = by_structure(kernel), "the most structured weights first"
    height, width = pictures.shape[2:]
    note = f"{of} neurons,{chance} {how}: the {width}x{height} input that drives each most.\nEach "
    return _draw(pictures[order], note, title, grey, absolute=ascent["published"])


def _finite(weight: Array) -> Array:
    bad = int((~np.isfinite(weight)).sum())
    if bad:
        raise ConfigError(
            f"receptive_fields: {bad} of {weight.size} weights are NaN or infinite; go back to "
            f"the last snapshot, and lower the rate"
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


def _draw(
    kernels: Array, note: str, title: str, more: str = "", *, absolute: bool = False
) -> Figure:
    """Little pictures in a grid."""
    tiles = [full_range(kernel) if absolute else stretched(kernel) for kernel in kernels]
    columns = max(4, math.ceil(math.sqrt(len(tiles) * 1.5)))
    rows = math.ceil(len(tiles) / columns)
    wall = wall_of(tiles, rows, columns)
    note += "as its absolute value, black is the least." if absolute else "stretched by itself, "
    note += f"{'' if absolute else 'mid-grey is 0.'}{more}"
    channels = kernels.shape[1]
    if channels not in (1, 3):
        note += f" Mean over {channels} input channels."
    across = 7.2
    down = across * wall.shape[0] / wall.shape[1]
    figure = new_figure(across, down + 0.65 + 0.19 * note.count("\n"), title, note)
    axes = figure.add_subplot()
    axes.imshow(wall, vmin=0, vmax=1, cmap="gray", interpolation="nearest")
    axes.set_axis_off()
    return figure
