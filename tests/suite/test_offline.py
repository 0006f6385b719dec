"""A preset over a whole set, as one trial."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from streamhebb import presets
from streamhebb.errors import BusyError, ConfigError
from streamhebb.evaluate import features, linear_probe, train_phases
from streamhebb.evaluate.reports import read_lines
from streamhebb.suite import OfflineTrial, Setup, Trial, Work, run_trial
from streamhebb.suite.offline import changed, trained
from streamhebb.suite.running import folder_of

SMALL = {"twin": True, "samples": 60, "tested": 40, "epochs": 3}
NET = "softhebb-cifar-1conv"


def run(tmp_path, **settings):
    return run_trial(OfflineTrial(**SMALL | settings), tmp_path)["result"]


def test_a_trial_is_phases_then_a_probe(tmp_path):
    found = run(tmp_path, net=NET)
    net, blocks, stages = presets.build(
        NET, unsupervised=presets.data_settings("CIFAR10_1").but(samples=60)
    )
    data = [presets.load_data(s.data, twin=True, samples=60, tested=40) for s in stages]
    for layer in net.layers:
        if "winograd4" in getattr(getattr(layer, "synapse", None), "methods", ()):
            layer.method = "winograd4"
    train_phases(net, stages[0].phase, data[0].train, blocks=blocks)
    made = [features(net, x) for x in (data[1].x, data[1].x_test)]
    wanted = linear_probe(
        None, (made[0], data[1].y), (made[1], data[1].y_test), epochs=3, schedule="full"
    )
    assert found["test_accuracy"] == wanted.test_accuracy
    assert found["train_accuracy"] == wanted.train_accuracy


def test_only_the_first_blocks_learn(tmp_path):
    found = run(tmp_path, net="softhebb-cifar-2conv", learned=1)
    none = run(tmp_path, net="softhebb-cifar-2conv", hidden="normed")
    (first, second), before = found["layers"], none["layers"]
    assert first["radius"] != before[0]["radius"]
    assert second == before[1]


def test_layers_that_do_not_learn_take_statistics_unless_they_are_left_random():
    for hidden, moved in (("normed", True), ("random", False)):
        trial = OfflineTrial(net=NET, hidden=hidden, **SMALL)
        built = trial.build()
        for stage in built.stages[:-1]:
            data = trial.read(stage.data, "cpu")
            train_phases(built.net, stage.phase, data.train, blocks=built.blocks)
        norm = built.net.layers[0]
        assert bool((norm.mean != 0).any()) is moved


def test_back_propagation_learns_end_to_end(tmp_path):
    found = run(tmp_path, net="2CnnCIFAR", mode="consecutive")
    assert 0 <= found["test_accuracy"] <= 1
    assert "readout" not in found["seconds"]


def test_changes_are_those_of_the_mini_language():
    preset = presets.find("softhebb-cifar-2conv")
    one = changed(preset, {"1": {"radius": 3, "rule": "hard"}})
    assert one.blocks[0] == preset.blocks[0]
    assert (one.blocks[1].code.rule, one.blocks[1].code.radius) == ("hard", 3)
    every = changed(preset, {"hidden": {"t": 2}})
    assert [block.code.t for block in every.blocks[:2]] == [2, 2]
    assert every.blocks[2] == preset.blocks[2]


def test_whole_numbers_can_be_changed():
    trial = OfflineTrial(net="softhebb-cifar-1conv", changes={"0": {"n_out": 8, "kernel_size": 3}})
    assert trial.preset().blocks[0].layer.startswith("softkrotov-c8-k3-")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"7": {"t": 1}}, "no block '7'"),
        ({"first": {"t": 1}}, "no block 'first'"),
        ({"0": {"temperature": 1}}, "names no setting of rule, n_out"),
        ({"0": {"t": -1}}, "t"),
        ({"0": {"pool": "min_2_2_0"}}, "pool"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        OfflineTrial(net="softhebb-cifar-1conv", changes=changes).preset()


def test_data_settings_of_another_set_and_fewer_epochs():
    trial = OfflineTrial(net=NET, data="cifar100", settings={"epochs": 2}, samples=100)
    first, last = trial.build().stages
    assert (first.data.name, first.phase.epochs, first.data.samples) == ("CIFAR100_1", 2, 100)
    assert last.data.classes == 100


def test_threads_change_no_bit(tmp_path):
    one = run(tmp_path / "1", net="softhebb-cifar-2conv", mode="consecutive")
    trial = OfflineTrial(net="softhebb-cifar-2conv", mode="consecutive", **SMALL)
    two = run_trial(trial, tmp_path / "2", Setup(threads=2))["result"]
    assert one["layers"] == two["layers"]
    assert one["test_accuracy"] == two["test_accuracy"]
    assert torch.get_num_threads() >= 1


def test_the_trained_net_can_be_had_with_its_readout(tmp_path):
    trial = OfflineTrial(net="2SoftMlpMNIST", **SMALL)
    found = run_trial(trial, tmp_path)["result"]
    work = Work(folder_of(Toy(), tmp_path))
    net = trained(trial, work).net
    data = trial.read(trial.build().stages[-1].data, "cpu")
    scores = net.readout.respond(features(net, data.x_test))
    told = torch.tensor([net.labels.index(label) for label in data.y_test])
    assert float((scores.argmax(1) == told).double().mean()) == found["test_accuracy"]


def test_a_net_that_another_process_trains_is_not_waited_for(tmp_path):
    trial = OfflineTrial(net="2SoftMlpMNIST", **SMALL)
    with (
        folder_of(trial, tmp_path).lock(),
        pytest.raises(BusyError, match="trained by another process"),
    ):
        trained(trial, Work(folder_of(Toy(), tmp_path)))


class Toy(Trial):
    kind: Literal["toy"] = "toy"

    def label(self):
        return "toy"


class Killed(Exception):
    pass


@pytest.mark.parametrize("line", ["stage 1", "stage 2", "readout, epoch 1:"])
def test_a_killed_trial_goes_on_and_ends_with_the_same_bits(tmp_path, line):
    trial = OfflineTrial(net="softhebb-cifar-2conv", **SMALL)

    def kill(told):
        if line in told:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial, tmp_path / "killed", tell=kill)
    told = []
    again = run_trial(trial, tmp_path / "killed", tell=told.append)["result"]
    assert not any(line in each for each in told)
    whole = run_trial(trial, tmp_path / "whole")["result"]
    for name in ("test_accuracy", "train_accuracy", "layers"):
        assert again[name] == whole[name]
    kept = [folder_of(trial, tmp_path / name).measures for name in ("killed", "whole")]
    one, two = (read_lines(path) for path in kept)
    assert [each.epoch for each in one] == [each.epoch for each in two]


def test_a_trial_starts_from_another_ones_net_with_or_without_the_readout(tmp_path):
    first = OfflineTrial(net="2SoftMlpMNIST", **SMALL)
    run_trial(first, tmp_path)
    path = str(folder_of(first, tmp_path).net)
    again = first.but(start=path, hidden="random").build().net
    whole = first.but(start=path, start_readout=True).build().net
    net = first.build().net
    net.load(path)
    for one in (again, whole):
        assert torch.equal(one.layers[1].weight, net.layers[1].weight)
    assert torch.equal(whole.readout.weight, net.readout.weight)
    assert not again.readout.weight.any()
    assert first.but(start=path).key != first.key
    digests = [
        run_trial(first.but(start=path), tmp_path / name)["digests"]["start"] for name in "ab"
    ]
    net.readout.weight += 1
    net.save(path)
    digests.append(run_trial(first.but(start=path), tmp_path / "c")["digests"]["start"])
    assert digests[0] == digests[1] != digests[2]


def test_more_layers_than_there_are_cannot_learn():
    assert OfflineTrial(net="softhebb-cifar-2conv", learned=2).preset()
    with pytest.raises(ConfigError, match="learned=9 is not allowed; .* has 1 hidden"):
        OfflineTrial(net=NET, learned=9).resolved()
