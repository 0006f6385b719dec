"""Features of a whole set: those of the net, found again only if nothing has changed."""

from __future__ import annotations

import copy
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels, tuning
from streamhebb.errors import (
    ConfigError,
    DTypeError,
    FeatureFileError,
    NonFiniteError,
    ShapeError,
)
from streamhebb.evaluate import feature_file, features, frozen, responding

X = torch.rand(100, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def made(seed: int = 3, **settings: Any) -> sh.StreamNet:
    return sh.StreamNet(
        sh.BatchNorm(2), sh.Conv2d(2, 4, 3, padding=1), sh.Triangle(), sh.MaxPool2d(2),
        sh.Conv2d(4, 5, 3, padding=1), sh.Triangle(), sh.Flatten(), input_shape=(2, 6, 6),
        seed=seed, **settings,
    )  # fmt: skip


def state(net: sh.StreamNet) -> dict[str, Any]:
    return {k: copy.deepcopy(v) for k, v in net.state_dict().items() if not k.startswith("_")}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    tensors = [(v, other[k]) for k, v in one.items() if isinstance(v, Tensor)]
    rest = [v == other[k] for k, v in one.items() if not isinstance(v, Tensor)]
    return all(torch.equal(a, b) for a, b in tensors) and all(rest)


# ---- the same as the net's ---------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_they_are_those_of_the_net_and_it_does_not_change(keep: bool, tmp_path: Path) -> None:
    net = made()
    net.fit(X[:40], batch_size=10)
    net.layers[4].method = "winograd2"
    before, counts = state(net), dict(net.counts)
    for tune in (False, True):
        found = features(net, X, batch_size=16, keep=tmp_path if keep else None, tune=tune)
        assert found.shape == (100, 45)
        assert found.dtype == torch.float32
        if tune:
            torch.testing.assert_close(found, net.features(X), rtol=1e-4, atol=1e-3)
        else:
            assert torch.equal(found, net.features(X, 16))
        assert same(before, state(net))
        assert (net.counts, net.kernels()["4:Conv2d"]) == (counts, "winograd2")


def test_workers_take_a_mini_batch_each_and_bits_stay() -> None:
    net = made()
    alone = features(net, X, batch_size=8)
    seen = set()

    class Watched(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            import threading

            seen.add(threading.current_thread().name)
            return super().respond(x)

    net.layers[2].__class__ = Watched
    net.scheduler = sh.Threads(2)
    with net:
        for _ in range(3):
            assert torch.equal(features(net, X, batch_size=8), alone)
    assert seen <= {"MainThread", "worker 0", "worker 1"}
    assert "worker 0" in seen or "worker 1" in seen


def test_the_scheduler_goes_on_after_a_layer_has_failed() -> None:
    net = made()

    class Failing(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            if len(x) < 8:
                raise RuntimeError("too few")
            return super().respond(x)

    net.layers[2].__class__ = Failing
    net.scheduler = sh.Threads(2)
    with net:
        with pytest.raises(RuntimeError, match="too few"):
            list(responding.outputs(list(net.layers), net.scheduler, torch.split(X, 8)))
        assert len(list(responding.outputs(list(net.layers), net.scheduler, X[:96].split(8)))) == 12
        some = responding.outputs(list(net.layers), net.scheduler, X[:96].split(8))
        next(some)
        some.close()  # nobody wants the rest
        net.scheduler.join()


def test_anything_that_yields_mini_batches_will_do() -> None:
    net = made()
    wanted = features(net, X[:30])
    for given in (
        X[:30].numpy(),
        X[:30].double(),
        [X[:20], X[20:30]],
        iter([X[:30]]),
        list(X[:30]),
    ):
        torch.testing.assert_close(features(net, given), wanted, rtol=1e-6, atol=1e-6)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X[:30], X[:30]), 7)
    torch.testing.assert_close(features(net, loader), wanted, rtol=1e-6, atol=1e-6)


def test_the_fastest_way_to_respond_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_known", {})
    clock = iter(range(10**6))
    monkeypatch.setattr(tuning, "perf_counter", lambda: float(next(clock)) ** 2)
    layers: list[Any] = list(made().layers)
    tuning.choose(layers, X[:5], learning=False)
    assert [getattr(layer, "method", "") for layer in layers].count("direct") == 2  # the first
    assert len(tuning._known) == 2
    ticks = next(clock)
    tuning.choose(layers, X[:5], learning=False)
    assert next(clock) == ticks + 1
    tuning.choose(layers, X[:6], learning=False)
    assert len(tuning._known) == 4


def test_a_method_that_a_layer_refuses_is_not_tried() -> None:
    layer = sh.Conv2d(2, 3, 3)
    layer.precision = "bfloat16"
    found = tuning.measure(layer, torch.rand(2, 2, 5, 5), learning=False)
    assert {method for method, _ in found} == {"direct", "winograd2"}


# ---- half precision ----------------------------------------------------------------------------


def test_half_precision_rounds_and_takes_half_of_the_room(tmp_path: Path) -> None:
    net = made()
    whole = features(net, X)
    for keep in (None, tmp_path):
        found = features(net, X, half=True, keep=keep)
        assert found.dtype == torch.float16
        assert torch.equal(found, whole.half())
    (file,) = tmp_path.glob("*.npy")
    assert file.stat().st_size == 128 + 100 * 45 * 2


@pytest.mark.parametrize(
    ("kind", "wanted"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]
)
def test_nets_of_other_precision(kind: Any, wanted: Any, tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(4, 3), seed=0).to(kind)
    x = torch.rand(5, 4)
    for keep in (None, tmp_path):
        found = features(net, x, keep=keep)
        assert found.dtype == wanted
        assert torch.equal(found.to(kind), net.features(x.to(kind)))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_does_not_fit_half_precision_is_refused(sign: int, tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(1, 1))
    net.layers[0].set_weight(torch.tensor([[sign * 1000.0]]))
    good, bad = torch.full((200, 1), 65.504), torch.full((200, 1), 65.504)
    assert float(features(net, good, half=True).abs().max()) == 65504
    bad[170] = 65.6
    with pytest.raises(ConfigError, match=r"6.56e\+04 does not fit.*65504.*float32"):
        features(net, bad, half=True, keep=tmp_path)
    assert not list(tmp_path.iterdir())
    assert features(net, bad).dtype == torch.float32


# ---- on disk -----------------------------------------------------------------------------------


def misses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often features are computed from now on."""
    calls: list[int] = []
    outputs = responding.outputs

    def counted(*given: Any) -> Any:
        calls.append(1)
        return outputs(*given)

    monkeypatch.setattr(frozen, "outputs", counted)
    return calls


def test_they_are_found_again_and_numpy_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, net, folder = misses(monkeypatch), made(), tmp_path / "deep" / "kept"
    first = features(net, X, keep=folder)
    again = features(copy.deepcopy(net), X.clone(), keep=str(folder))
    assert len(calls) == 1
    assert torch.equal(first, again)
    (file,) = folder.glob("*.npy")
    assert np.array_equal(np.load(file), first.numpy())
    note = json.loads(file.with_suffix(".json").read_text("utf-8"))
    assert note["format"] == "streamhebb-features"
    assert note["methods"] == net.kernels()
    again.zero_()  # a map of one's own: the file keeps what it has
    assert torch.equal(features(net, X, keep=folder), first)
    assert len(calls) == 1


def _learn(net: sh.StreamNet) -> None:
    net.step(X[:10])


CHANGES: dict[str, Any] = {
    "weights": _learn,
    "one weight, by one bit": lambda net: net.layers[1].weight[0, 0].mul_(1 + 2**-22),
    "statistics": lambda net: net.layers[0].mean.add_(0.01),
    "an argument": lambda net: setattr(net.layers[2], "power", 1.5),
    "a method": lambda net: setattr(net.layers[4], "method", "winograd4"),
    "another class": lambda net: setattr(net.layers[2], "__class__", type("T", (sh.Triangle,), {})),
    "precision": lambda net: net.double(),
    "training": lambda net: net.eval(),
}


@pytest.mark.parametrize("what", CHANGES)
def test_stale_features_are_never_used(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, net = misses(monkeypatch), made()
    features(net, X, keep=tmp_path)
    with torch.no_grad():
        CHANGES[what](net)
    found = features(net, X, keep=tmp_path)
    assert len(calls) == 2, what
    assert torch.equal(found, net.features(X, 64))


def test_other_data_settings_and_versions_are_other_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, net = misses(monkeypatch), made()
    features(net, X, keep=tmp_path)
    y = X.clone()
    y[99, 1, 5, 5] += 1e-6
    for x in (y, X[:99], X.flip(0)):
        features(net, x, keep=tmp_path)
    features(net, X, keep=tmp_path, half=True)
    features(net, X, keep=tmp_path, batch_size=63)
    features(net, X, keep=tmp_path, tune=True)
    with kernels.use("numba"):
        features(net, X, keep=tmp_path)
    monkeypatch.setattr(feature_file, "_version", lambda package: "99")
    features(net, X, keep=tmp_path)
    assert len(calls) == 9
    assert len(list(tmp_path.glob("*.npy"))) == 9
    net.counts["samples"] += 5  # neither counters nor the readout have a part in it
    features(net, X, keep=tmp_path)
    assert len(calls) == 9


def test_state_that_goes_on_counts_also_where_it_has_no_rows_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, x = misses(monkeypatch), torch.rand(6, 4)
    net = sh.StreamNet(sh.Dense(4, 3), sh.Delay(1), input_shape=(4,))
    features(net, x, keep=tmp_path)
    features(net, x, keep=tmp_path)
    assert len(calls) == 1
    net.step(x, learn=False)  # the delay holds these now
    assert torch.equal(features(net, x, keep=tmp_path), net.features(x))
    assert len(calls) == 2


def damage_cut(file: Path, note: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def damage_bit(file: Path, note: Path) -> None:
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(bytes(data))


def damage_shape(file: Path, note: Path) -> None:
    np.save(file, np.zeros((100, 45), np.float32))


def damage_note(file: Path, note: Path) -> None:
    note.write_text(note.read_text("utf-8")[:50], "utf-8")


def damage_kind(file: Path, note: Path) -> None:
    note.write_text("[1, 2]", "utf-8")


def damage_version(file: Path, note: Path) -> None:
    note.write_text(note.read_text("utf-8").replace('"version": 1', '"version": 0'), "utf-8")


def damage_gone(file: Path, note: Path) -> None:
    note.unlink()


def damage_alone(file: Path, note: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    "damage",
    [damage_cut, damage_bit, damage_shape, damage_note, damage_kind, damage_version,
     damage_gone, damage_alone],
)  # fmt: skip
def test_what_is_not_whole_is_made_again(
    damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, net = misses(monkeypatch), made()
    wanted = features(net, X, keep=tmp_path).clone()
    (file,) = tmp_path.glob("*.npy")
    damage(file, file.with_suffix(".json"))
    assert torch.equal(features(net, X, keep=tmp_path), wanted)
    assert torch.equal(features(net, X, keep=tmp_path), wanted)
    assert len(calls) == 2


def test_half_of_a_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = made()

    class Failing(sh.Triangle):
        def respond(self, x: Tensor) -> Tensor:
            if len(x) == 36:  # the last mini-batch
                raise KeyboardInterrupt
            return super().respond(x)

    net.layers[2].__class__ = Failing
    with pytest.raises(KeyboardInterrupt):
        features(net, X, keep=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    free = 100 * 45 * 4 + feature_file.SPARE
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free, 0, free - 1))
    with pytest.raises(FeatureFileError, match=r"take 0.00 GB, and 0.07 GB are free.*half=True"):
        features(made(), X, keep=tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free, 0, free))
    assert len(features(made(), X, keep=tmp_path)) == 100


def test_a_disk_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FeatureFileError, match=r"cannot be kept in .*file.*another folder"):
        features(made(), X, keep=tmp_path / "file" / "below")

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_file.files, "replace", full)
    with pytest.raises(FeatureFileError, match="No space left.*leave out keep"):
        features(made(), X, keep=tmp_path / "kept")


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "settings", "error", "words"),
    [
        (X[:0], {}, ShapeError, "no samples"),
        ([], {}, ShapeError, "no samples"),
        (torch.rand(5, 2, 7, 7), {}, ShapeError, "shape"),
        (torch.where(X > 0.999, torch.nan, X), {}, NonFiniteError, "NaN"),
        (np.array([["a", "b"]]), {}, DTypeError, "floating point"),
        (X, {"batch_size": 0}, ConfigError, "batch_size=0"),
        (X, {"batch_size": 2.5}, ConfigError, "batch_size=2.5"),
    ],
)
def test_bad_input(x: Any, settings: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        features(made(), x, **settings)


def test_one_bad_row_of_many_is_found_and_so_is_a_bad_answer() -> None:
    net = sh.StreamNet(sh.Dense(2, 2))
    x = torch.rand(2500, 2)
    x[2400, 1] = torch.inf
    with pytest.raises(NonFiniteError, match="samples 2000 to 2499"):
        features(net, x)
    net.layers[0].weight.fill_(3e38)
    with pytest.raises(NonFiniteError, match="answers with"):
        features(net, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))


def test_more_than_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen.os, "sysconf", lambda name: 100)
    with pytest.raises(ConfigError, match=r"do not fit.*keep=FOLDER"):
        features(made(), X)
