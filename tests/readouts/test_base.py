"""Readouts: which labels are classes, and how classes appear."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError, LabelError
from streamhebb.readouts.base import plain

KINDS = [
    sh.SoftmaxReadout,
    sh.RLSReadout,
    sh.DeltaReadout,
    sh.NCMReadout,
    sh.PESReadout,
    sh.SLDAReadout,
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
