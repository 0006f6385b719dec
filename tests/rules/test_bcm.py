from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_rules as oracles
from tests.rules.helpers import activities, change, close, outer_by_group, side_by_side, start


@given(
    seen=activities(steps=4),
    tau=st.sampled_from([1, 2.5, 100]),
    form=st.sampled_from(["law", "intrator"]),
)
def test_equals_the_oracle(seen: list[sh.Activity], tau: float, form: str) -> None:
    rule = sh.BCM(tau, form)
    state, memory = start(rule, seen[0]), {}
    for instant in seen:
        found, state = change(rule, instant, state)
        factor, memory = oracles.bcm(side_by_side(instant.post), memory, tau, form)
        close(found, outer_by_group(factor, instant, oracles.outer))
        close(state["threshold"], memory["threshold"])


@pytest.mark.parametrize("form", ["law", "intrator"])
def test_silence_changes_nothing(form: str) -> None:
    seen = sh.Activity(torch.ones(1, 3), torch.zeros(1, 2), torch.ones(1, 2), torch.ones(2, 3))
    dw, state = change(sh.BCM(form=form), seen.__class__(*(v.double() for v in seen[:4])))
    assert dw.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert state["threshold"].tolist() == [0, 0]


def test_activity_above_the_threshold_strengthens_and_below_it_weakens() -> None:
    rule, state = sh.BCM(tau=1000), {"threshold": torch.tensor([1.0]), "age": torch.tensor(5000.0)}
    for y, sign in ((0.5, -1), (2.0, 1)):
        seen = sh.Activity(
            torch.ones(1, 1), torch.tensor([[y]]), torch.ones(1, 1), torch.ones(1, 1)
        )
        assert float(change(rule, seen, state)[0]) * sign > 0


@pytest.mark.parametrize("form", ["law", "intrator"])
def test_a_neuron_becomes_selective(form: str) -> None:
    """Of five overlapping patterns it ends up answering one, where it answered all."""
    patterns = torch.full((5, 5), 0.3) + 0.7 * torch.eye(5)
    layer = sh.Dense(
        5, 4, rule=sh.BCM(50, form), competition=sh.Independent("relu"), rate=0.01,
        scaling=sh.NoScaling(), init=sh.Positive(0.5),
    )  # fmt: skip
    layer.reset(torch.Generator().manual_seed(0))

    def selectivity() -> torch.Tensor:
        answer = layer.respond(patterns).relu()
        return 1 - answer.mean(0) / answer.amax(0)

    before = selectivity()
    chance = torch.Generator().manual_seed(1)
    for index in torch.randint(5, (6000,), generator=chance):
        layer.learn(layer.observe(patterns[index][None])[1])
    assert float(before.max()) < 0.5
    assert float(selectivity().min()) > 0.75  # 0.8 is an answer to one of five alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": 0.5}, r"BCM: tau=0.5 is not allowed; it must be a number >= 1"),
        ({"tau": float("inf")}, r"BCM: tau=inf is not allowed"),
        ({"tau": None}, r"BCM: tau=None is not allowed"),
        ({"form": "oja"}, r"BCM: form='oja' is not allowed; choose one of 'law', 'intrator'"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sh.BCM(**arguments)
