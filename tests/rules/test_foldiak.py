"""Földiák's network: Oja's rule on the input, anti-Hebbian weights between the neurons."""

from __future__ import annotations

import torch
from torch import Tensor

import streamhebb as sh
from tests.rules.helpers import F64


def mean_correlation(y: Tensor) -> float:
    found = torch.corrcoef(y.T).abs()
    return float((found.sum() - len(found)) / (len(found) * (len(found) - 1)))


def test_outputs_that_are_alike_become_uncorrelated() -> None:
    chance = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=chance, dtype=F64))[0]
    scale = torch.tensor([2.0, 1.8, 1.6, 0.3, 0.3, 0.2, 0.2, 0.1], dtype=F64)
    data = torch.randn(4000, 8, generator=chance, dtype=F64) * scale @ axes.T
    ends = {}
    for lateral in (sh.Lateral(0.01), None):
        layer = sh.Dense(
            8, 3, rule=sh.Oja(), lateral=lateral, rate=sh.LinearDecay(0.01, 4000),
            scaling=sh.NoScaling(), init=sh.Positive(0.5),
        )  # fmt: skip
        layer.reset(torch.Generator().manual_seed(1))
        layer.double()
        start = mean_correlation(layer.respond(data))
        for x in data:
            layer.learn(layer.observe(x[None])[1])
        ends[lateral is not None] = mean_correlation(layer.respond(data))
    assert ends[True] < start / 5
    assert ends[False] > 0.99  # without lateral weights all find the same component
