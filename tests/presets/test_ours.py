"""Presets of ours: the settings their papers give, and names that are true."""

from __future__ import annotations

import pytest

import streamhebb as sh
from streamhebb import presets

OURS = [
    name
    for name in presets.names()
    if not presets.find(name).published and presets.find(name).hidden == "learns"
]
KROTOV = [
    # PyTorch-Hebbian: samples a change, epochs, p, rank, delta, rate
    ("krotov-mnist-mlp", 100, 1000, 3, 7, 0.4, 0.04),
    ("krotov-fashion-mlp", 256, 500, 3, 5, 0.3, 0.04),
    ("krotov-fashion-1conv", 2, 100, 4, 4, 0.4, 0.04),
]


@pytest.mark.parametrize(("name", "batch", "epochs", "p", "rank", "delta", "lr"), KROTOV)
def test_nets_of_pytorch_hebbian(name, batch, epochs, p, rank, delta, lr):
    net, _, stages = presets.build(name)
    layer = next(layer for layer in net.layers if isinstance(layer, sh.PlasticLayer))
    assert layer.rule == sh.SoftHebb()
    assert layer.competition == sh.RankedHardWTA(rank, delta)
    assert (layer.norm_p, layer.scaling) == (p, sh.LayerMax())
    phase, data = stages[0]
    assert (phase.epochs, phase.batch_size) == (epochs, batch)
    assert layer.rate == sh.LinearDecay(lr, epochs * data.samples / batch)
    # first weights are those of N(0, 1)
    assert float(layer.weight.std()) == pytest.approx(1, abs=0.02)
    assert float(layer.weight.mean()) == pytest.approx(0, abs=0.02)


def test_back_propagation_is_about_the_same_nets():
    for name in ("mnist-mlp", "fashion-mlp", "fashion-1conv"):
        hebbian, graded = (presets.find(f"krotov-{name}{end}") for end in ("", "-backprop"))
        for one, two in zip(hebbian.blocks, graded.blocks, strict=True):
            own = {"layer"}
            assert one.model_dump(exclude=own) == two.model_dump(exclude=own)
            shape = ("n_out", "kernel_size", "padding", "stride")
            assert [getattr(one.code, s) for s in shape] == [getattr(two.code, s) for s in shape]


def test_names_say_what_they_are():
    rules = {"softkrotov": "softhebb", "hardkrotov": "krotov", "hard": "hard-wta", "BP": "backprop"}
    assert OURS
    for name in OURS:
        preset = presets.find(name)
        assert rules[preset.blocks[0].code.rule] in name
        convolutions = sum(block.code.conv for block in preset.blocks)
        assert f"-{convolutions}conv" in name if convolutions else "-mlp" in name
        assert presets.data_settings(preset.supervised).source.startswith(("mnist", "fashion"))
