"""Neurons, encoders and decoders as layers: values, time, state, refusals."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError, InputError, ShapeError
from streamhebb.spec import parse
from tests import oracles

DOUBLE = torch.float64


def rand(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


# ---- encoders --------------------------------------------------------------------------------


def test_a_constant_current_is_the_sample_at_every_step() -> None:
    x = rand(2, 3, 4)
    layer = sh.ConstantCurrent(5, gain=2.0)
    out = layer.respond(x)
    assert tuple(out.shape[1:]) == layer.shape((3, 4)) == (5, 3, 4)
    for t in range(5):
        assert torch.equal(out[:, t], 2 * x)


@given(seed=st.integers(0, 2**63 - 1), first=st.integers(0, 10**9), rows=st.integers(1, 3))
def test_poisson_draws_what_the_oracle_draws(seed: int, first: int, rows: int) -> None:
    layer = sh.Poisson(3, rate=400.0, seed=seed).double()
    layer.count.fill_(first)
    x = rand(rows, 2, 2, seed=1).double()
    out = layer.respond(x)
    for b in range(rows):
        numbers = oracles.split_mix(seed, first + b, 12)
        wanted = [
            float(number + 0.5 < 0.4 * float(x[b].flatten()[place % 4]))
            for place, number in enumerate(numbers)
        ]
        assert out[b].flatten().tolist() == wanted


def test_poisson_spikes_at_its_rate_and_independently() -> None:
    x = torch.tensor([0.0, 0.1, 0.5, 1.0]).repeat(64, 1)
    spikes = sh.Poisson(500, rate=200.0).respond(x)  # 32,000 draws each
    assert spikes.unique().tolist() == [0.0, 1.0]
    p = 0.2 * x[0]
    found = spikes.mean((0, 1))
    assert bool(((found - p).abs() <= 4 * (p * (1 - p) / 32_000).sqrt()).all())
    # Neither neighbouring places, nor steps, nor samples know of each other.
    z = sh.Poisson(100, rate=500.0).respond(torch.ones(100, 20)) - 0.5
    for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1]), (z[..., 1:], z[..., :-1])):
        assert abs(float((a * b).mean()) / 0.25) < 4 / a.numel() ** 0.5


def test_poisson_is_pure_until_it_is_advanced_and_batches_agree_with_singles() -> None:
    x = rand(6, 5)
    layer = sh.Poisson(20, rate=300.0, seed=7)
    together, seen = layer.observe(x)
    assert torch.equal(together, layer.respond(x))
    single = copy.deepcopy(layer)
    for row, expected in zip(x, together, strict=True):
        out, one = single.observe(row[None])
        assert torch.equal(out[0], expected)
        single.learn(one)
    layer.advance(seen)
    assert int(layer.count) == int(single.count) == 6
    assert torch.equal(layer.respond(x), single.respond(x))
    assert not torch.equal(layer.respond(x), together)
    other = sh.Poisson(20, rate=300.0, seed=8)
    assert not torch.equal(other.respond(x), together)
    layer.reset()
    assert torch.equal(layer.respond(x), together)


def test_poisson_goes_on_after_a_snapshot(tmp_path: Any) -> None:
    def net() -> sh.StreamNet:
        return sh.StreamNet(sh.Poisson(10), sh.SpikeCount(), sh.Dense(4, 3), input_shape=(4,))

    whole, first, second = net(), net(), net()
    xs = rand(8, 4)
    expected = [whole.step(x).scores for x in xs]
    for x in xs[:4]:
        first.step(x)
    first.save(tmp_path / "half.safetensors")
    second.load(tmp_path / "half.safetensors")
    for x, scores in zip(xs[4:], expected[4:], strict=True):
        assert torch.equal(second.step(x).scores, scores)


@given(
    steps=st.integers(1, 40),
    largest=st.floats(0.1, 300.0),
    values=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6),
)
def test_latency_gives_one_spike_the_earlier_the_larger(
    steps: int, largest: float, values: list[float]
) -> None:
    x = torch.tensor([values], dtype=DOUBLE)
    spikes = sh.Latency(steps, largest).respond(x * largest)
    decoded = sh.FirstSpike().respond(spikes)
    assert torch.equal(spikes.sum(1), (decoded > 0).double())  # one each, or silence
    assert bool(((decoded - x).abs() <= 0.5 / steps + 1e-9).all())
    order = x[0].argsort()
    assert bool((decoded[0][order].diff() >= 0).all())


@given(
    signal=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20),
    threshold=st.floats(0.05, 2.0),
)
def test_level_crossing_equals_its_definition(signal: list[float], threshold: float) -> None:
    x = torch.tensor(signal, dtype=DOUBLE)[None, :, None]
    out = sh.LevelCrossing(threshold).double().respond(x)[0]
    assert (out[:, 0] - out[:, 1]).tolist() == oracles.send_on_delta(signal, threshold)
    assert float((out[:, 0] * out[:, 1]).sum()) == 0


def test_level_crossing_carries_on_from_sample_to_sample() -> None:
    signal = rand(2, 24, 3, seed=4).cumsum(1) * torch.tensor([1.0, -1.0, 0.1])  # two streams
    whole = sh.LevelCrossing(0.8).respond(signal)
    assert whole.sum() > 0
    for cut in (1, 4):
        layer = sh.LevelCrossing(0.8, carry=True)
        parts = []
        for sample in signal.split(cut, 1):
            out, seen = layer.observe(sample)
            layer.learn(seen)
            parts.append(out)
        assert torch.equal(torch.cat(parts, 1), whole)
    with pytest.raises(ShapeError, match="carries the signal state of 2 parallel samples .* got 1"):
        layer.respond(signal[:1])
    layer.reset_state()
    assert torch.equal(layer.respond(signal), whole)


def test_level_crossing_of_images_puts_on_before_off() -> None:
    x = torch.zeros(1, 2, 2, 3, 3)
    x[0, 1, 0, 0, 0], x[0, 1, 1, 2, 2] = 1.0, -1.0
    layer = sh.LevelCrossing(0.5)
    out = layer.respond(x)
    assert tuple(out.shape[1:]) == layer.shape((2, 2, 3, 3)) == (2, 4, 3, 3)
    assert out.nonzero().tolist() == [[0, 1, 0, 0, 0], [0, 1, 3, 2, 2]]


@pytest.mark.parametrize(
    ("layer", "value", "message"),
    [
        (sh.Poisson(4), -0.5, r"Poisson: the value -0.5 is not allowed; .* between 0 and 10 "),
        (sh.Poisson(4, rate=1000.0), 1.5, r"Poisson: the value 1.5 .* between 0 and 1 .*rate=1000"),
        (sh.Latency(4), 1.5, r"Latency: the value 1.5 is not allowed; .* between 0 and 1 "),
        (sh.Latency(4, 255.0), -1.0, r"Latency: the value -1 is not allowed; .* 0 and 255 "),
    ],
)
def test_what_is_no_rate_or_time_is_refused_before_anything_learns(
    layer: sh.Layer, value: float, message: str
) -> None:
    net = sh.StreamNet(layer, sh.SpikeCount(), sh.Dense(3, 2), input_shape=(3,))
    before = {
        name: value.clone() for name, value in net.state_dict().items() if "extra" not in name
    }
    with pytest.raises(InputError, match=message):
        net.step(torch.tensor([0.1, value, 0.1]))
    after = net.state_dict()
    assert all(torch.equal(after[name], kept) for name, kept in before.items())
    assert net.counts["learned"] == 0


# ---- neurons ---------------------------------------------------------------------------------

NEURONS = [sh.LIF(), sh.LIFBox(), sh.LIFRefractory(), sh.ALIF(), sh.LI()]


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: type(n).__name__)
def test_a_layer_of_neurons_is_the_neuron_over_time(neuron: Any) -> None:
    x = rand(3, 30, 2, 4) * 4
    out = sh.Spiking(neuron).respond(x)
    state = {name: value.expand(3, 8) for name, value in neuron.init(8).items()}
    for t in range(30):
        expected, _, state = neuron.step(x[:, t].flatten(1), state, None)
        assert torch.equal(out[:, t].flatten(1), expected)


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: type(n).__name__)
def test_carried_neurons_go_on_and_can_be_saved(neuron: Any) -> None:
    x = rand(2, 40, 3) * 4  # two streams
    whole = sh.Spiking(neuron).respond(x)
    layer, parts = sh.Spiking(neuron, carry=True), []
    for number in range(40):
        if number == 20:  # a new layer takes over the state
            twin = sh.Spiking(neuron, carry=True)
            twin.load_state_dict(layer.state_dict())
            layer = twin
        out, seen = layer.observe(x[:, number : number + 1])
        layer.advance(seen)
        parts.append(out)
    assert torch.equal(torch.cat(parts, 1), whole)
    layer.double()
    assert layer.neuron_v.dtype == DOUBLE
    layer.float()
    assert not torch.equal(layer.respond(x), whole)
    layer.reset()
    assert torch.equal(layer.respond(x), whole)


def test_samples_without_carry_find_the_neurons_at_rest() -> None:
    layer = sh.Spiking()
    x = rand(2, 10, 3) * 4
    out, seen = layer.observe(x)
    layer.learn(seen)
    assert torch.equal(layer.respond(x[1:]), out[1:])
    assert not layer.carries
    assert sh.Spiking(carry=True).carries


# ---- decoders --------------------------------------------------------------------------------


def test_decoders_count_what_is_there() -> None:
    x = (rand(2, 7, 3, 2) > 0.7).float()
    for layer in (
        sh.SpikeCount(),
        sh.SpikeRate(0.002),
        sh.FirstSpike(),
        sh.LastVoltage(),
        sh.MeanVoltage(),
    ):
        out = layer.respond(x)
        assert tuple(out.shape[1:]) == layer.shape((7, 3, 2)) == (3, 2)
    for b in range(2):
        for i in range(3):
            for j in range(2):
                train = x[b, :, i, j].tolist()
                first = train.index(1.0) if 1.0 in train else 7
                values = {
                    sh.SpikeCount(): sum(train),
                    sh.SpikeRate(0.002): sum(train) / (7 * 0.002),
                    sh.FirstSpike(): (7 - first) / 7,
                    sh.LastVoltage(): train[-1],
                    sh.MeanVoltage(): sum(train) / 7,
                }
                for layer, value in values.items():
                    assert float(layer.respond(x)[b, i, j]) == pytest.approx(value)


# ---- bad settings, bad shapes, files ---------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sh.Poisson(0), "Poisson: steps=0 is not allowed; it must be a whole number >= 1"),
        (lambda: sh.Poisson(5, rate=-1.0), "Poisson: rate=-1.0 is not allowed"),
        (lambda: sh.Poisson(5, dt=0), "Poisson: dt=0 is not allowed"),
        (lambda: sh.Poisson(5, seed=-1), "Poisson: seed=-1 is not allowed"),
        (lambda: sh.ConstantCurrent(2.5), "ConstantCurrent: steps=2.5 is not allowed"),
        (lambda: sh.ConstantCurrent(2, float("inf")), "ConstantCurrent: gain=inf is not allowed"),
        (lambda: sh.Latency(5, largest=0), "Latency: largest=0 is not allowed"),
        (lambda: sh.LevelCrossing(0), "LevelCrossing: threshold=0 is not allowed"),
        (lambda: sh.Spiking(sh.LIF), r"Spiking: neuron=LIF is a class; write neuron=LIF\(\)"),
        (lambda: sh.Spiking("LIF"), "Spiking: neuron='LIF' is not allowed; it must be a part"),
        (lambda: sh.SpikeRate(0), "SpikeRate: dt=0 is not allowed"),
    ],
)
def test_bad_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (sh.Spiking(), (), r"Spiking got samples of shape \(\); it needs time in front"),
        (sh.SpikeCount(), (), r"SpikeCount got samples of shape \(\); it needs time in front"),
        (sh.LevelCrossing(1), (9,), r"LevelCrossing got samples of shape \(9,\); it needs time an"),
    ],
)
def test_bad_shapes_are_named(layer: sh.Layer, shape: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer.shape(shape)


def test_a_spiking_net_is_read_from_a_file() -> None:
    data = {
        "layers": [
            {"type": "ConstantCurrent", "steps": 6},
            {"type": "LevelCrossing", "threshold": 0.2, "carry": True},
            {"type": "Spiking", "neuron": {"type": "LIFBox", "tau_mem": 0.02}, "carry": True},
            {"type": "Poisson", "steps": 3, "rate": 50},
            "SpikeCount",
            "SpikeCount",
        ],
    }
    net = sh.build(parse(data, "here"), input_shape=(2, 3, 3))
    assert net.layers[2].neuron == sh.LIFBox(tau_mem=0.02)
    assert net.step(rand(2, 3, 3)).scores.shape == (4, 3, 3)


def test_nothing_warns_when_norse_is_loaded() -> None:
    from streamhebb.neurons._norse import norse

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        norse.__wrapped__()
