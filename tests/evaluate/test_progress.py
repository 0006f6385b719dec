"""Training that is interrupted after any epoch goes on and ends with the same bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels, snapshot
from streamhebb.errors import ConfigError, SnapshotError
from streamhebb.evaluate import Phase, PhaseEpoch, linear_probe, plan_phases, train_phases
from streamhebb.evaluate.progress import Progress
from streamhebb.schedule import Threads
from streamhebb.sources import CropFlip, Noise, ResizedCropFlip


class Killed(Exception):
    """What ends a run in these tests."""


def data(count: int = 26, seed: int = 0) -> tuple[Tensor, list[int]]:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, 6, 6, generator=source)
    return x, torch.randint(3, (count,), generator=source).tolist()


def hebbian() -> sh.StreamNet:
    """Statistics, schedules, state of a scaling, a bias; classes that appear while it learns."""
    return sh.StreamNet(
        sh.BatchNorm(2),
        sh.Conv2d(2, 4, 3, scaling=sh.LayerMax(), rate=sh.LinearDecay(0.1, 3)),
        sh.Triangle(), sh.MaxPool2d(2), sh.RunningNorm(4),
        sh.Conv2d(4, 5, 2, scaling=sh.NeuronRMS(), bias=sh.PriorBias(gain=0.1)),
        sh.Triangle(), sh.Flatten(),
        readout=sh.SoftmaxReadout(lr=0.01), input_shape=(2, 6, 6), seed=3,
    )  # fmt: skip


def clamped() -> sh.StreamNet:
    """A Hebbian readout, whose schedule no snapshot of a net holds."""
    return sh.StreamNet(
        sh.Flatten(), sh.Dense(72, 6, scaling=sh.NeuronMax(memory=9)), sh.Triangle(),
        readout=sh.SoftHebbReadout(classes=3, rate=sh.LinearDecay(0.1, 7)),
        input_shape=(2, 6, 6), seed=1,
    )  # fmt: skip


def taught() -> sh.StreamNet:
    """Layers that follow a gradient, after one that is Hebbian."""
    torch.manual_seed(5)
    return sh.StreamNet(
        sh.BatchNorm(2), sh.Conv2d(2, 4, 3, scaling=sh.LayerMax()), sh.Triangle(),
        sh.BackpropConv2d(4, 5, 2, bias=True), sh.ReLU(), sh.Flatten(), sh.BackpropDense(45, 7),
        sh.Tanh(), readout=sh.SoftmaxReadout(classes=3, lr=0.01), input_shape=(2, 6, 6), seed=None,
    )  # fmt: skip


OWN, TOLD = Phase(epochs=2, batch_size=5), Phase(epochs=3, batch_size=8, dropout=0.4)
RUNS: dict[str, tuple[Callable[[], sh.StreamNet], str, Any]] = {
    "hebbian": (hebbian, "successive", None),
    "all at once": (hebbian, "simultaneous", None),
    "hebbian readout": (clamped, "successive", None),
    "taught": (taught, "successive", None),
    "taught together": (taught, "consecutive", None),
    "noise": (taught, "consecutive", lambda: Noise(0.1, seed=4)),
    "crops": (hebbian, "successive", lambda: CropFlip(1, seed=4)),
    "parts": (hebbian, "consecutive", lambda: ResizedCropFlip(seed=4)),
}


def stop_at(count: int) -> Callable[[Any], None]:
    """Be killed at the report with this number, counted from 1."""
    heard: list[Any] = []

    def heard_of(report: Any) -> None:
        heard.append(report)
        if len(heard) == count:
            raise Killed

    return heard_of


def train(build: Any, mode: str, augment: Any, **more: Any) -> tuple[sh.StreamNet, Any]:
    net = build()
    plan = plan_phases(net, mode, unsupervised=OWN, supervised=TOLD)
    made = None if augment is None else augment()
    return net, train_phases(net, plan, data(), data(9, 1), augment=made, **more)


def bits(value: Any) -> Any:
    if isinstance(value, Tensor):
        flat = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return str(value.dtype), tuple(value.shape), flat.tolist()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


def state(net: sh.StreamNet) -> Any:
    return bits(dict(net.state_dict()))


def timeless(reports: Any) -> Any:
    return [dataclasses.replace(report, seconds=0.0) for report in reports]


# -- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RUNS)
def test_killed_after_each_epoch_it_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    run = RUNS[kind]
    net, wanted = train(*run)
    path = tmp_path / "deep" / "progress"
    for _ in wanted:  # every call trains one epoch
        with pytest.raises(Killed):
            train(*run, progress=path, on_epoch=stop_at(1))
    heard: list[PhaseEpoch] = []
    again, found = train(*run, progress=path, on_epoch=heard.append)
    assert not heard, "nothing was left to train"
    assert state(again) == state(net)
    assert timeless(found) == timeless(wanted)
    assert [layer.config() for layer in again.layers] == [layer.config() for layer in net.layers]
    assert again.readout.config() == net.readout.config(), "rates are put back"


@pytest.mark.parametrize("stop", range(1, 8))
def test_the_rest_is_trained_at_one_go(stop: int, tmp_path: Path) -> None:
    run = RUNS["crops"]
    net, wanted = train(*run, report_every=2)
    assert [(r.phase, r.epoch) for r in wanted] == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2),
                                                    (2, 3)]  # fmt: skip
    path = tmp_path / "progress"
    with pytest.raises(Killed):
        train(*run, progress=path, report_every=2, on_epoch=stop_at(stop))
    heard: list[PhaseEpoch] = []
    again, found = train(*run, progress=path, report_every=2, on_epoch=heard.append)
    assert timeless(found) == timeless(wanted)
    assert timeless(heard) == timeless(wanted[stop:])
    assert state(again) == state(net)
    whole = train(*run, progress=tmp_path / "other", report_every=2)
    assert state(whole[0]) == state(net), "keeping progress changes nothing"


def test_lanes_and_compiled_kernels(tmp_path: Path) -> None:
    run = hebbian, "consecutive", None
    with kernels.use("numba"):
        net, wanted = train(*run)
        threads = Threads(2)
        for stop in (1, 2, 1):
            with pytest.raises(Killed):
                train(*run, progress=tmp_path / "p", on_epoch=stop_at(stop), scheduler=threads)
        again, found = train(*run, progress=tmp_path / "p", scheduler=threads)
        threads.close()
    assert state(again) == state(net)
    assert timeless(found) == timeless(wanted)


def test_the_same_net_in_the_same_process_goes_on(tmp_path: Path) -> None:
    wanted, _ = train(*RUNS["hebbian"])
    net = hebbian()
    plan = plan_phases(net, unsupervised=OWN, supervised=TOLD)
    for stop in (1, 3):
        with pytest.raises(Killed):
            train_phases(net, plan, data(), data(9, 1), on_epoch=stop_at(stop),
                         progress=tmp_path / "p")  # fmt: skip
        net.step(torch.randn(2, 6, 6))  # is forgotten
    train_phases(net, plan, data(), data(9, 1), progress=tmp_path / "p")
    assert state(net) == state(wanted)


def test_an_epoch_that_was_broken_off_is_done_again(tmp_path: Path) -> None:
    class Breaking(Noise):
        left = 8  # mini-batches; an epoch has 6

        def __call__(self, x: Tensor) -> Tensor:
            self.left -= 1
            if not self.left:
                raise Killed
            return super().__call__(x)

    class Whole(Breaking):
        left = 10**6

    Whole.__name__ = Whole.__qualname__ = "Breaking"
    wanted, _ = train(hebbian, "successive", Whole)
    heard: list[PhaseEpoch] = []
    with pytest.raises(Killed):
        train(hebbian, "successive", Breaking, progress=tmp_path / "p", on_epoch=heard.append)
    assert len(heard) == 1
    again, _ = train(hebbian, "successive", Whole, progress=tmp_path / "p")
    assert state(again) == state(wanted)


def test_weights_drawn_without_a_seed_are_those_of_the_first_start(tmp_path: Path) -> None:
    nets = [sh.StreamNet(sh.Dense(72, 5), seed=None) for _ in range(2)]
    assert not torch.equal(nets[0].layers[0].weight, nets[1].layers[0].weight)
    x = data()[0].flatten(1)
    for net in nets:
        train_phases(net, Phase((0,), epochs=2), (x, None), progress=tmp_path / "p")
    assert torch.equal(nets[0].layers[0].weight, nets[1].layers[0].weight)


def test_seconds_go_on(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(*RUNS["hebbian"], progress=tmp_path / "p", on_epoch=stop_at(1))
    _, reports = train(*RUNS["hebbian"], progress=tmp_path / "p")
    assert 0 < reports[0].seconds < reports[1].seconds


def test_tuning_is_not_done_again_within_a_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamhebb.evaluate import work

    asked: list[int] = []
    monkeypatch.setattr(work, "choose", lambda layers, x, learning: asked.append(1))
    for stop, calls in ((1, 8), (1, 8), (1, 16)):  # one for each layer, at each phase's beginning
        with pytest.raises(Killed):
            train(*RUNS["hebbian"], progress=tmp_path / "p", tune=True, on_epoch=stop_at(stop))
        assert len(asked) <= calls
    assert asked


# -- augmentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CropFlip, Noise, ResizedCropFlip])
def test_augmentation_goes_on_where_it_was(kind: Any) -> None:
    one, other, x = kind(seed=7), kind(seed=7), torch.rand(6, 3, 8, 8)
    assert one.state() == {}
    one(x)
    kept = one.state()
    wanted = one(x)
    other(x), other(x), other(x)
    other.restore(kept)
    assert torch.equal(other(x), wanted)
    other.restore({})
    assert torch.equal(other(x), kind(seed=7)(x)), "back at the beginning"


def test_augmentation_from_a_device_that_is_not_here() -> None:
    with pytest.raises(SnapshotError, match="'mps:7', which is not here"):
        Noise().restore({"device": "mps:7", "chance": torch.Generator().get_state()})


def test_augmentation_that_cannot_go_on_is_refused(tmp_path: Path) -> None:
    net = hebbian()
    before = state(net)
    with pytest.raises(ConfigError, match="state\\(\\) -> dict and restore"):
        train_phases(net, Phase((0,)), data(), augment=lambda x: x, progress=tmp_path / "p")
    assert state(net) == before
    assert not (tmp_path / "p").exists()


# -- the probe ---------------------------------------------------------------------------------


def sets(count: int = 90) -> Any:
    source = torch.Generator().manual_seed(2)
    x = torch.randn(count, 12, generator=source)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return (x[:60], y[:60]), (x[60:], y[60:])


def results(found: Any) -> Any:
    epochs = [dataclasses.replace(epoch, seconds=0.0) for epoch in found.epochs]
    return bits(found.weight), bits(found.bias), epochs, found.test_accuracy, found.classes


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("double", [False, True])
def test_a_probe_goes_on(workers: int, double: bool, tmp_path: Path) -> None:
    train, test = sets()
    if double:
        train, test = (train[0].double(), train[1]), (test[0].double(), test[1])
    call: dict[str, Any] = {"epochs": 23, "batch_size": 16, "lr": 0.02}
    wanted = linear_probe(None, train, test, **call)
    threads = Threads(workers) if workers else None
    more = call | {"scheduler": threads, "progress": tmp_path / "probe"}
    heard: list[int] = []
    for _ in range(4):  # reports after epochs 1, 11, 21 and 23
        with pytest.raises(Killed):
            linear_probe(None, train, test, on_epoch=stop_at(1), **more)
    found = linear_probe(None, train, test, on_epoch=lambda r: heard.append(r.epoch), **more)
    if threads is not None:
        threads.close()
    assert results(found) == results(wanted)
    assert not heard
    assert found.seconds >= found.epochs[-1].seconds > found.epochs[0].seconds > 0


@pytest.mark.parametrize("broken", [1, 2, 7, 12, 13])
def test_a_probe_that_dies_within_an_epoch(
    broken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamhebb.evaluate.probing import Probe

    train, test = sets()
    wanted = linear_probe(None, train, test, epochs=13, batch_size=16)
    whole, calls = Probe.epoch, [0]

    def epoch(self: Probe) -> Any:
        calls[0] += 1
        found = whole(self)
        if calls[0] == broken:
            raise Killed
        return found

    monkeypatch.setattr(Probe, "epoch", epoch)
    call: dict[str, Any] = {"epochs": 13, "batch_size": 16, "progress": tmp_path / "probe"}
    with pytest.raises(Killed):
        linear_probe(None, train, test, **call)
    assert results(linear_probe(None, train, test, **call)) == results(wanted)
    assert calls[0] == 14, "one epoch was done twice"


def test_a_probe_of_a_net_with_features_kept(tmp_path: Path) -> None:
    train, test = sets()
    net = sh.StreamNet(sh.Dense(12, 20), sh.Triangle(), seed=0)
    wanted = linear_probe(net, train, test, epochs=4)
    call: dict[str, Any] = {"epochs": 4, "progress": tmp_path / "p", "keep": tmp_path / "kept"}
    with pytest.raises(Killed):
        linear_probe(net, train, test, on_epoch=stop_at(1), **call)
    assert results(linear_probe(net, train, test, **call)) == results(wanted)
    with pytest.raises(ConfigError, match="give keep=FOLDER too"):
        linear_probe(net, train, test, progress=tmp_path / "p", tune=True)


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 3}, r"epochs is 2 there and 3 here.*Delete the file"),
        ({"batch_size": 9}, "batch_size is 32 there and 9 here"),
        ({"lr": 0.5}, "lr is 0.001 there"),
        ({"dropout": 0.1}, "dropout is 0.5 there"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"schedule": "full"}, "schedule is 'demo' there"),
    ],
)
def test_a_probe_refuses_progress_of_another(change: Any, words: str, tmp_path: Path) -> None:
    train, test = sets()
    call: dict[str, Any] = {"epochs": 2, "batch_size": 32, "progress": tmp_path / "p"}
    linear_probe(None, train, test, **call)
    before = (tmp_path / "p").read_bytes()
    with pytest.raises(SnapshotError, match=words):
        linear_probe(None, train, test, **(call | change))
    with pytest.raises(SnapshotError, match=r"train.samples_digest is"):
        linear_probe(None, (train[0] + 1, train[1]), test, **call)
    with pytest.raises(SnapshotError, match=r"train.labels_digest is"):
        linear_probe(None, (train[0], train[1].flip(0)), test, **call)
    with pytest.raises(SnapshotError, match="progress of linear_probe, not of train_phases"):
        train_phases(hebbian(), Phase((0,)), data(), progress=tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"phases": Phase((0,), epochs=4)}, r"phases\[0\].epochs is 3 there and 4 here"),
        ({"phases": Phase((0,), epochs=3, seed=1)}, r"phases\[0\].seed is 0 there and 1 here"),
        ({"phases": Phase((0, 1), epochs=3)}, "blocks is"),
        ({"phases": [Phase((0,), epochs=3)] * 2}, "phases is"),
        ({"report_every": 2}, "report_every is 1 there and 2 here"),
        ({"test": data(4)}, r"test is None there"),
        ({"train": data(25)}, r"train.*shape\[0\] is 26 there and 25 here"),
        ({"train": data(26, 9)}, "train.samples_digest"),
        ({"augment": Noise(0.2)}, "augment is None there"),
        ({"blocks": [range(6), range(6, 8)]}, r"blocks\[0\]\[1\] is 4 there and 6 here"),
        ({"net": taught}, "net.layers"),
    ],
)
def test_progress_of_another_run_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p"
    call: dict[str, Any] = {"phases": Phase((0,), epochs=3), "train": data()}
    train_phases(hebbian(), progress=path, **call)
    net = change.pop("net", hebbian)()
    before, kept = state(net), path.read_bytes()
    with pytest.raises(SnapshotError, match=words) as caught:
        train_phases(net, progress=path, **(call | change))
    assert "Delete the file to begin anew, or choose another" in str(caught.value)
    assert state(net) == before
    assert path.read_bytes() == kept


def test_other_sizes_seeds_and_precision_are_refused(tmp_path: Path) -> None:
    def net(n_out: int = 5, seed: int = 0, lr: float = 0.1) -> sh.StreamNet:
        return sh.StreamNet(sh.Dense(72, n_out, rate=lr), input_shape=(72,), seed=seed)

    x, phase = data()[0].flatten(1), Phase((0,))
    train_phases(net(), phase, (x, None), progress=tmp_path / "p")
    for other, words in (
        (net(n_out=6), r"net.layers\[0\].n_out is 5 there and 6 here"),
        (net(seed=1), "net.seed is 0 there and 1 here"),
        (net(lr=0.2), r"net.layers\[0\].rate.lr is 0.1 there"),
        (net().double(), "train.dtype is 'torch.float32' there"),
    ):
        with pytest.raises(SnapshotError, match=words):
            train_phases(other, phase, (x, None), progress=tmp_path / "p")


@pytest.mark.parametrize("end", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(end: int, tmp_path: Path) -> None:
    path = tmp_path / "p"
    train(*RUNS["hebbian"], progress=path)
    path.write_bytes(path.read_bytes()[:end])
    net = hebbian()
    before = state(net)
    plan = plan_phases(net, unsupervised=OWN, supervised=TOLD)
    with pytest.raises(SnapshotError, match="not a whole snapshot.*Delete the file to begin anew"):
        train_phases(net, plan, data(), data(9, 1), progress=path)
    assert state(net) == before


def test_other_files_and_places_are_refused(tmp_path: Path) -> None:
    net = hebbian()
    net.save(tmp_path / "net")
    with pytest.raises(SnapshotError, match="holds no progress"):
        train_phases(net, Phase((0,)), data(), progress=tmp_path / "net")
    with pytest.raises(SnapshotError, match="is no file"):
        train_phases(net, Phase((0,)), data(), progress=tmp_path)
    (tmp_path / "file").write_text("x")
    before = state(net)
    with pytest.raises(SnapshotError, match="cannot write"):
        train_phases(net, Phase((0,)), data(), progress=tmp_path / "file" / "p")
    assert state(net) == before, "the disk refuses before anything is learned"


# -- the file ----------------------------------------------------------------------------------

plain = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.booleans(),
                  st.none())  # fmt: skip
trees = st.recursive(
    plain | st.lists(st.floats(width=32), max_size=3).map(lambda v: torch.tensor(v)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(trees)
def test_what_is_written_is_read(tmp_path_factory: Any, tree: Any) -> None:
    path = tmp_path_factory.mktemp("tree") / "p"
    file = Progress("test", path, {"a": 1})
    assert file.read() is None
    file.write({"tree": tree})
    assert same(file.read(), {"tree": tree})
    assert path.stat().st_size < 20_000
    assert snapshot.read(path)[1]["progress"] == "test"


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return bool(bits(a) == bits(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b
