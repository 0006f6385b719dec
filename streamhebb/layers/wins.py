"""Who won, told from what a layer gave out."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb.layers.plastic import PlasticLayer


def wins(layer: PlasticLayer, out: Tensor) -> Tensor:
    """Count how often each neuron won: had the largest drive of those it competes with.

    Every output pixel is a competition, in each group; of equal drives the first wins. Of spiking
    neurons every spike is counted.

    Args:
        layer: the layer.
        out: its output, for a sample or a micro-batch.

    Returns:
        Shape ``(n_out,)``, whole numbers.

    Example:
        >>> from streamhebb import Dense
        >>> wins(Dense(4, 3), torch.tensor([[0.1, 0.5, 0.2], [0.9, 0.0, 0.0]]))
        tensor([1, 1, 0])
    """
    dimensions = (layer.sample_ndim or 1) - (layer.neuron is not None)
    groups, n_out = layer.synapse.groups, layer.synapse.n_out
    rows = out.movedim(-dimensions, -1).reshape(-1, groups, n_out // groups)
    if layer.neuron is not None and layer.neuron.spikes:
        return rows.sum(0).flatten().to(torch.int64)
    winner = rows.argmax(-1) + n_out // groups * torch.arange(groups, device=rows.device)
    return torch.bincount(winner.flatten(), minlength=n_out)
