"""How far learning turned and stretched the weights of each layer: who earns the accuracy?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from streamhebb.evaluate.measures import NEAR
from streamhebb.layers import BackpropConv2d, BackpropDense, PlasticLayer
from streamhebb.net import StreamNet

SHARES = (0.05, 0.5, 0.95)
"""Quantiles over neurons that are reported."""
LEARNERS = (PlasticLayer, BackpropDense, BackpropConv2d)
"""Layers whose weights are compared: those that learn by Hebb, and those by back-propagation."""


def first_weights(net: StreamNet) -> dict[str, Tensor]:
    """Copy the weights of layers that can learn, by the layers' names."""
    pairs = zip(net.names, net.layers, strict=True)
    return {n: layer.weight.detach().clone() for n, layer in pairs if isinstance(layer, LEARNERS)}


def turned(net: StreamNet, first: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    r"""Compare the weights of layers that can learn with what they were.

    $$\cos_j = \frac{w_j \cdot w_j(0)}{\lVert w_j \rVert \, \lVert w_j(0) \rVert}$$

    Args:
        net: as it is now.
        first: what [`first_weights`][streamhebb.suite.turning.first_weights] gave.

    Returns:
        For each layer its name, neurons, quantiles (5, 50 and 95 % of the neurons) of cosine and
        radius. Of Hebbian layers also the mean distance of the radius from 1, how many have
        converged, and how near to 1 they are then: 0.01, in dense layers 0.005, as published.
        Nothing draws the radii of back-propagation to 1.

    Example:
        >>> from streamhebb import Dense
        >>> net = StreamNet(Dense(4, 8), seed=0)
        >>> turned(net, first_weights(net))[0]["cosine"]
        [1.0, 1.0, 1.0]
    """
    rows = []
    for name, layer in zip(net.names, net.layers, strict=True):
        if name not in first or not isinstance(layer, LEARNERS):
            continue
        now, then = (w.detach().double().flatten(1) for w in (layer.weight, first[name]))
        radius = now.norm(dim=1)
        row: dict[str, Any] = {}
        if isinstance(layer, PlasticLayer):
            radius, near = layer.radius().double(), NEAR[layer.sample_ndim != 3]
            apart = (radius - 1).abs()
            row["convergence"] = float(apart.mean())
            row["converged"] = int((apart < near).sum())
            row["near"] = near
        cosine = torch.nn.functional.cosine_similarity(now, then, dim=1)
        told = {"cosine": _quantiles(cosine), "radius": _quantiles(radius)}
        rows.append({"layer": name, "neurons": len(now), **told, **row})
    return rows


def _quantiles(values: Tensor) -> list[float]:
    at = torch.tensor(SHARES, dtype=values.dtype, device=values.device)
    return [round(value, 6) for value in torch.quantile(values, at).tolist()]
