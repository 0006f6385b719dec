"""Who wins, and how often: how evenly a layer uses its neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from streamhebb.errors import ConfigError, InputError
from streamhebb.layers.wins import wins as count
from streamhebb.net import StreamNet
from streamhebb.parts import require
from streamhebb.pictures._find import plastic_layers
from streamhebb.pictures.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    as_array,
    count_axis,
    new_figure,
    tidy,
)
from streamhebb.sources import samples

Array = np.ndarray[Any, Any]


def count_wins(net: StreamNet, stream: Any, *, limit: int | None = 1000) -> dict[str, Tensor]:
    r"""Count how often each neuron wins: has the largest drive of those it competes with.

    Every output pixel of a convolution is a competition, in each of its groups; of equal drives
    the first wins. Of spiking neurons every spike counts. Nothing is learned, and the net is left
    as it was.

    Args:
        net: the net.
        stream: a source, or any iterable of samples.
        limit: look at so many samples, ``None`` for all.

    Returns:
        Name of each layer that learns weights to counts, shape ``(n_out,)``, whole numbers.

    Raises:
        ConfigError: if no layer learns weights.
        InputError: if the stream is empty, or holds only samples that the net skips.

    Example:
        >>> from streamhebb import Dense
        >>> net = StreamNet(Dense(2, 2), seed=None)
        >>> net.layers[0].set_weight(torch.eye(2))
        >>> count_wins(net, torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
        {'0:Dense': tensor([2, 1])}
    """
    if limit is not None:
        require("count_wins", "limit", limit, at_least=1, whole=True)
    layers = plastic_layers("count_wins", net)
    counts = {
        name: torch.zeros(layer.synapse.n_out, dtype=torch.int64) for name, layer in layers.items()
    }
    seen = skipped = 0
    for sample in samples(stream):
        result = net.respond(sample, activity=True)
        seen += 1
        skipped += result.skipped is not None
        for name, layer in layers.items() if result.skipped is None else ():
            counts[name] += count(layer, result.activity[name]).cpu()
        if seen == limit:
            break
    if seen == skipped:
        raise InputError(
            f"count_wins: {seen} samples, of which {skipped} were skipped as not finite, leave "
            f"nothing to count; pass a stream with samples, anew if it has been read before"
        )
    return counts


def win_shares(
    wins: Any, stream: Any = None, *, limit: int | None = 1000, title: str = "Shares of wins"
) -> Figure:
    """Draw how often each neuron wins, the most frequent winner first, one row a layer.

    With the fair share 1/K of K neurons (dashed), and the number of those that never win. The
    vertical axis is a root, so that rare winners stay visible beside frequent ones.

    Args:
        wins: a net; or layer name to the number or share of wins, shape ``(n_out,)``.
        stream: samples that the net competes for, if ``wins`` is a net.
        limit: let the net look at so many samples, ``None`` for all.
        title: title of the picture.

    Raises:
        ConfigError: if there is no layer, or for wins that are negative, not finite, or all 0.
        InputError: if the stream is empty.

    Example:
        >>> figure = win_shares({"1:Conv2d": [30, 10, 0, 20]})
    """
    if isinstance(wins, StreamNet):
        if stream is None:
            raise ConfigError("win_shares: a net needs samples to compete for; pass a stream too")
        wins = count_wins(wins, stream, limit=limit)
    elif not isinstance(wins, Mapping) or not wins or stream is not None:
        raise ConfigError(
            "win_shares: pass a net and a stream, or a dict of at least one layer's name to its "
            "neurons' wins"
        )
    note = (
        "Share of competitions that each neuron wins, the most frequent winner first; on the right "
        "how many\nneurons win how often, in units of the fair share."
    )
    figure = new_figure(9.2, 0.95 + 1.9 * len(wins), title, note)
    rows = figure.subplots(len(wins), 2, squeeze=False, width_ratios=(2.4, 1))
    for (axes, side), (name, counts) in zip(rows, wins.items(), strict=True):
        share = _shares(name, as_array(counts))
        fair = 1 / len(share)
        edges = np.arange(len(share) + 1)
        axes.stairs(share, edges, fill=True, color=BLUE, linewidth=0)
        axes.axhline(fair, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
        axes.set_yscale("function", functions=(_root, np.square))
        axes.set_ylim(0, 1.08 * max(share[0], fair))
        axes.set_xlim(0, len(share))
        words: dict[str, Any] = {"ha": "right", "va": "bottom", "size": 8, "color": ORANGE}
        across = axes.get_yaxis_transform()
        axes.text(0.995, fair, f"fair: {100 * fair:.3g} %", transform=across, **words)
        axes.set_title(name, loc="left", size=9, color=INK)
        axes.set_title(_summary(share), loc="right", size=8, color=MUTED)
        axes.set_ylabel("share of wins")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
        count_axis(axes)
        tidy(axes)
        _histogram(side, share / fair)
    rows[-1, 0].set_xlabel("neurons, by rank")
    rows[-1, 1].set_xlabel("share / fair share")
    return figure


def _histogram(axes: Axes, times: Array) -> None:
    """How many neurons win how many times the fair share; the last bin holds all beyond."""
    end = max(2.0, float(np.ceil(np.quantile(times, 0.98))))
    axes.hist(times.clip(0, end), bins=np.linspace(0, end, 25).tolist(), color=BLUE)
    axes.axvline(1, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_xlim(0, end)
    axes.set_ylabel("neurons")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    tidy(axes)


def _root(value: Array) -> Array:
    root: Array = np.sqrt(np.maximum(value, 0))
    return root


def _shares(name: str, wins: Array) -> Array:
    """Shares in falling order."""
    if wins.ndim != 1 or not wins.size or not np.isfinite(wins).all() or wins.min() < 0:
        raise ConfigError(
            f"win_shares: the wins of {name} have shape {wins.shape}; one finite number, at least "
            f"0, is needed for each neuron"
        )
    if not wins.any():
        raise ConfigError(f"win_shares: no neuron of {name} has won anything; count some samples")
    shares: Array = np.sort(wins)[::-1] / wins.sum()
    return shares


def _summary(share: Array) -> str:
    """How many neurons never win, and how evenly the others do."""
    dead = int((share == 0).sum())
    alive = share[share > 0]
    even = np.exp(-(alive * np.log(alive)).sum())
    return f"{dead} of {len(share)} neurons never win; as many as {even:.0f} evenly used ones"
