"""Blocks: what a layer and its surroundings become, and what cannot be one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import streamhebb as sh
from streamhebb import spec
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.presets import Block


def built(block: Block, shape: tuple[int, ...], seed: int = 0) -> sh.StreamNet:
    return spec.build(spec.parse({"layers": block.describe(100)}, "block"), input_shape=shape,
                      seed=seed)  # fmt: skip


def test_a_hebbian_convolution():
    block = Block(
        layer="softkrotov-c6-k3-p1-s2-d2-g3-t0.5-lr0.02-lp0.3-lb3-r4-e1", before="batchnorm2d",
        activation="triangle_1.4", pool="avg_2_2_0",
    )  # fmt: skip
    norm, conv, triangle, pool = built(block, (3, 12, 12)).layers
    assert isinstance(norm, sh.BatchNorm)
    assert (conv.n_in, conv.n_out, conv.kernel_size, conv.stride) == (3, 6, 3, 2)
    assert (conv.padding, conv.dilation, conv.groups, conv.padding_mode) == (1, 2, 3, "reflect")
    assert conv.competition == sh.SoftWTA(t=0.5, anti_hebbian=True)
    assert conv.rate == sh.NormRate(0.02, 0.3)
    assert conv.scaling == sh.LayerMax()
    assert conv.init == sh.Normal(4.0)
    assert (conv.norm_p, conv.pre_triangle, conv.bias) == (3.0, True, None)
    assert triangle.power == 1.4
    assert (type(pool), pool.kernel_size) == (sh.AvgPool2d, 2)


@pytest.mark.parametrize(
    ("rule", "competition"),
    [
        ("soft", sh.SoftWTA(t=2.0)),
        ("softkrotov", sh.SoftWTA(t=2.0, anti_hebbian=True)),
        ("hard", sh.HardWTA()),
        ("hardkrotov", sh.RankedHardWTA(3, 0.4)),
    ],
)
def test_the_rules_as_competitions(rule, competition):
    (layer,) = built(Block(layer=f"{rule}-c4-t2-a0.4"), (5,)).layers
    assert isinstance(layer, sh.Dense)
    assert layer.competition == competition
    assert layer.init == sh.Positive(10.0), "nothing centres its input"


@pytest.mark.parametrize(
    ("layer", "gain"), [("soft-c4-t2-b1", 0.5), ("soft-c4-k1-t2-b1", 0.05), ("hard-c4-b1", None)]
)
def test_a_bias_is_for_soft_ones(layer, gain):
    shape = (5, 3, 3) if "-k" in layer else (5,)
    found: Any = built(Block(layer=layer), shape).layers[0]
    assert (None if found.bias is None else found.bias.gain) == gain


def test_a_schedule_that_runs_out_gets_its_steps():
    (layer,) = built(Block(layer="hard-c4-lr0.3-v0"), (5,)).layers
    assert layer.rate == sh.LinearDecay(0.3, 100)


def test_back_propagation():
    (conv,) = built(Block(layer="BP-c6-k3-p1-g3"), (3, 5, 5)).layers
    assert isinstance(conv, sh.BackpropConv2d)
    assert (conv.padding, conv.groups, conv.bias) == (1, 3, False)
    (dense,) = built(Block(layer="BP-c6"), (5,)).layers
    assert isinstance(dense, sh.BackpropDense)
    assert dense.bias, "the framework's linear layer has one"


def test_everything_around_a_layer_in_the_published_order():
    block = Block(layer="soft-c4", before="normnorm flatten batchnorm2d", activation="relu",
                  norm=True)  # fmt: skip
    kinds = [type(layer) for layer in built(block, (3, 2, 2)).layers]
    assert kinds == [sh.BatchNorm, sh.Flatten, sh.L2Norm, sh.Dense, sh.ReLU, sh.BatchNorm]


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
def test_a_power_behind_a_maximum_gives_the_same(power):
    block = Block(layer="soft-c4-k3", activation=f"triangle_{power}", pool="max_4_2_1")
    net = built(block, (2, 9, 9))
    x = torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    drive = net.layers[0].respond(x)
    plain = sh.MaxPool2d(4, 2, 1)(sh.Triangle(power)(drive))
    torch.testing.assert_close(net.respond(x).scores, plain)
    kinds = [type(layer) for layer in net.layers]
    assert kinds[1:] == [sh.Triangle, sh.MaxPool2d, sh.RePU][: 2 + (power != 1)]


def test_a_power_stays_in_front_of_what_it_does_not_commute_with():
    after_norm = Block(layer="soft-c4-k3", activation="triangle_2", pool="max_2_2_0", norm=True)
    assert [e["type"] for e in after_norm.describe(1)][1:] == ["Triangle", "BatchNorm", "MaxPool2d"]
    assert after_norm.describe(1)[1]["power"] == 2
    mean = Block(layer="soft-c4-k3", activation="triangle_2", pool="avg_2_2_0")
    assert [e["type"] for e in mean.describe(1)][1:] == ["Triangle", "AvgPool2d"]


def test_readouts():
    assert Block(layer="BP-c10-ls0.01").describe_readout(1, 0) == {
        "type": "SoftmaxReadout", "lr": 0.01
    }  # fmt: skip
    taught = Block(layer="supervisedsoftkrotov-c10-lr0.045-r35-v0", before="flatten")
    entry = taught.describe_readout(50, 3)
    readout = spec.NetSpec(layers=[{"type": "Flatten"}], readout=entry).readout.build()
    assert readout.rate == sh.LinearDecay(0.045, 50)
    assert (readout.scaling, readout.init, readout.seed) == (sh.LayerMax(), sh.Positive(35.0), 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"layer": "BP-c10-k3"}, "cannot be the last block"),
        ({"layer": "soft-c10"}, "cannot be the last block"),
        ({"layer": "BP-c10", "activation": "relu"}, "leave activation out"),
        ({"layer": "BP-c10", "norm": True}, "leave norm out"),
        ({"layer": "BP-c10", "before": "batchnorm1d"}, "leave batchnorm1d out"),
    ],
)
def test_what_cannot_be_a_readout(values, said):
    with pytest.raises(ConfigError, match=said):
        Block(**values).describe_readout(1, 0)


def test_a_taught_layer_is_a_readout_only():
    with pytest.raises(ConfigError, match="last block only"):
        Block(layer="supervisedsoftkrotov-c10").describe(1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"layer": "soft-k3"}, "add c"),
        ({"layer": "sofft-c3"}, r"\^\^\^\^\^"),
        ({"layer": "soft-c3", "before": "whiten"}, "'whiten' may not"),
        ({"layer": "soft-c3", "activation": "elu"}, "'elu' is not known"),
        ({"layer": "soft-c3-k3", "pool": "max"}, "pool 'max'"),
        ({"layer": "soft-c3", "pool": "max_2_2_0"}, "cannot be pooled"),
        ({"layer": "soft-c3-k3", "before": "flatten"}, "do not flatten"),
        ({"layer": "soft-c3", "dropout": 1.0}, "less than 1"),
        ({"layer": "soft-c3", "dropuot": 0.5}, "Extra inputs"),
    ],
)
def test_what_cannot_be_a_block(values, said):
    with pytest.raises(ValidationError, match=said):
        Block(**values)


def test_shapes_without_building():
    block = Block(layer="hard-c8-k5-p1", pool="max_4_2_1")
    assert block.shape((3, 32, 32)) == (8, 15, 15)
    assert Block(layer="soft-c8", before="flatten").shape((3, 4, 4)) == (8,)
    with pytest.raises(ShapeError, match="write flatten"):
        Block(layer="soft-c8").shape((3, 4, 4))
    with pytest.raises(ShapeError, match="does not fit"):
        Block(layer="soft-c8-k7").shape((3, 4, 4))
    with pytest.raises(ShapeError, match="window of 4"):
        Block(layer="soft-c8-k3", pool="max_4_4_0").shape((3, 4, 4))


@pytest.mark.parametrize("before", ["", "batchnorm2d"])
@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_the_scale_is_that_of_the_weights_that_are_drawn(before, p):
    block = Block(layer=f"soft-c400-k5-g2-lb{p}-r7", before=before)
    weight = built(block, (6, 9, 9)).layers[-1].kernel.double()
    scale = block.scale((6, 9, 9))
    if before:
        assert float(weight.std()) == pytest.approx(scale, rel=0.02)
    else:
        assert float(weight.min()) >= 0
        assert float(weight.max()) == pytest.approx(scale, rel=0.02)
    radii = (weight.abs() ** p).flatten(1).sum(1) ** (1 / p)
    assert float(radii.mean()) == pytest.approx(7, rel=0.02)


def test_the_scale_of_a_dense_layer_counts_all_features():
    block = Block(layer="soft-c2000-r35", before="flatten")
    assert block.scale((1, 28, 28)) == pytest.approx(math.sqrt(3 * 35**2 / 784))
