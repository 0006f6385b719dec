from __future__ import annotations

from typing import Any

import pytest

import streamhebb as sh
from streamhebb.chain import stages, trace_shapes
from streamhebb.errors import ShapeError

CASES: list[tuple[list[Any], list[list[int]]]] = [
    ([sh.Dense(4, 3)], [[0]]),
    ([sh.Flatten()], [[0]]),
    ([sh.Dense(4, 3), sh.ReLU(), sh.Dense(3, 2)], [[0, 1], [2]]),
    ([sh.RunningNorm(4), sh.Dense(4, 3), sh.RunningNorm(3), sh.ReLU()], [[0, 1], [2, 3]]),
    (
        [sh.BatchNorm(1), sh.RunningNorm(1), sh.Conv2d(1, 2, 3), sh.Triangle(), sh.MaxPool2d(2),
         sh.RunningNorm(2), sh.Flatten(), sh.Dense(8, 2), sh.Dense(2, 2)],
        [[0, 1, 2, 3, 4], [5, 6, 7], [8]],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "expected"), CASES)
def test_stages_hold_one_plastic_layer_with_what_surrounds_it(
    layers: list[Any], expected: list[list[int]]
) -> None:
    found = stages(layers)
    assert [list(stage) for stage in found] == expected
    assert [i for stage in found for i in stage] == list(range(len(layers)))
    assert all(sum(layers[i].plastic for i in stage) <= 1 for stage in found)


def test_shapes_are_traced_through_every_layer() -> None:
    layers = [sh.Conv2d(1, 4, 3, padding=1), sh.MaxPool2d(2), sh.Flatten(), sh.Dense(64, 5)]
    shapes = trace_shapes(layers, ["a", "b", "c", "d"], (1, 8, 8))
    assert shapes == [(1, 8, 8), (4, 8, 8), (4, 4, 4), (64,), (5,)]


def test_the_layer_that_does_not_fit_is_named_with_the_cure() -> None:
    layers = [sh.Conv2d(1, 4, 3), sh.Flatten(), sh.Dense(64, 5)]
    with pytest.raises(ShapeError) as caught:
        trace_shapes(layers, ["0:Conv2d", "1:Flatten", "2:Dense"], (1, 8, 8))
    message = str(caught.value)
    assert message.startswith("layer 2:Dense: Dense(64, 5) got samples of shape (144,)")
    assert message.endswith("or set n_in=144")
