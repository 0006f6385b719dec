"""What a step of the published net asks of a card may not grow unnoticed."""

from __future__ import annotations

import pytest
import torch

import streamhebb as sh
from streamhebb.benchmark.schedule.speed import published
from streamhebb.benchmark.speed.on_card import asked


def of_lanes(found):
    """Launches, by lane."""
    lanes = {}
    for name, work in found.items():
        _, _, lane = name.partition(" ")
        lanes[lane] = lanes.get(lane, 0) + work.launches
    return list(lanes.values())


@pytest.mark.parametrize(
    ("batch", "coarse", "fine"),
    [
        (1, [10, 10, 11], [4, 7, 1, 3, 7, 1, 3, 7, 2]),
        (10, [11, 11, 10], [5, 7, 1, 4, 7, 1, 3, 6, 2]),
        (64, [11, 11, 11], [5, 7, 1, 4, 7, 1, 4, 6, 2]),
    ],
)
def test_launches_of_the_published_step(batch, coarse, fine):
    pytest.importorskip("triton", reason="needs the extra triton")
    net, x = published(), torch.empty(batch, 3, 32, 32)
    assert of_lanes(asked(net, x)) == coarse
    assert of_lanes(asked(net, x, fine=True)) == fine


def test_flops_and_bytes_of_the_third_layer():
    pytest.importorskip("triton", reason="needs the extra triton")
    net = published()
    weights, products = 1536 * 3456, 2 * 64 * 1536 * 3456
    for precision in ("full", "bfloat16"):
        for layer in net.layers:
            if isinstance(layer, sh.Conv2d):
                layer.precision = precision
        respond, learn = list(asked(net, torch.empty(1, 3, 32, 32)).values())[-2:]
        assert respond.flops == products
        assert learn.flops == 2 * products  # the change is made twice
        assert learn.bytes < 2.2 * 4 * weights  # each pass is given the weights, and little else
        many = list(asked(net, torch.empty(64, 3, 32, 32)).values())[-1]
        assert many.flops == 64 * products  # and with many competitions once


def test_nothing_is_asked_of_the_values():
    class Looks(sh.ReLU):
        def respond(self, x):
            return x if float(x.sum()) > 0 else -x

    net = sh.StreamNet(sh.Dense(4, 8), Looks(), seed=0)
    with pytest.raises(RuntimeError, match="meta"):
        asked(net, torch.rand(1, 4), "torch")


@pytest.mark.parametrize("scaling", [sh.NeuronRMS(), sh.LayerMax(), sh.NoScaling()], ids=repr)
def test_a_stream_waits_for_no_card(scaling):
    layers = [sh.RunningNorm(4), sh.Dense(4, 8, scaling=scaling), sh.ReLU(), sh.Dense(8, 3)]
    found = asked(sh.StreamNet(*layers, seed=0), torch.rand(1, 4), "torch")
    assert len(found) == 4
    assert all(work.launches for work in found.values())
