from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import spec
from streamhebb.errors import ConfigError, StreamhebbError
from streamhebb.parts import describe, rebuild
from streamhebb.rules.base import modulated, nonlocal_parts
from tests.rules.helpers import activities, change, start

PAIRS = [
    (sh.Hebb(), sh.Outstar()),
    (sh.Oja(), sh.Sanger()),
    (sh.Delta(0.1), sh.Sanger()),
    (sh.SoftHebb(), sh.Instar()),
    (sh.BCM(3), sh.LPL(decorrelation=0.2, tau=2, weight_decay=0.1)),
    (sh.Hebb(), sh.Both(sh.Oja(), sh.BCM(5, "intrator"))),
]


@given(pair=st.sampled_from(PAIRS), seen=activities(steps=3))
def test_is_the_sum_of_its_rules(pair: tuple[Any, Any], seen: list[sh.Activity]) -> None:
    rule = sh.Both(*pair)
    state, alone = start(rule, seen[0]), [start(one, seen[0]) for one in pair]
    for instant in seen:
        found, state = change(rule, instant, state)
        parts = [change(one, instant, own) for one, own in zip(pair, alone, strict=True)]
        alone = [own for _, own in parts]
        torch.testing.assert_close(found, parts[0][0] + parts[1][0], rtol=1e-12, atol=1e-12)
    names = {
        f"{which}_{k}" for which, own in zip(("first", "second"), alone, strict=True) for k in own
    }
    assert state.keys() == names, "each keeps its own, under its own name"


def test_says_what_its_rules_say() -> None:
    assert sh.Both(sh.SoftHebb(), sh.Instar()).competes
    assert not sh.Both(sh.Hebb(), sh.Oja()).competes
    assert nonlocal_parts(sh.Both(sh.Sanger(), sh.LPL(decorrelation=1))) == (
        "outputs of earlier neurons", "decorrelation",
    )  # fmt: skip
    assert not modulated(sh.Both(sh.Hebb(), sh.Oja()))
    rule = sh.Both(sh.Hebb(), sh.BCM(7))
    assert rebuild(rule, describe(rule)) == rule


@dataclass(frozen=True)
class Modulated(sh.Hebb):
    modulated = True


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (sh.Hebb(), sh.Hebb(), "Hebb would act twice on one synapse; use one Hebb"),
        (sh.BCM(5), sh.Both(sh.Hebb(), sh.BCM(6)), "BCM would act twice"),
        (sh.Oja(), sh.Instar(), r"Instar\(\) is meant for neurons that compete, Oja\(\) for"),
        (sh.SoftHebb(), sh.Hebb(), r"SoftHebb\(\) is meant for neurons that compete, Hebb\(\) for"),
        (sh.Oja(), Modulated(), r"Modulated\(\) uses the modulator itself, Oja\(\) has it"),
    ],
)
def test_rules_that_contradict_each_other_are_refused_by_name(
    first: Any, second: Any, why: str
) -> None:
    with pytest.raises(ConfigError, match=rf"are not allowed together: {why}") as caught:
        sh.Both(first, second)
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


@pytest.mark.parametrize("value", [sh.Oja, "oja", None])
def test_what_is_no_rule_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="Both: second="):
        sh.Both(sh.Hebb(), value)


NET = "layers: [{{type: Dense, n_out: 3, rule: {rule}}}]"


def build(rule: str) -> sh.StreamNet:
    return spec.build(spec.parse(yaml.safe_load(NET.format(rule=rule)), "a net"), input_shape=(4,))


def test_can_be_written_in_a_net_file_and_kept_in_a_snapshot(tmp_path: Any) -> None:
    net = build("{type: Both, first: Hebb, second: {type: Both, first: Oja, second: BCM}}")
    rule = sh.Both(sh.Hebb(), sh.Both(sh.Oja(), sh.BCM()))
    assert net.layers[0].rule == rule
    net.step(torch.rand(4))
    net.save(tmp_path / "net.st")
    assert spec.load(tmp_path / "net.st").layers[0].rule == rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{type: Both, first: Hebb, second: Foo}", "second: unknown rule 'Foo'; there are"),
        ("{type: Both, first: Hebb}", "second: Field required"),
        ("{type: Both, first: Hebb, second: {type: BCM, ta: 1}}", "BCM.ta: there is no such arg"),
        ("{type: Both, first: Hebb, second: {type: BCM, tau: 0}}", "BCM: tau=0.0 is not allowed"),
        ("{type: Both, first: Hebb, second: Hebb}", "Hebb would act twice"),
    ],
)
def test_mistakes_in_a_net_file_are_named(rule: str, message: str) -> None:
    with pytest.raises(StreamhebbError, match=message):
        build(rule)
