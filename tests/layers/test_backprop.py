"""Layers for the control by back-propagation: they compute, draw and learn as torch's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.evaluate import Phase, split_blocks, train_phases

SETTINGS: list[dict[str, Any]] = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1, "bias": True},
    {"kernel_size": 5, "padding": 2, "stride": 2, "groups": 2},
    {"kernel_size": 2, "padding": 1, "dilation": 2, "padding_mode": "zeros"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_convolution_is_torchs(settings):
    layer = sh.BackpropConv2d(4, 6, **settings)
    plain = nn.Conv2d(4, 6, **({"padding_mode": "reflect", "bias": False} | settings))
    plain.load_state_dict({
        {"weight": "weight", "bias_weight": "bias"}[k]: v for k, v in layer.state_dict().items()
    })  # fmt: skip
    x = torch.randn(3, 4, 9, 8)
    torch.testing.assert_close(layer.respond(x), plain(x))
    assert tuple(layer.respond(x).shape[1:]) == layer.shape((4, 9, 8))


def test_a_dense_layer_is_torchs():
    layer = sh.BackpropDense(5, 3)
    x = torch.randn(4, 5)
    wanted = F.linear(x, layer.weight, layer.bias_weight)
    torch.testing.assert_close(layer.respond(x), wanted)
    assert sh.BackpropDense(5, 3, bias=False).bias_weight is None


def test_first_weights_are_spread_as_the_frameworks_default():
    layer = sh.BackpropConv2d(8, 64, 5, bias=True)
    layer.reset(torch.Generator().manual_seed(0))
    bound = (8 * 25) ** -0.5
    for value in (layer.weight.detach(), layer.bias_weight.detach()):
        assert float(value.abs().max()) <= bound
        assert float(value.std()) == pytest.approx(bound / 3**0.5, rel=0.15)
    torch.manual_seed(0)
    stock = nn.Conv2d(8, 64, 5).weight.detach()
    assert float(stock.std()) == pytest.approx(float(layer.weight.detach().std()), rel=0.02)
    assert float(stock.abs().max()) == pytest.approx(bound, rel=0.01)
    again = sh.BackpropConv2d(8, 64, 5, bias=True)
    again.reset(torch.Generator().manual_seed(0))
    assert torch.equal(again.weight, layer.weight)


def net(seed: int | None = 1) -> sh.StreamNet:
    return sh.StreamNet(
        sh.BatchNorm(2), sh.BackpropConv2d(2, 4, 3, padding=1), sh.ReLU(), sh.MaxPool2d(2),
        sh.Flatten(), sh.BackpropDense(36, 7), sh.ReLU(),
        readout=sh.SoftmaxReadout(classes=3, lr=0.01), input_shape=(2, 6, 6), seed=seed,
    )  # fmt: skip


def data() -> tuple[torch.Tensor, list[int]]:
    chance = torch.Generator().manual_seed(3)
    y = torch.randint(0, 3, (30,), generator=chance)
    x = torch.randn(30, 2, 6, 6, generator=chance) + y[:, None, None, None]
    return x, y.tolist()


def test_it_learns_in_phases_as_torch_does():
    trained, (x, y) = net(), data()
    first, second = copy.deepcopy(trained.layers[1]), copy.deepcopy(trained.layers[5])
    readout = nn.Linear(7, 3)
    nn.init.zeros_(readout.weight)
    nn.init.zeros_(readout.bias)
    norm = nn.BatchNorm2d(2, affine=False)
    model = nn.Sequential(norm, first, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), second, nn.ReLU(),
                          readout)  # fmt: skip
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(4):
        for part in torch.arange(30).split(8):
            adam.zero_grad()
            F.cross_entropy(model(x[part]), torch.tensor(y)[part]).backward()
            adam.step()
    assert split_blocks(trained) == (range(5), range(5, 7))
    train_phases(trained, Phase((0, 1, 2), epochs=4, batch_size=8, shuffle=False), (x, y))
    for found, wanted in ((trained.layers[1], first), (trained.layers[5], second)):
        torch.testing.assert_close(found.weight, wanted.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        trained.readout.weight, readout.weight.detach(), rtol=1e-3, atol=1e-4
    )


def test_in_a_stream_its_weights_stay():
    stream, (x, y) = net(), data()
    before = stream.layers[1].weight.detach().clone()
    for sample, label in zip(x, y, strict=True):
        result = stream.step(sample, label)
    assert torch.equal(stream.layers[1].weight, before)
    assert not result.scores.requires_grad, "no graph is kept"


def test_the_seed_draws_it_and_a_snapshot_holds_it(tmp_path):
    one, same, other = net(1), net(1), net(2)
    assert torch.equal(one.layers[1].weight, same.layers[1].weight)
    assert not torch.equal(one.layers[1].weight, other.layers[1].weight)
    train_phases(one, Phase((0, 1, 2), epochs=1), data())
    one.save(tmp_path / "net.safetensors")
    again = sh.load(tmp_path / "net.safetensors")
    x, _ = data()
    assert torch.equal(again.respond(x).scores, one.respond(x).scores)
    assert again.describe() == one.describe()


def test_it_says_that_it_is_not_local():
    assert net().nonlocal_parts() == {
        "0:BatchNorm": ("mini-batch statistics",),
        "1:BackpropConv2d": ("back-propagation", "weight sharing"),
        "5:BackpropDense": ("back-propagation",),
    }


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (sh.BackpropConv2d, (3, 4, 0)),
        (sh.BackpropConv2d, (3, 0, 3)),
        (sh.BackpropDense, (0, 3)),
        (sh.BackpropDense, (3, 3, "yes")),
    ],
)
def test_wrong_arguments(kind, values):
    with pytest.raises(ConfigError):
        kind(*values)
    with pytest.raises(ConfigError, match="groups=2"):
        sh.BackpropConv2d(3, 4, 3, groups=2)


def test_wrong_samples():
    with pytest.raises(ShapeError, match="needs"):
        sh.BackpropConv2d(3, 4, 3).shape((2, 5, 5))
    with pytest.raises(ShapeError, match="Flatten"):
        sh.BackpropDense(3, 4).shape((2, 5, 5))
