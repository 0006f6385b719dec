"""The linear probe: as published, repeatable, and honest about its sets."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb import kernels
from streamhebb.chance import Dropout
from streamhebb.errors import ConfigError, InputError, LabelError, NonFiniteError, ShapeError
from streamhebb.evaluate import probing
from streamhebb.evaluate.probe import linear_probe
from streamhebb.evaluate.schedule import halving_epochs
from streamhebb.schedule import Shuffled, Threads


@pytest.fixture(scope="module")
def digits() -> Any:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))  # the set is sorted by writer
    x, y = x[order], y[order]
    return (x[:1300], y[:1300]), (x[1300:], y[1300:])


@pytest.fixture(scope="module")
def small(digits: Any) -> Any:
    (x, y), (u, v) = digits
    return (x[:200], y[:200]), (u[:100], v[:100])


def test_raw_pixels_of_real_digits(digits: Any) -> None:
    train, test = digits
    found = linear_probe(None, train, test, lr=0.01, dropout=0.0)
    assert found.test_accuracy > 0.93
    assert found.train_accuracy > 0.95
    assert [epoch.epoch for epoch in found.epochs] == [1, 11, 21, 31, 41, 50]
    assert found.epochs[-1].test_accuracy == found.test_accuracy
    assert found.epochs[0].loss > found.epochs[-1].loss
    assert found.classes == tuple(range(10))
    assert found.weight.shape == (10, 64)
    assert not found.weight.requires_grad


def test_published_settings_train_with_half_of_the_features_missing(digits: Any) -> None:
    found = linear_probe(None, *digits)
    assert found.test_accuracy > 0.87
    assert found.train_accuracy < found.test_accuracy - 0.1  # dropout is on while training only


def test_result_is_that_of_the_layer_it_returns(small: Any) -> None:
    train, (x, y) = small
    found = linear_probe(None, train, (x, y), epochs=3, lr=0.05)
    scores = torch.from_numpy(x) @ found.weight.T + found.bias
    rows = torch.tensor([found.classes.index(label) for label in y.tolist()])
    assert float((scores.argmax(1) == rows).float().mean()) == pytest.approx(found.test_accuracy)


def test_equals_plain_torch_without_dropout(small: Any) -> None:
    """The same arithmetic written out: torch's Adam, cross-entropy, the published halvings."""
    (x, y), test = small
    epochs, lr, batch = 10, 0.01, 64
    found = linear_probe(
        None, (x, y), test, epochs=epochs, lr=lr, batch_size=batch, dropout=0.0, seed=7
    )
    chance = torch.Generator().manual_seed(7)
    layer = torch.nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.uniform_(-1 / 8, 1 / 8, generator=chance)
        layer.bias.uniform_(-1 / 8, 1 / 8, generator=chance)
    adam = torch.optim.Adam(layer.parameters(), lr=lr)
    milestones = list(halving_epochs(epochs, "demo"))
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, milestones, gamma=0.5)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(epochs):
        for part in torch.randperm(len(rows), generator=chance).split(batch):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(layer(rows[part]), labels[part]).backward()
            adam.step()
        schedule.step()
    torch.testing.assert_close(found.weight, layer.weight.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.bias, layer.bias.detach(), rtol=1e-5, atol=1e-6)


def test_initial_weights_are_spread_as_torchs_own(small: Any) -> None:
    train, test = small
    found = linear_probe(None, train, test, epochs=1, lr=1e-12).weight
    torch.manual_seed(0)
    stock = torch.nn.Linear(64, 10).weight.detach()
    assert found.abs().max() <= 1 / 8
    assert stock.abs().max() <= 1 / 8
    assert float(found.std()) == pytest.approx(float(stock.std()), rel=0.1)
    assert abs(float(found.mean())) < 0.01


def test_one_seed_one_result_whatever_else_is_drawn(small: Any) -> None:
    train, test = small
    torch.manual_seed(1)
    a = linear_probe(None, train, test, epochs=2, seed=3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    b = linear_probe(None, train, test, epochs=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)  # nor does it disturb anybody else
    c = linear_probe(None, train, test, epochs=2, seed=4)
    assert torch.equal(a.weight, b.weight)
    assert (a.train_accuracy, a.test_accuracy) == (b.train_accuracy, b.test_accuracy)
    assert not torch.equal(a.weight, c.weight)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("share", [0.5, 0.3])
def test_equals_plain_torch_with_the_same_features_left_out(
    share: float, backend: str, small: Any
) -> None:
    """Autograd, a module, torch's plain Adam and a mask that is multiplied with."""
    (x, y), test = small
    with kernels.use(backend):
        found = linear_probe(
            None, (x, y), test, epochs=4, lr=0.01, batch_size=48, dropout=share, seed=3
        )
    chance = torch.Generator().manual_seed(3)
    layer = torch.nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.uniform_(-1 / 8, 1 / 8, generator=chance)
        layer.bias.uniform_(-1 / 8, 1 / 8, generator=chance)
    adam = torch.optim.Adam(layer.parameters(), lr=0.01)
    drop, rows, labels, step = Dropout(share, 3), torch.from_numpy(x), torch.from_numpy(y), 0
    for epoch in range(4):
        adam.param_groups[0]["lr"] = 0.01 * 0.5 ** sum(
            e <= epoch for e in halving_epochs(4, "demo")
        )
        for part in torch.randperm(len(rows), generator=chance).split(48):
            words = drop.kept(64 * len(part), step).tolist()  # one for each sample's features
            bits = [[word >> i & 1 for i in range(64)] for word in words]
            step += 1
            adam.zero_grad()
            scores = layer(rows[part] * torch.tensor(bits) / (1 - share))
            torch.nn.functional.cross_entropy(scores, labels[part]).backward()
            adam.step()
    torch.testing.assert_close(found.weight, layer.weight.detach(), rtol=1e-4, atol=2e-6)
    torch.testing.assert_close(found.bias, layer.bias.detach(), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("schedule", "epochs"), [("demo", 50), ("demo", 4), ("full", 20), ("full", 4)]
)
def test_the_rate_is_halved_when_the_schedule_says(
    schedule: str, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    epoch = probing.Probe.epoch

    def spy(self: Any) -> Any:
        rates.append(self.layer.lr)
        return epoch(self)

    monkeypatch.setattr(probing.Probe, "epoch", spy)
    x, y = torch.rand(4, 3), [0, 1, 0, 1]
    linear_probe(None, (x, y), (x, y), epochs=epochs, lr=1.0, schedule=schedule)
    starts = halving_epochs(epochs, schedule)
    assert rates == [0.5 ** sum(start <= number for start in starts) for number in range(epochs)]


def test_a_net_is_asked_once_for_its_features_and_not_changed(small: Any) -> None:
    (x, y), (u, v) = small
    net = sh.StreamNet(sh.Dense(64, 30), sh.Triangle(), readout=sh.SoftmaxReadout(30))
    net.fit(x, y)
    before = copy.deepcopy(dict(net.state_dict()))
    calls = []

    class Counting(sh.Triangle):
        def respond(self, x: Any) -> Any:
            calls.append(len(x))
            return super().respond(x)

    net.layers[1].__class__ = Counting
    found = linear_probe(net, (x, y), (u, v), epochs=12)
    assert calls == [64, 64, 64, 8, 64, 36]
    net.layers[1].__class__ = sh.Triangle
    for name, value in net.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, before[name])
        else:
            assert value["counts"] == before[name]["counts"] if "counts" in value else True
    sets = (net.features(x, 64), y), (net.features(u, 64), v)
    assert torch.equal(found.weight, linear_probe(None, *sets, epochs=12).weight)
    asked = linear_probe(lambda x: net.features(x, 64), (x, y), (u, v), epochs=12)
    assert torch.equal(found.weight, asked.weight)


def test_features_kept_in_half_precision_are_found_again(small: Any, tmp_path: Any) -> None:
    (x, y), (u, v) = small
    net = sh.StreamNet(sh.Dense(64, 30), sh.Triangle(), seed=0)
    whole = linear_probe(net, (x, y), (u, v), epochs=3)
    kept = linear_probe(net, (x, y), (u, v), epochs=3, keep=tmp_path, half=True)
    assert len(list(tmp_path.glob("*.npy"))) == 2  # of both sets
    assert kept.weight.dtype == torch.float32
    torch.testing.assert_close(kept.weight, whole.weight, rtol=0.05, atol=0.005)
    assert not torch.equal(kept.weight, whole.weight)
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    again = linear_probe(net, (x, y), (u, v), epochs=3, keep=tmp_path, half=True)
    assert torch.equal(again.weight, kept.weight)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == before
    memory = linear_probe(net, (x, y), (u, v), epochs=3, half=True)
    assert torch.equal(memory.weight, kept.weight)
    with pytest.raises(ConfigError, match="for a net's features"):
        linear_probe(None, (x, y), (u, v), keep=tmp_path)


@pytest.mark.parametrize("half", [False, True])
def test_gathering_while_learning_leaves_the_same_bits(half: bool, small: Any) -> None:
    (x, y), test = small
    x = x.astype(np.float16) if half else x
    alone = linear_probe(None, (x, y), test, epochs=6, batch_size=9)
    for scheduler in (Threads(2), Shuffled(seed=1)):
        for _ in range(2):  # it is left open
            found = linear_probe(None, (x, y), test, epochs=6, batch_size=9, scheduler=scheduler)
            assert torch.equal(found.weight, alone.weight)
            assert [(e.loss, e.test_accuracy) for e in found.epochs] == [
                (e.loss, e.test_accuracy) for e in alone.epochs
            ]
        scheduler.close()


def test_a_step_that_fails_lets_the_scheduler_go_on(small: Any) -> None:
    (x, y), test = small
    threads = Threads(2)
    rows = torch.from_numpy(x), torch.from_numpy(y)
    run = probing.Probe(*rows, rows[0][:1], rows[1][:1], 5, 0.5, 64, 0.1, 0, threads)
    with pytest.raises((IndexError, RuntimeError), match="index"):
        run.epoch()  # there are ten classes
    assert linear_probe(None, (x, y), test, epochs=1, scheduler=threads).epochs
    threads.close()


def test_images_and_feature_maps_are_flattened() -> None:
    x = torch.rand(20, 1, 6, 6)
    y = [0, 1] * 10
    net = sh.StreamNet(sh.Conv2d(1, 3, 3))
    assert linear_probe(net, (x, y), (x, y), epochs=1).weight.shape == (2, 48)


def test_labels_of_any_kind(small: Any) -> None:
    (x, y), (u, v) = small
    wanted = linear_probe(None, (x, y), (u, v), epochs=2)
    names = np.array([f"digit {i}" for i in y])
    found = linear_probe(None, (x, names), (x, names), epochs=1)
    assert found.classes == tuple(sorted(set(names.tolist())))
    for labels in (y.tolist(), y.astype(float), torch.from_numpy(y), tuple(y)):
        assert torch.equal(linear_probe(None, (x, labels), (u, v), epochs=2).weight, wanted.weight)


def test_on_epoch_hears_each_report_as_it_comes(small: Any) -> None:
    heard: list[Any] = []
    found = linear_probe(None, *small, epochs=12, on_epoch=heard.append)
    assert tuple(heard) == found.epochs
    assert [epoch.epoch for epoch in heard] == [1, 11, 12]
    assert heard[0].seconds <= heard[1].seconds <= found.seconds


def test_half_and_double_precision(small: Any) -> None:
    (x, y), (u, v) = small
    found = linear_probe(None, (x.astype(np.float64), y), (u.astype(np.float64), v), epochs=1)
    assert found.weight.dtype == torch.float64


X, Y = torch.rand(10, 3), [0, 1] * 5

BAD: list[Any] = [
    ({"epochs": 0}, ConfigError, "epochs=0"),
    ({"epochs": 2.5}, ConfigError, "whole numbers"),
    ({"batch_size": 0}, ConfigError, "batch_size=0"),
    ({"lr": 0}, ConfigError, "lr=0"),
    ({"lr": float("nan")}, ConfigError, "lr=nan"),
    ({"dropout": 1.0}, ConfigError, "dropout=1.0"),
    ({"dropout": -0.1}, ConfigError, "dropout=-0.1"),
    ({"schedule": "cosine"}, ConfigError, "'demo', 'full'"),
    ({"seed": "x"}, ConfigError, "whole numbers"),
    ({"train": (X, Y[:9])}, LabelError, "9 labels for 10 samples in train"),
    ({"test": (X, Y[:9])}, LabelError, "9 labels for 10 samples in test"),
    ({"train": (X, None)}, LabelError, "labels of train are None"),
    ({"train": (X, "0101010101")}, LabelError, "give one a sample"),
    ({"train": (X, np.eye(10))}, LabelError, "one-hot"),
    ({"train": (X, [None] * 10)}, LabelError, "label None in train"),
    ({"train": (X, [0.5] * 10)}, LabelError, "label 0.5 in train"),
    ({"test": (X, [0, 2] * 5)}, LabelError, "label 2 is in test but not in train, which has 2"),
    ({"train": X}, ConfigError, r"train is a Tensor; give \(X, y\)"),
    ({"train": (X[:0], [])}, ShapeError, "at least one sample"),
    ({"train": (X[:, 0], Y)}, ShapeError, r"\(10,\)"),
    ({"test": (X[:, :2], Y)}, ShapeError, "3 features in train, 2 in test"),
    ({"train": (X / 0 * 0, Y)}, NonFiniteError, "features of train"),
    ({"test": (X / 0, Y)}, NonFiniteError, "features of test"),
    ({"train": ([[1.0], [1.0, 2.0]], [0, 1])}, InputError, "ragged"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD)
def test_bad_input(change: Any, error: Any, words: str) -> None:
    call: dict[str, Any] = {"train": (X, Y), "test": (X, Y), "epochs": 1} | change
    with pytest.raises(error, match=words):
        linear_probe(None, **call)


def test_features_are_freed_when_the_probe_is_done():
    x, y = torch.eye(4).repeat(20, 1), list("abcd") * 20
    linear_probe(None, (x, y), (x, y), epochs=1, batch_size=8)  # compiles what is to compile
    given = x.clone()
    alive = weakref.ref(given)
    gc.disable()
    try:
        linear_probe(None, (given, y), (x, y), epochs=2, batch_size=8)
        del given
        assert alive() is None, "something refers to itself"
    finally:
        gc.enable()
