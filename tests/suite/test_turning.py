"""How far weights turned: of all layers that can learn, by Hebb or by back-propagation."""

from __future__ import annotations

import math

import pytest
import torch

import streamhebb as sh
from streamhebb.layers import BackpropConv2d, BackpropDense
from streamhebb.suite import OfflineTrial, run_trial
from streamhebb.suite.turning import first_weights, turned

SMALL = {"twin": True, "samples": 30, "tested": 20, "epochs": 4}


@pytest.mark.parametrize("layer", [BackpropDense(3, 5), BackpropConv2d(4, 6, 3, groups=2),
                                   sh.Dense(3, 5), sh.Conv2d(4, 6, 3, groups=2)])  # fmt: skip
def test_cosine_and_radius_against_loops_over_numbers(layer):
    net = sh.StreamNet(layer)
    first = first_weights(net)
    with torch.no_grad():
        layer.weight.add_(
            torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0))
        )
    pairs = [
        (now.double().flatten().tolist(), then.double().flatten().tolist())
        for now, then in zip(layer.weight.detach(), first[net.names[0]], strict=True)
    ]
    lengths = [math.sqrt(sum(v * v for v in now)) for now, _ in pairs]
    cosines = [
        sum(a * b for a, b in zip(now, then, strict=True))
        / math.sqrt(sum(v * v for v in now) * sum(v * v for v in then))
        for now, then in pairs
    ]
    (row,) = turned(net, first)
    assert row["neurons"] == len(pairs)
    middle = len(pairs) // 2
    for name, values in (("cosine", cosines), ("radius", lengths)):
        median = sorted(values)[middle]
        if len(values) % 2 == 0:
            median = (median + sorted(values)[middle - 1]) / 2
        assert row[name][1] == pytest.approx(median, abs=2e-6)
    hebbian = isinstance(layer, sh.PlasticLayer)
    assert ("converged" in row) is ("near" in row) is ("convergence" in row) is hebbian


def test_nets_by_back_propagation_say_how_far_they_turned(tmp_path):
    trial = OfflineTrial(net="3CnnCIFAR", mode="consecutive", **SMALL)
    layers = run_trial(trial, tmp_path)["result"]["layers"]
    assert [layer["neurons"] for layer in layers] == [96, 384]
    assert all(0.5 < layer["cosine"][0] < 1 for layer in layers)


def test_dense_layers_converge_within_the_published_bound(tmp_path):
    near = []
    for net in ("2SoftMlpMNIST", "softhebb-cifar-1conv"):
        trial = OfflineTrial(net=net, hidden="random", changes={"0": {"radius": 1.0}}, **SMALL)
        (layer,) = run_trial(trial, tmp_path)["result"]["layers"]
        near.append(layer["near"])
        (plastic,) = (each for each in trial.build().net.layers if each.plastic)
        apart = (plastic.radius() - 1).abs()
        assert layer["converged"] == int((apart < layer["near"]).sum())
    assert near == [0.005, 0.01]
    assert 0 < layer["converged"] < layer["neurons"]
