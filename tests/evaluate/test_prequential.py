"""Test-then-train accuracy: counted right, bounded, and unbroken by a stop."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError, LabelError
from streamhebb.evaluate.prequential import Prequential, iter_prequential

pairs = st.lists(
    st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([None, "a", "b"])), max_size=60
)


@given(items=pairs, window=st.integers(1, 12))
def test_equals_counting_by_hand(items: Any, window: int) -> None:
    score = Prequential(window)
    hits: list[bool] = []
    for target, prediction in items:
        score.update(target, prediction)
        if target is not None:
            hits.append(target == prediction)
        last = hits[-window:]
        assert score.count == len(hits)
        assert score.accuracy == (sum(hits) / len(hits) if hits else 0.0)
        assert score.window_accuracy == (sum(last) / len(last) if last else 0.0)


@given(items=pairs, stop=st.integers(0, 60), window=st.integers(1, 12))
def test_a_run_that_was_stopped_reports_the_same_numbers(
    items: Any, stop: int, window: int
) -> None:
    whole, first = Prequential(window), Prequential(window)
    for target, prediction in items[:stop]:
        whole.update(target, prediction)
        first.update(target, prediction)
    second = Prequential(window)
    second.update("x", "y")  # forgotten by restore
    second.restore(json.loads(json.dumps(first.state())))
    for target, prediction in items[stop:]:
        whole.update(target, prediction)
        second.update(target, prediction)
        assert second.accuracy == whole.accuracy
        assert second.window_accuracy == whole.window_accuracy
    assert second.state() == whole.state()


def test_equals_rivers_accuracy_and_rolling_window() -> None:
    from river import metrics, utils

    source = np.random.default_rng(0)
    score = Prequential(window=50)
    over_all, rolling = metrics.Accuracy(), utils.Rolling(metrics.Accuracy, window_size=50)
    for target, prediction in source.integers(0, 3, (150, 2)).tolist():
        score.update(target, prediction)
        over_all.update(target, prediction)
        rolling.update(target, prediction)
        assert score.accuracy == pytest.approx(over_all.get())
        assert score.window_accuracy == pytest.approx(rolling.get())


def test_none_predicted_is_wrong_and_none_wanted_does_not_count() -> None:
    score = Prequential()
    assert (score.accuracy, score.window_accuracy, score.count) == (0.0, 0.0, 0)
    score.update("a", None)
    assert (score.accuracy, score.count) == (0.0, 1)
    score.update(None, "a")
    score.update(None, None)
    assert score.count == 1
    score.update("a", "a")
    assert (score.accuracy, score.count) == (0.5, 2)


def test_labels_are_compared_as_the_readout_compares_them() -> None:
    score = Prequential()
    for target, prediction in [
        (np.int64(1), 1),
        (torch.tensor(1), 1),
        (1.0, 1),
        (True, 1),
        (np.str_("a"), "a"),
    ]:
        score.update(target, prediction)
    assert score.accuracy == 1.0
    score.update("1", 1)
    assert score.accuracy < 1.0


def test_micro_batches() -> None:
    score = Prequential()
    score.update([0, 1, None, 1], [0, 0, 5, 1])
    assert (score.count, score.right) == (3, 2)
    score.update(torch.tensor([0, 1]), None)  # nothing was predicted yet
    assert (score.count, score.right) == (5, 2)
    for prediction in ([0], [0, 1, 2], 0):
        with pytest.raises(LabelError, match="for 2 labels"):
            score.update([0, 1], prediction)
    assert score.count == 5


@pytest.mark.parametrize("window", [0, -1, float("nan"), "9", None])
def test_window_out_of_range(window: Any) -> None:
    with pytest.raises(ConfigError, match="window="):
        Prequential(window)


GOOD = {"window": 5, "count": 3, "right": 2, "recent": "101"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": 6}, "window of 6 samples, this one has 5"),
        ({"recent": "1"}, "contradicts itself"),
        ({"recent": "10x"}, "contradicts itself"),
        ({"recent": "111"}, "contradicts itself"),
        ({"right": 4}, "contradicts itself"),
        ({"count": "many"}, "no state of a Prequential"),
        ({"count": None}, "no state of a Prequential"),
    ],
)
def test_restore_refuses_what_is_no_state(change: Any, words: str) -> None:
    score = Prequential(5)
    score.restore(GOOD)
    before = score.state()
    with pytest.raises(ConfigError, match=words):
        score.restore(GOOD | change)
    with pytest.raises(ConfigError, match="no state"):
        score.restore({})
    assert score.state() == before


def test_the_loop_predicts_before_it_learns() -> None:
    net = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    twin = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    x = torch.rand(6, 2)
    source = [(x[0], "a"), sh.Sample(x[1], target="b"), x[2], [x[3], "a"], (x[4:6], ["a", "b"])]
    seen = [
        (result.prediction, score.count, score.right)
        for result, score in iter_prequential(net, source)
    ]
    score = Prequential()
    wanted = []
    for item, target in zip(
        [x[0], x[1], x[2], x[3], x[4:6]], ["a", "b", None, "a", ["a", "b"]], strict=True
    ):
        result = twin.step(item, target)
        score.update(target, result.prediction)
        wanted.append((result.prediction, score.count, score.right))
    assert seen == wanted
    assert seen[0] == (None, 1, 0)
    assert seen[2][1] == 2


def test_the_loop_goes_on_counting_and_stops_when_told() -> None:
    net = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3))
    score = Prequential(window=4)

    def forever() -> Any:
        while True:
            yield torch.rand(2), 0

    for _ in iter_prequential(net, forever(), score):
        if score.count == 10:
            break
    assert net.counts["samples"] == 10
    assert score.window_accuracy == 1.0
