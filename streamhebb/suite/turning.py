"""How far learning turned and stretched the weights of each layer: who earns the accuracy?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from streamhebb.layers import PlasticLayer
from streamhebb.net import StreamNet

SHARES = (0.05, 0.5, 0.95)
"""Quantiles over neurons that are reported."""


def first_weights(net: StreamNet) -> dict[str, Tensor]:
    """Copy the weights of plastic layers, by the layers' names."""
    pairs = zip(net.names, net.layers, strict=True)
    return {
        n: layer.weight.detach().clone() for n, layer in pairs if isinstance(layer, PlasticLayer)
    }


def turned(net: StreamNet, first: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    r"""Compare the weights of plastic layers with what they were.

    $$\cos_j = \frac{w_j \cdot w_j(0)}{\lVert w_j \rVert \, \lVert w_j(0) \rVert}$$

    Args:
        net: as it is now.
        first: what [`first_weights`][streamhebb.suite.turning.first_weights] gave.

    Returns:
        For each layer its name, neurons, quantiles (5, 50 and 95 % of the neurons) of cosine and
        radius, the mean distance of the radius from 1, and how many are within 0.01 of it.

    Example:
        >>> from streamhebb import Dense
        >>> net = StreamNet(Dense(4, 8), seed=0)
        >>> turned(net, first_weights(net))[0]["cosine"]
        [1.0, 1.0, 1.0]
    """
    rows = []
    for name, layer in zip(net.names, net.layers, strict=True):
        if name not in first or not isinstance(layer, PlasticLayer):
            continue
        now, then = (w.detach().double().flatten(1) for w in (layer.weight, first[name]))
        cosine = torch.nn.functional.cosine_similarity(now, then, dim=1)
        radius = layer.radius().double()
        apart = (radius - 1).abs()
        rows.append(
            {
                "layer": name,
                "neurons": len(now),
                "cosine": _quantiles(cosine),
                "radius": _quantiles(radius),
                "convergence": float(apart.mean()),
                "converged": int((apart < 0.01).sum()),
            }
        )
    return rows


def _quantiles(values: Tensor) -> list[float]:
    at = torch.tensor(SHARES, dtype=values.dtype, device=values.device)
    return [round(value, 6) for value in torch.quantile(values, at).tolist()]
