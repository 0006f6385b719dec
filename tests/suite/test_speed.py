"""Radii after every mini-batch: the phase itself is not changed by being watched."""

from __future__ import annotations

import pytest
import torch

from streamhebb.errors import ConfigError
from streamhebb.evaluate import train_phases
from streamhebb.suite import find, report, run_trial, run_trials
from streamhebb.suite.running import folder_of
from streamhebb.suite.speed import SpeedTrial, mini_batches, moving_average, thinned

NETS = ("2HardCnnCIFAR_speed", "2HardCnnCIFA_speed_linearDecay")
SMALL = {"twin": True, "samples": 70}


@pytest.mark.parametrize(("net", "epochs"), [(NETS[0], 1), (NETS[1], 2)])
def test_weights_are_those_of_the_phase_to_the_bit(net, epochs):
    trial = SpeedTrial(net=net, **SMALL).offline(mode="successive", settings={"epochs": epochs})
    one, two = trial.build(), trial.build()
    data = trial.read(one.stages[0].data, "cpu")
    before = one.net.layers[1].weight.clone()
    seen = list(mini_batches(one, one.stages[0], data))
    assert seen == [50, 70, 120, 140][: 2 * epochs]
    train_phases(two.net, two.stages[0].phase, (data.x, None), blocks=two.blocks)
    mine, theirs = one.net.state_dict(), two.net.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name
    assert one.net.layers[1].rate == two.net.layers[1].rate
    assert one.net.counts == two.net.counts
    assert not torch.equal(one.net.layers[1].weight, before)


def test_all_layers_at_once_are_the_same_too():
    trial = SpeedTrial(net="softhebb-cifar-2conv", twin=True, samples=20)
    trial = trial.offline(mode="consecutive")
    one, two = trial.build(), trial.build()
    data = trial.read(one.stages[0].data, "cpu")
    for _ in mini_batches(one, one.stages[0], data):
        pass
    train_phases(two.net, two.stages[0].phase, (data.x, None), blocks=two.blocks)
    for a, b in zip(one.net.layers, two.net.layers, strict=True):
        if hasattr(a, "weight"):
            assert torch.equal(a.weight, b.weight)


def test_r1_features_are_counted_after_every_mini_batch(tmp_path):
    trial = SpeedTrial(net=NETS[0], window=1, **SMALL)
    found = run_trial(trial, tmp_path)["result"]
    net = trial.offline().build().net
    net.load(folder_of(trial, tmp_path).net)
    weight = net.layers[1].weight.flatten(1).double()
    radii = [sum(float(w) ** 2 for w in row) ** 0.5 for row in weight]
    assert found["r1"] == sum(abs(radius - 1) < 0.01 for radius in radii)
    assert found["convergence"] == pytest.approx(sum(abs(r - 1) for r in radii) / 96, rel=1e-4)
    assert [x for x, _ in found["curve"]] == [50, 70]
    assert found["curve"][-1][1] == found["r1"]


def test_moving_averages():
    values = [float(v * v % 7) for v in range(40)]
    for window in (1, 3, 100):
        wanted = [
            sum(values[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(40)
        ]
        assert moving_average(values, window) == pytest.approx(wanted)


def test_curves_are_thinned_and_keep_their_ends():
    x = list(range(1000))
    found = thinned(x, [float(v) for v in x])
    assert len(found) == 300
    assert (found[0], found[-1]) == ([0, 0], [999, 999])
    assert thinned([5], [1.0]) == [[5, 1.0]]


def test_both_curves_are_in_one_picture_and_the_counts_are_cells(tmp_path):
    experiment = find("b3b-speed").but(**SMALL)
    run_trials(experiment.trials(), (0,), tmp_path)
    text = report(tmp_path, tmp_path / "out", ["b3b-speed"]).read_text()
    assert "| rate by radius | " in text
    assert "| linear decay | " in text
    assert text.count("(1) |") == 4
    picture = tmp_path / "out" / "b3b-speed-twin-true-samples-70.png"
    assert picture.stat().st_size > 5000
    assert picture.name in text


def test_a_net_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="2HardCnn"):
        run_trial(SpeedTrial(net="2HardCnnCIFAR_spead"), tmp_path)
