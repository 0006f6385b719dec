"""Trials that draw: what they draw, and that the report shows it."""

from __future__ import annotations

import pytest
import torch

from streamhebb.errors import ConfigError
from streamhebb.pictures.preferred import field_of
from streamhebb.suite import find, read_trial, report, run_trial, run_trials
from streamhebb.suite.pictured import (
    ImagesTrial,
    KernelsTrial,
    PreferredTrial,
    first_kernels,
    learners,
    leaving,
)
from streamhebb.suite.running import folder_of

NET = "softhebb-cifar-1conv"
SMALL = {"twin": True, "samples": 30, "tested": 20, "epochs": 1}
PNG = b"\x89PNG"


def drawn(trial, root):
    found = run_trial(trial, root)["result"]
    for name in found["pictures"]:
        assert (folder_of(trial, root).path / name).read_bytes()[:4] == PNG
    return found


def test_preferred_inputs_of_every_layer_have_the_published_fields(tmp_path):
    trial = PreferredTrial(net="softhebb-cifar-2conv", neurons=2, steps=1, **SMALL)
    found = drawn(trial, tmp_path)
    assert found["pictures"] == ["layer-1.png", "layer-2.png"]
    assert [found[f"field {n}"] for n in (1, 2)] == [5, 12]
    net = trial.offline(net="softhebb-cifar-3conv").build().net
    assert [field_of(net, name) for name in learners(net)] == [5, 12, 26]


def test_maps_and_parts_of_the_first_and_last_block(tmp_path):
    trial = ImagesTrial(net=NET, mapped=12, neurons=2, parts=3, layout="tsne", **SMALL)
    found = drawn(trial, tmp_path)
    assert found["pictures"] == ["map-first.png", "parts-first.png"]
    assert found["layout"] == "t-SNE"
    assert 1 <= found["first parts alike"] <= 3
    assert 0 <= found["first neighbours accuracy"] <= 1


def test_what_leaves_a_block_is_what_the_next_one_gets():
    built = PreferredTrial(net="softhebb-cifar-2conv", **SMALL).offline().build()
    x = torch.rand(3, 3, 32, 32)
    net = built.net
    made = leaving(built, 1, x)
    assert made.shape == (3, 96 * 16 * 16)
    for layer in list(net.layers)[: built.blocks[0].stop]:
        x = layer.respond(x)
    assert torch.equal(made, x.flatten(1))


def test_kernels_of_all_nets_side_by_side_in_the_report(tmp_path):
    experiment = find("b5-kernels").but(**SMALL)
    (trial,) = experiment.trials()
    assert [one.mode for one in trial.trials()] == [None, None, "consecutive"]
    run_trials((trial,), (0,), tmp_path)
    text = report(tmp_path, tmp_path / "out", ["b5-kernels"]).read_text()
    assert "| structure | 0." in text
    assert f"({trial.key}-kernels.png)" in text
    assert (tmp_path / "out" / f"{trial.key}-kernels.png").read_bytes()[:4] == PNG


def test_kernels_are_those_of_the_first_convolution():
    for net in (NET, "2CnnCIFAR"):
        built = KernelsTrial(net=net).trials()[0].build()
        kernels = first_kernels(built.net)
        assert kernels.shape == (96, 3, 5, 5)
        torch.testing.assert_close(kernels.flatten(), built.net.layers[1].weight.data.flatten())
    with pytest.raises(ConfigError, match="is a convolution"):
        first_kernels(PreferredTrial(net="2SoftMlpMNIST").offline().build().net)


def test_titles_must_be_one_for_each_net(tmp_path):
    with pytest.raises(ConfigError, match="must be 1"):
        run_trial(KernelsTrial(net=NET, titles=("a", "b"), **SMALL), tmp_path)


@pytest.mark.parametrize("kind", [PreferredTrial, ImagesTrial, KernelsTrial])
def test_trials_are_read_back_and_share_the_net_of_others(kind):
    trial = kind(net=NET, seed=2, **SMALL)
    assert read_trial(trial.model_dump(mode="json")) == trial
    wanted = find("figure-1").cells[0].trial.but(seed=2, **SMALL)
    assert trial.offline() == wanted
