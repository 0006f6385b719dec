"""Readouts: which labels are classes, and how classes appear."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb import spec
from streamhebb.errors import ConfigError, LabelError
from streamhebb.readouts.base import plain

KINDS = [
    sh.SoftmaxReadout,
    sh.RLSReadout,
    sh.DeltaReadout,
    sh.NCMReadout,
    sh.PESReadout,
    sh.SLDAReadout,
    sh.SoftHebbReadout,
]
both = pytest.mark.parametrize("kind", KINDS)


def learn(readout: sh.Readout, x: Any, labels: list[Any]) -> None:
    readout.learn(readout.observe(x)[1], labels)


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        (3, 3),
        (3.0, 3),
        (np.int64(3), 3),
        (np.float32(3), 3),
        (np.uint8(3), 3),
        (torch.tensor(3), 3),
        (torch.tensor(3.0), 3),
        (np.array(3), 3),
        ("3", "3"),
        (np.str_("x"), "x"),
        (True, True),
        (np.True_, True),
        (torch.tensor(False), False),
        (None, None),
        (2.5, 2.5),
    ],
)
def test_plain(label: Any, wanted: Any) -> None:
    found = plain(label)
    assert found == wanted
    assert type(found) is type(wanted)


@both
def test_one_true_and_1_are_one_class_and_text_is_another(kind: Any) -> None:
    readout = kind(2)
    x = torch.eye(2)
    learn(readout, x, [True, "1"])
    learn(readout, x[:1], [1])
    learn(readout, x[:1], [plain(1.0)])
    assert readout.labels == (True, "1")
    assert readout.labels[0] is True  # as first seen
    readout = kind(2)
    learn(readout, x, [1, 0])
    learn(readout, x, [True, False])
    assert readout.labels == (1, 0)
    assert type(readout.labels[0]) is int


@both
def test_classes_appear_in_the_order_of_their_coming(kind: Any) -> None:
    readout = kind(3)
    assert readout.respond(torch.rand(2, 3)).shape == (2, 0)
    learn(readout, torch.rand(2, 3), ["b", "a"])
    learn(readout, torch.rand(3, 3), ["c", None, "a"])
    assert readout.labels == ("b", "a", "c")
    assert readout.respond(torch.rand(2, 3)).shape == (2, 3)


@both
def test_a_late_class_leaves_what_was_learned_of_the_others(kind: Any) -> None:
    readout = kind(3)
    for _ in range(5):
        learn(readout, torch.rand(2, 3), [0, 1])
    before, x = copy.deepcopy(readout), torch.rand(4, 3)
    readout.add_classes([7, 0])
    assert readout.labels == (0, 1, 7)
    torch.testing.assert_close(readout.respond(x)[:, :2], before.respond(x))
    for name in readout._class_buffers:
        value = getattr(readout, name)
        assert torch.equal(value[:2], getattr(before, name))
        assert not value[2].any(), name


@both
def test_fixed_classes_refuse_what_is_not_among_them(kind: Any) -> None:
    readout = kind(3, classes=["a", "b"])
    with pytest.raises(LabelError, match=r"label 'c' is outside the classes 'a', 'b'"):
        readout.check(["a", "c"])
    with pytest.raises(LabelError, match="classes=None"):
        learn(readout, torch.rand(1, 3), ["c"])
    with pytest.raises(LabelError):
        readout.add_classes(["c"])
    assert readout.labels == ("a", "b")
    many = kind(3, classes=100)
    with pytest.raises(LabelError, match=r"0, 1, 2, 3, 4, \.\.\., 98, 99"):
        many.check([100])


@both
@pytest.mark.parametrize("label", [2.5, (1, 2), b"x", {1}, [1], object()])
def test_what_cannot_be_a_label(kind: Any, label: Any) -> None:
    for classes in (None, 3):
        with pytest.raises(LabelError, match="int, str or bool"):
            kind(3, classes=classes).check([label])


@both
@pytest.mark.parametrize(
    "classes", [0, -1, True, 2.5, "abc", b"ab", [], [None], [0.5], [[0]], [(0,)], object()]
)
def test_classes_that_are_not_allowed(kind: Any, classes: Any) -> None:
    with pytest.raises(ConfigError, match="is not allowed"):
        kind(3, classes=classes)


@both
@pytest.mark.parametrize("classes", [["a", "a"], [1, True], [1, 1.0], [0, False]])
def test_a_label_given_twice(kind: Any, classes: Any) -> None:
    with pytest.raises(ConfigError, match="twice"):
        kind(3, classes=classes)


@both
@pytest.mark.parametrize(
    "classes",
    [range(3), (0, 1, 2), np.arange(3), np.arange(3.0), torch.arange(3), [np.int64(0), 1.0, 2]],
)
def test_classes_in_many_clothes_can_all_be_written_down(kind: Any, classes: Any) -> None:
    readout = kind(3, classes=classes)
    assert readout.labels == (0, 1, 2)
    assert json.loads(json.dumps(readout.config()))["classes"] == [0, 1, 2]
    assert kind(3, classes=np.int64(3)).config()["classes"] == 3


@both
@pytest.mark.parametrize("n_in", [0, -2])
def test_features_below_one(kind: Any, n_in: int) -> None:
    with pytest.raises(ConfigError, match=f"n_in={n_in}"):
        kind(n_in)


@both
def test_reset_forgets_all(kind: Any) -> None:
    for classes in (None, 2):
        readout = kind(3, classes=classes)
        fresh = copy.deepcopy(readout)
        learn(readout, torch.rand(2, 3), [0, 1])
        readout.reset()
        assert readout.labels == fresh.labels
        for (name, a), b in zip(readout.named_buffers(), fresh.buffers(), strict=True):
            assert torch.equal(a, b), name


@both
def test_probabilities_sum_to_one(kind: Any) -> None:
    readout = kind(3)
    for _ in range(5):
        learn(readout, torch.rand(4, 3), [0, 1, 2, 0])
    found = readout.probabilities(readout.respond(torch.rand(6, 3)))
    assert found.min() > 0
    torch.testing.assert_close(found.sum(1), torch.ones(6))


@both
def test_nothing_labelled_nothing_learned(kind: Any) -> None:
    readout = kind(3)
    learn(readout, torch.rand(2, 3), [0, 1])
    before = copy.deepcopy(dict(readout.state_dict()))
    learn(readout, torch.rand(2, 3), [None, None])
    assert {k: v for k, v in before.items() if k == "_extra_state"} == {
        "_extra_state": readout.get_extra_state()
    }
    for name, value in readout.named_buffers():
        assert torch.equal(value, before[name])


# -- state: the same promises for every readout ------------------------------------------------


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def labelled_stream(steps: int, batch: int = 2) -> Any:
    """Features of three classes that appear one after another; every fourth label is missing."""
    source = torch.Generator().manual_seed(5)
    for step in range(steps):
        y = torch.randint(1 + min(step // 8, 2), (batch,), generator=source)
        x = torch.randn(batch, 4, generator=source) + 2 * torch.eye(3, 4)[y]
        yield x, [None if (step + i) % 4 == 3 else f"class {k}" for i, k in enumerate(y.tolist())]


@both
def test_a_snapshot_goes_on_bit_for_bit(kind: Any, tmp_path: Path) -> None:
    net = sh.StreamNet(sh.RunningNorm(4), readout=kind(4), input_shape=(4,))
    known = kind(classes=["class 0", "class 9"])
    fixed = sh.StreamNet(sh.RunningNorm(4), readout=known, input_shape=(4,))
    fixed.step(torch.rand(4), "class 9")
    stream = list(labelled_stream(90))
    for number, (x, labels) in enumerate(stream):
        if number == 70:
            net.save(tmp_path / "net")
            loaded = sh.load(tmp_path / "net")
        if number >= 70:
            assert torch.equal(loaded.step(x, labels).scores, net.step(x, labels).scores)
        else:
            net.step(x, labels)
    assert same(state_of(loaded), state_of(net))
    assert loaded.labels == net.labels == ("class 0", "class 1", "class 2")
    fixed.save(tmp_path / "fixed")
    assert same(state_of(sh.load(tmp_path / "fixed")), state_of(fixed))


@both
def test_a_copy_shares_nothing(kind: Any) -> None:
    readout = kind(4)
    x, labels = next(iter(labelled_stream(1)))
    learn(readout, x, labels)
    twin, before = copy.deepcopy(readout), state_of(readout)
    for x, labels in labelled_stream(30):
        learn(twin, x, labels)
    assert same(state_of(readout), before)
    assert len(twin.labels) > len(readout.labels)


@both
def test_looking_changes_nothing(kind: Any) -> None:
    readout = kind(4)
    for x, labels in labelled_stream(30):
        before, kept = state_of(readout), x.clone()
        first, second = readout.respond(x), readout.observe(x)[0]
        readout.probabilities(first)
        assert torch.equal(first, second)
        assert torch.equal(x, kept)
        assert same(state_of(readout), before)
        learn(readout, x, labels)
        assert torch.equal(x, kept)


@both
def test_samples_without_a_label_in_a_batch_are_left_out(kind: Any) -> None:
    part, whole = kind(4), kind(4)
    for x, labels in labelled_stream(40, batch=3):
        learn(whole, x, labels)
        rows = [row for row, label in enumerate(labels) if label is not None]
        learn(part, x[rows], [labels[row] for row in rows])
    assert part.labels == whole.labels
    for name, value in part.named_buffers():
        torch.testing.assert_close(value, getattr(whole, name), rtol=1e-4, atol=1e-5)


@both
def test_precision_is_the_one_asked_for(kind: Any) -> None:
    single, double = kind(4), kind(4).double()
    for x, labels in labelled_stream(60):
        learn(single, x, labels)
        learn(double, x.double(), labels)
    assert {v.dtype for v in double.buffers()} <= {torch.float64, torch.int64}
    x = torch.rand(5, 4)
    assert single.respond(x).dtype == torch.float32
    assert single.probabilities(single.respond(x)).dtype == torch.float32
    scores = double.respond(x.double())
    assert scores.dtype == torch.float64
    torch.testing.assert_close(single.respond(x).double(), scores, rtol=1e-3, atol=1e-3)
    # in a net: samples and scores stay float32
    net = sh.StreamNet(sh.Triangle(), readout=kind(4), input_shape=(4,))
    net.step(torch.rand(4), 0)
    assert net.step(torch.rand(4), 1).scores.dtype == torch.float32


@both
def test_memory_does_not_grow_with_the_stream(kind: Any) -> None:
    readout = kind(4, classes=3)
    sizes = {name: value.shape for name, value in readout.named_buffers()}
    for step in range(200):
        learn(readout, torch.rand(1 + step % 3, 4), [step % 3] * (1 + step % 3))
    assert {name: value.shape for name, value in readout.named_buffers()} == sizes


@both
def test_it_learns_and_a_net_file_can_name_it(kind: Any) -> None:
    description = {"layers": ["Flatten"], "readout": {"type": kind.__name__}}
    net = sh.build(spec.parse(description, "here"), input_shape=(4,))
    assert isinstance(net.readout, kind)
    if kind is sh.SoftmaxReadout:
        net.readout.lr = 0.05
    right = [net.step(x, labels).prediction == labels for x, labels in labelled_stream(400, 1)]
    answers = [ok for step, ok in enumerate(right) if step % 4 != 3 and step >= 200]
    assert sum(answers) / len(answers) > 0.75


@both
def test_classes_named_beforehand_but_not_seen_are_not_guessed(kind: Any) -> None:
    readout = kind(4, classes=5)
    before = readout.respond(torch.rand(2, 4))
    assert before.isfinite().all()
    torch.testing.assert_close(readout.probabilities(before), torch.full((2, 5), 0.2))
    for x, labels in labelled_stream(60):
        learn(readout, 3 + x, [None if label is None else int(label[-1]) for label in labels])
    scores = readout.respond(3 + torch.cat([x for x, _ in labelled_stream(60)]))
    assert scores.isfinite().all()
    assert scores.argmax(1).max() < 3
