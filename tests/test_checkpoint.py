"""A run that was saved, ended and loaded goes on bit for bit as one never interrupted."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import snapshot
from streamhebb.errors import SnapshotError


def adam_net() -> sh.StreamNet:
    """Every kind of state at once; classes appear while it runs."""
    return sh.StreamNet(
        sh.RunningNorm(2, tau=20),
        sh.Conv2d(2, 6, 3, padding=1, bias=sh.PriorBias(gain=0.1), scaling=sh.NeuronMax(memory=9)),
        sh.Triangle(0.7),
        sh.MaxPool2d(2),
        sh.RunningNorm(6),
        sh.Conv2d(6, 4, 3, groups=2, scaling=sh.NeuronRMS(), rate=sh.LinearDecay(0.01, 100)),
        sh.Triangle(),
        sh.Flatten(),
        readout=sh.SoftmaxReadout(lr=0.01),
        input_shape=(2, 10, 10),
        seed=3,
    )


def rls_net(forget: float = 1.0) -> sh.StreamNet:
    return sh.StreamNet(
        sh.Dense(200, 12, scaling=sh.NeuronRMS(memory=5), rate=sh.ExponentialDecay(0.05, 50)),
        sh.ReLU(),
        sh.Dense(12, 9, rule=sh.Oja(), competition=sh.HardWTA(), rate=0.01),
        readout=sh.RLSReadout(9, forget=forget),
    )


def fixed_net() -> sh.StreamNet:
    return sh.StreamNet(
        sh.BatchNorm(2),
        sh.Conv2d(2, 3, 3, scaling=sh.LayerMax()),
        sh.Flatten(),
        readout=sh.SoftmaxReadout(classes=["a", "b", "c"], step="plain"),
        input_shape=(2, 10, 10),
    )


def quiet_net() -> sh.StreamNet:
    return sh.StreamNet(sh.Dense(200, 12), sh.ReLU(), seed=1)


def stream(flat: bool, letters: bool) -> list[tuple[Tensor, Any]]:
    """40 samples; a new class every 8, so some appear before and some after the snapshot."""
    source = torch.Generator().manual_seed(0)
    items = []
    for number in range(40):
        x = torch.rand(2, 10, 10, generator=source)
        label: Any = int(torch.randint(1 + number // 8, (), generator=source))
        label = "abc"[label % 3] if letters else (None if number % 7 == 3 else label)
        items.append((x.flatten() if flat else x, label))
    return items


NETS: dict[str, tuple[Callable[[], sh.StreamNet], bool, bool]] = {
    "adam": (adam_net, False, False),
    "rls": (rls_net, True, False),
    "rls forgetting": (lambda: rls_net(0.9), True, False),
    "fixed": (fixed_net, False, True),
    "quiet": (quiet_net, True, False),
}
every = pytest.mark.parametrize("kind", NETS)


def bits(value: Any) -> Any:
    """A value that is equal only to the same bits."""
    if isinstance(value, Tensor):
        data = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return (str(value.dtype), tuple(value.shape), data.tolist())
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


def state(net: sh.StreamNet) -> Any:
    return bits(copy.deepcopy(dict(net.state_dict())))


def run(net: sh.StreamNet, items: Any) -> list[Any]:
    results = [net.step(x, label) for x, label in items]
    return [(r.prediction, bits(r.scores), r.sample) for r in results]


# -- going on ----------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("stop", [0, 1, 19])
def test_after_load_the_run_goes_on_as_if_never_interrupted(
    kind: str, stop: int, tmp_path: Path
) -> None:
    build, flat, letters = NETS[kind]
    items = stream(flat, letters)
    whole = build()
    wanted = run(whole, items)

    first = build()
    head = run(first, items[:stop])
    first.save(tmp_path / "snap", {"position": stop})
    second = build()
    run(second, items[30:35])  # what it had learned before is forgotten
    assert second.load(tmp_path / "snap") == {"position": stop}
    assert state(second) == state(first)
    assert head + run(second, items[stop:]) == wanted
    assert state(second) == state(whole)
    assert run(first, items[stop:]) == wanted[stop:]  # saving changed nothing either


def test_another_process_goes_on_as_well(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_checkpoint as t\n"
        "import torch; torch.set_num_threads(1)\n"
        "net = t.adam_net(); net.load(sys.argv[2]); t.run(net, t.stream(False, False)[19:])\n"
        "net.save(sys.argv[2] + '.end')"
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = adam_net()
        run(whole, stream(False, False))
    finally:
        torch.set_num_threads(threads)
    first = adam_net()
    run(first, stream(False, False)[:19])
    first.save(tmp_path / "snap")
    here = Path(__file__).resolve().parent
    subprocess.run(
        [sys.executable, "-c", code, str(here), str(tmp_path / "snap")],
        check=True,
        env=os.environ | {"PYTHONPATH": str(here.parent), "OMP_NUM_THREADS": "1"},
        timeout=100,
    )
    found = adam_net()
    found.load(tmp_path / "snap.end")
    assert state(found) == state(whole)


@every
def test_state_dict_is_the_whole_state(kind: str) -> None:
    build, flat, letters = NETS[kind]
    items = stream(flat, letters)
    a, b = build(), build()
    run(a, items[:20])
    run(b, items[30:])
    b.load_state_dict(a.state_dict())
    assert run(a, items[20:]) == run(b, items[20:])
    assert state(a) == state(b)


def test_a_deep_copy_of_a_net_that_was_loaded_can_load_again(tmp_path: Path) -> None:
    items = stream(False, False)
    net = adam_net()
    run(net, items)
    net.save(tmp_path / "snap")
    fresh = copy.deepcopy(adam_net())
    fresh.load(tmp_path / "snap")  # the copy grows its own classes, not those of its model
    assert state(fresh) == state(net)
    twin = copy.deepcopy(fresh)
    run(twin, items[:5])
    twin.load(tmp_path / "snap")
    assert state(twin) == state(net)


def test_loading_fewer_classes_than_are_known(tmp_path: Path) -> None:
    items = stream(False, False)
    net = adam_net()
    run(net, items[:10])
    net.save(tmp_path / "snap")
    before, known = state(net), net.readout.labels
    run(net, items[10:])
    assert len(net.readout.labels) > len(known) > 0
    net.load(tmp_path / "snap")
    assert net.readout.labels == known
    assert state(net) == before


def test_a_net_that_has_seen_nothing_learns_its_shape_from_the_snapshot(tmp_path: Path) -> None:
    net = quiet_net()
    net.step(torch.rand(200))
    net.save(tmp_path / "snap")
    fresh = quiet_net()
    assert fresh.input_shape is None
    fresh.load(tmp_path / "snap")
    assert fresh.input_shape == (200,)


def test_labels_keep_their_kind_and_features_their_names(tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    for label in (True, "1", 7, "ü"):
        net.step({"b": 0.5, "a": 0.25}, label)
    net.save(tmp_path / "snap")
    fresh = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    fresh.load(tmp_path / "snap")
    assert [(type(label), label) for label in fresh.readout.labels] == [
        (bool, True),
        (str, "1"),
        (int, 7),
        (str, "ü"),
    ]
    x = {"a": 0.25, "b": 0.5}
    assert bits(fresh.respond(x).scores) == bits(net.respond(x).scores)


def test_float64_comes_back_as_float64(tmp_path: Path) -> None:
    net = adam_net().double()
    run(net, stream(False, False))
    net.save(tmp_path / "snap")
    fresh = adam_net().double()
    fresh.load(tmp_path / "snap")
    assert state(fresh) == state(net)


@pytest.mark.parametrize("make", [adam_net, fixed_net])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_net_is_built_in_the_precision_it_was_saved_in(
    make: Callable[[], sh.StreamNet], dtype: torch.dtype, tmp_path: Path
) -> None:
    net = make().to(dtype)
    net.save(tmp_path / "snap")
    assert bits(sh.load(tmp_path / "snap").state_dict()) == bits(net.state_dict())


def test_chance_goes_on_where_it_was(tmp_path: Path) -> None:
    net = quiet_net()
    torch.rand(5, generator=net.generator)
    net.save(tmp_path / "snap")
    wanted = torch.rand(3, generator=net.generator)
    fresh = quiet_net()
    fresh.load(tmp_path / "snap")
    assert torch.equal(torch.rand(3, generator=fresh.generator), wanted)


def test_seed_and_policy_need_not_agree(tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(2, 3), seed=1)
    net.save(tmp_path / "snap")
    sh.StreamNet(sh.Dense(2, 3), seed=2, on_bad="skip").load(tmp_path / "snap")


# -- what does not fit -------------------------------------------------------------------------

OTHERS: list[tuple[Callable[[], sh.StreamNet], str]] = [
    (rls_net, "layers"),
    (quiet_net, "readout"),
    (
        lambda: sh.StreamNet(sh.Dense(2, 4), readout=sh.SoftmaxReadout(4)),
        r"layers\[0\]\.n_out is 3 there and 4 here",
    ),
    (
        lambda: sh.StreamNet(sh.Dense(2, 3, rule=sh.Oja()), readout=sh.SoftmaxReadout(3)),
        r"layers\[0\]\.rule\.type is 'SoftHebb' there and 'Oja' here",
    ),
    (
        lambda: sh.StreamNet(sh.Dense(2, 3, norm_p=3.0), readout=sh.SoftmaxReadout(3)),
        r"layers\[0\]\.norm_p is 2.0 there and 3.0 here",
    ),
    (
        lambda: sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3, classes=2)),
        r"readout\.classes is None there and 2 here",
    ),
    (
        lambda: sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3, step="plain")),
        r"readout\.step is 'adam' there and 'plain' here",
    ),
    (lambda: sh.StreamNet(sh.Dense(2, 3), readout=sh.RLSReadout(3)), r"readout\."),
    (lambda: sh.StreamNet(sh.Dense(2, 3), sh.ReLU(), readout=sh.SoftmaxReadout(3)), "layers"),
]


@pytest.mark.parametrize(("build", "words"), OTHERS)
def test_snapshot_of_another_net(build: Any, words: str, tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    net.step(torch.rand(2), 0)
    net.save(tmp_path / "snap")
    other = build()
    before = state(other)
    with pytest.raises(SnapshotError, match=f"snapshot of another net: .*{words}"):
        other.load(tmp_path / "snap")
    assert state(other) == before


def test_another_input_shape(tmp_path: Path) -> None:
    def build(side: int) -> sh.StreamNet:
        return sh.StreamNet(sh.Conv2d(1, 2, 3), input_shape=(1, side, side))

    build(8).save(tmp_path / "snap")
    with pytest.raises(SnapshotError, match=r"input_shape.* is 8 there and 9 here"):
        build(9).load(tmp_path / "snap")


def test_another_precision_is_refused_not_rounded(tmp_path: Path) -> None:
    adam_net().double().save(tmp_path / "snap")
    net = adam_net()
    before = state(net)
    with pytest.raises(SnapshotError, match=r"torch.float64 there.*net.double\(\) before"):
        net.load(tmp_path / "snap")
    assert state(net) == before


def test_a_snapshot_that_is_not_of_a_net(tmp_path: Path) -> None:
    for meta in (None, {}, {"net": {}}, []):
        snapshot.write(tmp_path / "snap", {"weight": torch.ones(2)}, meta)
        with pytest.raises(SnapshotError, match="not of a net"):
            adam_net().load(tmp_path / "snap")


@pytest.mark.parametrize("change", ["lacking", "surplus", "shape"])
def test_tensors_that_do_not_fit_the_description(change: str, tmp_path: Path) -> None:
    net = quiet_net()
    net.save(tmp_path / "snap")
    tensors, meta = snapshot.read(tmp_path / "snap")
    name = "layers.0.weight"
    if change == "lacking":
        del tensors[name]
    elif change == "surplus":
        name = "layers.9.weight"
        tensors[name] = torch.ones(1)
    else:
        tensors[name] = torch.ones(3, 3)
    snapshot.write(tmp_path / "snap", tensors, meta)
    before = state(net)
    with pytest.raises(SnapshotError, match=f"does not fit this net: .*{name}"):
        net.load(tmp_path / "snap")
    assert state(net) == before


def test_a_damaged_file_leaves_the_net_untouched(tmp_path: Path) -> None:
    net = adam_net()
    run(net, stream(False, False)[:10])
    net.save(tmp_path / "snap")
    whole = (tmp_path / "snap").read_bytes()
    run(net, stream(False, False)[10:20])
    before = state(net)
    for cut in range(10):
        (tmp_path / "snap").write_bytes(whole[: len(whole) * cut // 10])
        with pytest.raises(SnapshotError):
            net.load(tmp_path / "snap")
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        (tmp_path / "snap").write_bytes(damaged)
        with pytest.raises(SnapshotError):
            net.load(tmp_path / "snap")
    with pytest.raises(SnapshotError, match="no snapshot"):
        net.load(tmp_path / "elsewhere")
    assert state(net) == before


def test_extra_that_json_cannot_hold(tmp_path: Path) -> None:
    net = quiet_net()
    net.save(tmp_path / "snap", "first")
    with pytest.raises(SnapshotError, match="cannot write the snapshot"):
        net.save(tmp_path / "snap", torch.ones(1))
    assert net.load(tmp_path / "snap") == "first"


def test_a_full_disk_leaves_the_last_snapshot_to_go_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = stream(False, False)
    net = adam_net()
    run(net, items[:10])
    net.save(tmp_path / "snap")
    saved = state(net)
    rest = run(net, items[10:])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot.os, "fsync", full)
    with pytest.raises(SnapshotError, match="No space left"):
        net.save(tmp_path / "snap")
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["snap"]
    net.load(tmp_path / "snap")
    assert state(net) == saved
    assert run(net, items[10:]) == rest


def test_layers_can_be_had_without_the_readout(tmp_path: Path) -> None:
    def made(classes: int, seed: int) -> sh.StreamNet:
        return sh.StreamNet(
            sh.Dense(4, 6), readout=sh.SoftmaxReadout(6, classes=classes), seed=seed
        )

    saved, other = made(2, 0), made(3, 1)
    for x, y in zip(torch.rand(9, 4), [0, 1, 0] * 3, strict=True):
        saved.step(x, y)
        other.step(x, y)
    saved.save(tmp_path / "net")
    kept = other.get_buffer("readout.weight").clone()
    with pytest.raises(SnapshotError, match="readout"):
        other.load(tmp_path / "net")
    assert torch.equal(other.get_buffer("readout.weight"), kept)
    other.load(tmp_path / "net", readout=False)
    assert torch.equal(other.get_buffer("layers.0.weight"), saved.get_buffer("layers.0.weight"))
    assert torch.equal(other.get_buffer("readout.weight"), kept)
    assert other.counts == saved.counts
