"""Named neurons: as counted by hand, bounded, and usable in a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError, LabelError, NonFiniteError, ShapeError
from streamhebb.evaluate import NeuronLabels

rows = st.lists(st.integers(-3, 3).map(float), min_size=4, max_size=4)
samples = st.lists(st.tuples(rows, rows, st.sampled_from([0, 1, 2, None])), max_size=12)


def by_hand(stream: Any) -> list[Any]:
    """Each neuron's label, straight from the definition, with loops."""
    named = []
    for j in range(4):
        wins, mass = [0] * 3, [0.0] * 3
        for drive, post, label in stream:
            if label is not None:
                mass[label] += post[j]
                if max(range(4), key=lambda i: (drive[i], -i)) == j:
                    wins[label] += 1
        table = wins if any(wins) else mass
        named.append(table.index(max(table)) if any(table) else None)
    return named


@given(stream=samples)
def test_equals_the_definition_however_it_is_fed(stream: Any) -> None:
    one, whole = NeuronLabels(4, classes=3), NeuronLabels(4, classes=3)
    for drive, post, label in stream:
        one.update(torch.tensor(drive), label, torch.tensor(post))
    if stream:
        drives, posts, labels = (list(column) for column in zip(*stream, strict=True))
        whole.update(torch.tensor(drives), labels, torch.tensor(posts))
        winners = torch.tensor(drives).argmax(1).tolist()
        wanted = by_hand(stream)
        assert whole.predict(torch.tensor(drives)) == [wanted[w] for w in winners]
        told = [(wanted[w], y) for w, y in zip(winners, labels, strict=True) if y is not None]
        share = sum(a == b for a, b in told) / len(told) if told else 0.0
        assert whole.accuracy(torch.tensor(drives), labels) == share
    assert list(one.labels) == list(whole.labels) == by_hand(stream)
    assert torch.equal(one.wins, whole.wins)


def test_in_a_stream_beside_a_net_without_a_readout() -> None:
    net = sh.StreamNet(sh.Dense(4, 6), seed=0)
    named, right = NeuronLabels(6), []
    names = "north", "east", "south", "west"
    for number in range(400):
        x = torch.eye(4)[number % 4]
        drive = net.step(x).scores
        right.append(named.predict(drive) == names[number % 4])
        named.update(drive, names[number % 4])
    assert not right[0]
    assert sum(right[-100:]) >= 80
    assert named.wins.shape == (6, 4)  # bounded by the classes, whatever the length
    assert int(named.wins.sum()) == 400


def test_nothing_known_yet() -> None:
    named = NeuronLabels(3)
    assert named.labels == (None, None, None)
    assert named.predict(torch.ones(3)) is None
    assert named.predict(torch.ones(2, 3)) == [None, None]
    assert named.accuracy(torch.ones(2, 3), [None, None]) == 0
    assert named.accuracy(torch.ones(2, 3), ["a", "b"]) == 0


def test_of_equal_counts_the_class_known_first() -> None:
    drive = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    for classes, wanted in (((), "b"), (("a", "b"), "a")):
        named = NeuronLabels(2, classes)
        named.update(drive, ["b", "a"])
        assert named.labels == (wanted, None)


def test_a_neuron_that_never_wins_goes_by_its_share() -> None:
    named = NeuronLabels(2)
    drive = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    post = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.9, 0.1]])
    named.update(drive, ["a", "b", "a"], post)
    assert named.labels == ("a", "b")


def test_state_goes_through_json() -> None:
    named = NeuronLabels(3)
    named.update(torch.rand(5, 3), ["a", "b", "a", None, 7], torch.rand(5, 3))
    other = NeuronLabels(3)
    other.restore(json.loads(json.dumps(named.state())))
    assert other.labels == named.labels
    assert other.classes == named.classes == ("a", "b", 7)
    assert torch.equal(other.mass, named.mass)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"classes": ["a"], "wins": [[1]], "mass": [[1.0]]},
        {"classes": ["a", "a"], "wins": [[1, 0]] * 3, "mass": [[1.0, 0]] * 3},
        {"classes": ["a"], "wins": [["x"]] * 3, "mass": [[1.0]] * 3},
        {"classes": None, "wins": [[1]] * 3, "mass": [[1.0]] * 3},
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state: Any) -> None:
    named = NeuronLabels(3)
    named.update(torch.eye(3), ["a", "b", "c"])
    with pytest.raises(ConfigError):
        named.restore(state)
    assert named.labels == ("a", "b", "c")


@pytest.mark.parametrize(
    ("drive", "target", "post", "error"),
    [
        (torch.rand(2, 4), [0, 1], None, ShapeError),
        (torch.rand(2, 3, 1), [0, 1], None, ShapeError),
        (torch.rand(2, 3), [0, 1], torch.rand(1, 3), ShapeError),
        (torch.rand(2, 3), [0], None, LabelError),
        (torch.rand(2, 3), 0, None, LabelError),
        (torch.rand(2, 3), [0.5, 1], None, LabelError),
        (torch.rand(2, 3), [[0], [1]], None, LabelError),
        (torch.full((2, 3), float("nan")), [0, 1], None, NonFiniteError),
        (torch.rand(2, 3), [0, 1], torch.full((2, 3), float("inf")), NonFiniteError),
    ],
)
def test_bad_input_counts_nothing(drive: Any, target: Any, post: Any, error: Any) -> None:
    named = NeuronLabels(3)
    with pytest.raises(error):
        named.update(drive, target, post)
    assert named.classes == ()
    assert not named.wins.any()


@pytest.mark.parametrize(("n_out", "classes"), [(0, ()), (1.5, ()), (3, 0), (3, True)])
def test_settings_out_of_range(n_out: Any, classes: Any) -> None:
    with pytest.raises(ConfigError, match="NeuronLabels"):
        NeuronLabels(n_out, classes)
