"""Arrays in memory: order, resuming, scaling, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamhebb.errors import ConfigError, DTypeError, LabelError, ShapeError, SourceError
from streamhebb.sources import ArraySource

X = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2)
Y = [0, 1, 2, 0, 1, 2, 0]


def ids(source):
    return [s.id for s in source]


def test_stored_order_scaled_and_labelled():
    source = ArraySource(X, Y, shape=(1, 2, 2))
    got = list(source)
    assert [s.id for s in got] == list(range(7))
    assert [s.target for s in got] == Y
    assert all(s.t is None for s in got)
    assert got[1].x.shape == source.shape == (1, 2, 2)
    assert got[1].x.dtype == torch.float32
    assert got[1].x.flatten().tolist() == pytest.approx([4 / 255, 5 / 255, 6 / 255, 7 / 255])
    assert source.x.dtype == np.uint8
    assert source.classes == (0, 1, 2)


def test_all_bytes_are_scaled_as_torch_does():
    x = np.arange(256, dtype=np.uint8)[:, None]
    x.flags.writeable = False
    got = torch.cat([s.x for s in ArraySource(x)])
    assert torch.equal(got, torch.arange(256, dtype=torch.uint8).to(torch.float32).div(255))


def test_each_epoch_has_its_own_order_and_all_rows():
    source = ArraySource(X, seed=3, epochs=3)
    order = ids(source)
    rounds = [order[i : i + 7] for i in (0, 7, 14)]
    assert all(sorted(r) == list(range(7)) for r in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert ids(source) == order, "a second pass over the same source differs"
    assert ids(ArraySource(X, seed=4, epochs=3)) != order


def test_the_order_never_changes():
    # Runs resume by it, so it is part of the format: these numbers must stay for ever.
    order = ids(ArraySource(np.zeros((12, 1)), seed=0, epochs=2))
    assert order[:12] == [7, 1, 0, 6, 3, 5, 10, 8, 11, 2, 9, 4]
    assert order[12:] == [9, 3, 6, 5, 7, 0, 8, 4, 1, 11, 10, 2]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 9),
    epochs=st.integers(1, 4),
    start=st.integers(0, 40),
    limit=st.none() | st.integers(0, 40),
    seed=st.none() | st.integers(0, 2**40),
)
def test_resuming_is_the_tail_of_the_whole(rows, epochs, start, limit, seed):
    x = np.zeros((rows, 1))
    whole = ids(ArraySource(x, seed=seed, epochs=epochs))
    part = ArraySource(x, seed=seed, epochs=epochs, start=start, limit=limit)
    assert ids(part) == whole[:limit][start:]
    assert len(part) == len(whole[:limit][start:])


def test_floats_and_tensors_are_taken_unscaled():
    x = torch.tensor([[0.25, 3.0]], dtype=torch.float64)
    (got,) = ArraySource(x, torch.tensor([4]))
    assert got.x.dtype == torch.float32
    assert got.x.tolist() == [0.25, 3.0]
    assert type(got.target) is int


def test_a_sample_can_be_changed_without_changing_the_data():
    for x in (X.astype(np.float32), X):
        source = ArraySource(x)
        next(iter(source)).x.fill_(9)
        assert next(iter(source)).x.flatten()[0] == 0


def test_labels_may_be_text_or_missing():
    source = ArraySource(X[:3], ["b", None, "a"])
    assert source.classes == ("a", "b")
    assert [s.target for s in source] == ["b", None, "a"]
    assert ArraySource(X).classes is None


@pytest.mark.parametrize(
    ("error", "x", "options"),
    [
        (SourceError, X[:0], {}),
        (ShapeError, np.zeros(3), {}),
        (ShapeError, X, {"shape": (3, 3)}),
        (DTypeError, X.astype(np.int64), {}),
        (DTypeError, np.array([["a"]]), {}),
        (ConfigError, X, {"y": [1, 2]}),
        (ConfigError, X, {"classes": [1, 2]}),
        (ConfigError, X, {"seed": -1}),
        (ConfigError, X, {"seed": 1.5}),
        (ConfigError, X, {"epochs": 0}),
        (ConfigError, X, {"start": -1}),
        (ConfigError, X, {"limit": True}),
        (ConfigError, X, {"y": Y, "class_names": ["one"]}),
        (LabelError, X, {"y": Y, "classes": (0, 1)}),
        (LabelError, X, {"y": [[0]] * 7}),
    ],
)
def test_what_is_refused(error, x, options):
    with pytest.raises(error):
        ArraySource(x, **options)


def test_it_is_a_context_manager():
    with ArraySource(X, name="mine") as source:
        assert source.name == "mine"
        assert source.counts == {}
