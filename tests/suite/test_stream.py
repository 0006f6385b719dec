"""Published nets as a stream."""

from __future__ import annotations

import pytest
import torch

from streamhebb import presets
from streamhebb.errors import ConfigError
from streamhebb.evaluate import train_phases
from streamhebb.layers import PlasticLayer, RunningNorm
from streamhebb.suite import StreamTrial, run_trial

SMALL = {"twin": True, "samples": 30, "tested": 20, "epochs": 2}
NET = "softhebb-cifar-2conv"


def plastic(net):
    return [layer for layer in net.layers if isinstance(layer, PlasticLayer)]


def test_nothing_that_learns_looks_beyond_its_neuron():
    net = StreamTrial(net=NET).build().net
    assert {part for parts in net.nonlocal_parts().values() for part in parts} <= {"weight sharing"}


def test_a_trial_learns_what_a_loop_of_steps_does(tmp_path):
    trial = StreamTrial(net=NET, method="direct", **SMALL)
    built, other = trial.build(), trial.build()
    data = trial.read(built.stages[0].data, "cpu")
    train_phases(built.net, built.stages[0].phase, (data.x, None), blocks=built.blocks)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    for row in order:
        other.net.step(data.x[row])
    for one, two in zip(plastic(built.net), plastic(other.net), strict=True):
        assert torch.equal(one.weight, two.weight)


def test_it_runs_to_an_accuracy(tmp_path):
    found = run_trial(StreamTrial(net=NET, **SMALL), tmp_path)["result"]
    assert 0 <= found["test_accuracy"] <= 1
    assert all(layer["radius"][0] != layer["radius"][2] for layer in found["layers"])


def test_scaling_rates_and_norms_are_as_asked():
    net = StreamTrial(net=NET, scaling="LayerMax", rates=(), tau=7).build().net
    wanted = presets.find(NET).build().net
    rates = [layer.rate.lr for layer in plastic(net)]
    assert rates == [layer.rate.lr for layer in plastic(wanted)]
    norms = [layer for layer in net.layers if isinstance(layer, RunningNorm)]
    assert [norm.tau for norm in norms] == [7, 7]


@pytest.mark.parametrize("hidden", ["random", "normed"])
def test_random_nets_stream_too(hidden, tmp_path):
    trial = StreamTrial(net=NET, hidden=hidden, **SMALL)
    built = trial.build()
    assert not any(layer.plasticity for layer in plastic(built.net))
    assert len(built.stages) == {"random": 1, "normed": 2}[hidden]
    found = run_trial(trial, tmp_path)["result"]
    assert all(layer["cosine"][1] == pytest.approx(1) for layer in found["layers"])


def test_a_preset_may_be_built_as_a_stream():
    trial = StreamTrial(net=NET).build()
    built = presets.build(NET, mode="stream")
    for one, two in zip(trial.net.layers, built.net.layers, strict=True):
        assert repr(one) == repr(two)
    assert built.stages[0].phase == trial.stages[0].phase
    assert built.stages[0].phase.batch_size == 1
    preset = presets.find("6SoftHebbCnnImNet")  # more layers than rates, and large
    deep = presets.Streaming().describe(preset.describe(*preset.data()), preset.name)
    rates = [entry["rate"]["lr"] for entry in deep["layers"] if "scaling" in entry]
    assert rates == [0.0025, 3e-5] + 3 * [5e-5]
    long = presets.build("krotov-mnist-mlp", mode="stream").stages[0].phase
    assert (long.batch_size, long.epochs) == (1, 1)  # as published, 1000 epochs
    twice = presets.data_settings("CIFAR10_1").but(epochs=2)
    built = presets.build(NET, mode="stream", unsupervised=twice)
    assert built.stages[0].phase.epochs == 2


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        (NET, {"mode": "streams"}, "stream"),
        ("2CnnCIFAR", {"mode": "stream"}, "gradient"),
        (NET, {"streaming": presets.Streaming()}, "mode='stream'"),
    ],
)
def test_what_cannot_stream_is_refused(name, more, message):
    with pytest.raises(ConfigError, match=message):
        presets.build(name, **more)


def test_too_few_rates_are_refused():
    with pytest.raises(ConfigError, match="2 hidden blocks"):
        StreamTrial(net=NET, rates=(0.1,)).build()
