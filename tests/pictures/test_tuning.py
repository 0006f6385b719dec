"""Tuning: what the recorder keeps is what the net had at the time, and is what is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb import pictures
from streamhebb.errors import ConfigError, InputError
from streamhebb.pictures._tiles import stretched, wall_of


def small(seed=0):
    return sh.StreamNet(
        sh.Conv2d(1, 6, 3, padding=1),
        sh.Triangle(),
        sh.Conv2d(6, 4, 3),
        input_shape=(1, 6, 6),
        seed=seed,
    )


def stream(count):
    return torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def test_snapshots_are_the_weights_of_the_time():
    net = small()
    recorder = pictures.TuningRecorder(net, every=4, neurons=[5, 0])
    kernels = {0: net.layers[0].kernel.clone()}
    for number, x in enumerate(stream(10), 1):
        net.step(x)
        assert recorder.record() == (number % 4 == 0)
        kernels[number] = net.layers[0].kernel.clone()
    assert not torch.equal(kernels[0], kernels[8])
    assert [s.sample for s in recorder.snapshots] == [0, 4, 8]
    assert recorder.record(now=True)
    assert not recorder.record(now=True)  # nothing new
    assert [s.sample for s in recorder.snapshots] == [0, 4, 8, 10]
    for snapshot in recorder.snapshots:
        kernel = kernels[snapshot.sample][[5, 0]]
        np.testing.assert_allclose(snapshot.fields, kernel.numpy(), rtol=1e-6)
        norms = [math.sqrt(sum(float(w) ** 2 for w in k.flatten())) for k in kernel]
        np.testing.assert_allclose(snapshot.radius, norms, rtol=1e-5)
        assert snapshot.selectivity is None


def test_memory_does_not_grow_with_the_stream():
    net = small()
    recorder = pictures.TuningRecorder(net, every=1, neurons=2)
    sizes = []
    for x in stream(150):
        net.step(x)
        recorder.record()
        sizes.append(len(recorder.snapshots))
    assert max(sizes) == recorder.MOST
    at = [s.sample for s in recorder.snapshots]
    assert at[0] == 0
    assert at[-1] > 150 - recorder.every
    assert set(np.diff(at)) == {recorder.every}
    assert recorder.every == 8


def test_micro_batches_that_jump_over_the_mark_are_noticed():
    net = small()
    recorder = pictures.TuningRecorder(net, every=10, neurons=2)
    for batch in stream(36).split(6):
        net.step(batch)
        recorder.record()
    assert [s.sample for s in recorder.snapshots] == [0, 12, 24, 30]


def test_fields_of_deeper_layers_are_preferred_inputs():
    net = small()
    recorder = pictures.TuningRecorder(net, "2:Conv2d", neurons=2, steps=3, seed=4)
    expected = pictures.preferred_inputs(net, 2, recorder.neurons, steps=3, seed=4)
    np.testing.assert_allclose(recorder.snapshots[0].fields, expected.numpy(), rtol=1e-6)
    assert recorder.name == "2:Conv2d"
    assert recorder.snapshots[0].fields.shape == (2, 1, 5, 5)


def test_selectivity_is_sparseness_over_the_probes():
    net = small()
    probes = stream(3)
    counts = dict(net.counts)
    recorder = pictures.TuningRecorder(net, "2:Conv2d", neurons=[3, 1], steps=1, probes=probes)
    assert net.counts == counts
    for neuron, got in zip([3, 1], recorder.snapshots[0].selectivity, strict=True):
        rates = []
        for x in probes:
            drive = net.respond(x, activity=True).activity["2:Conv2d"]
            rates += [max(0.0, float(drive[neuron, y, z])) for y in range(4) for z in range(4)]
        n = len(rates)
        activity = (sum(rates) / n) ** 2 / (sum(r * r for r in rates) / n)
        assert got == pytest.approx((1 - activity) / (1 - 1 / n), rel=1e-5)


def test_selectivity_goes_from_0_to_1():
    net = sh.StreamNet(sh.Dense(4, 2), seed=None)
    net.layers[0].set_weight(torch.tensor([[1.0, 0, 0, 0], [1.0, 1, 1, 1]]))
    recorder = pictures.TuningRecorder(net, probes=torch.eye(4))
    np.testing.assert_allclose(recorder.snapshots[0].selectivity, [1, 0], atol=1e-7)
    net.layers[0].set_weight(-net.layers[0].kernel)
    silent = pictures.TuningRecorder(net, probes=torch.eye(4))
    assert np.isnan(silent.snapshots[0].selectivity).all()
    pictures.png(pictures.tuning_over_training(silent))


def test_the_picture_shows_the_snapshots():
    net = small()
    recorder = pictures.TuningRecorder(net, every=2, neurons=3, probes=stream(4))
    for x in stream(14):
        net.step(x)
        recorder.record()
    figure = pictures.tuning_over_training(recorder, columns=4)
    tiles, *lines = figure.axes
    shown = [recorder.snapshots[i] for i in (0, 2, 5, 7)]
    expected = wall_of([stretched(s.fields[i]) for i in range(3) for s in shown], 3, 4)
    np.testing.assert_array_equal(np.asarray(tiles.images[0].get_array()), expected)
    words = [text.get_text() for text in tiles.texts]
    assert words == ["0", "4", "10", "14", *map(str, recorder.neurons)]
    assert len(lines) == 6
    at = [s.sample for s in recorder.snapshots]
    for number, axes in enumerate(lines):
        name, neuron = ("radius", "selectivity")[number // 3], number % 3
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), at)
        values = [getattr(s, name)[neuron] for s in recorder.snapshots]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), values)
        assert axes.texts[0].get_text() == f"{values[-1]:.2f}"
        assert axes.get_title() == (name if neuron == 0 else "")
    for axes in figure.axes:  # nothing is cut off
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


def test_dense_neurons_on_pictures_and_single_snapshots():
    net = sh.StreamNet(sh.Flatten(), sh.Dense(24, 3), input_shape=(2, 3, 4))
    recorder = pictures.TuningRecorder(net, neurons=1)
    assert recorder.snapshots[0].fields.shape == (1, 2, 3, 4)
    assert pictures.png(pictures.tuning_over_training(recorder))[1:4] == b"PNG"


def test_what_cannot_be_recorded_is_refused():
    net = small()
    for more, said in (
        ({"layer": "1:Triangle"}, "0:Conv2d, 2:Conv2d"),
        ({"every": 0}, "every=0"),
        ({"neurons": [6]}, "from 0 to 5"),
        ({"steps": 0}, "steps=0"),
    ):
        with pytest.raises(ConfigError, match=said):
            pictures.TuningRecorder(net, **more)
    with pytest.raises(InputError, match="no probes"):
        pictures.TuningRecorder(net, probes=[])
    with pytest.raises(ConfigError, match="no pictures of shape"):
        pictures.TuningRecorder(sh.StreamNet(sh.Dense(7, 2)))
    with pytest.raises(ConfigError, match="pass a TuningRecorder"):
        pictures.tuning_over_training([1, 2])
    recorder = pictures.TuningRecorder(net)
    with pytest.raises(ConfigError, match="columns=1"):
        pictures.tuning_over_training(recorder, columns=1)
    net.step(stream(1)[0])
    net.layers[0].weight.fill_(math.nan)
    with pytest.raises(ConfigError, match="54 of 54 weights of 0:Conv2d are NaN"):
        recorder.record(now=True)
    assert len(recorder.snapshots) == 1
