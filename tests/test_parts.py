from __future__ import annotations

import json
import math

import pytest

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.layers import Layer
from streamhebb.parts import describe, describe_arguments, require, require_choice


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1", True, 1j, [1]])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Thing: size=.* is not allowed; it must be a number$"):
        require("Thing", "size", value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "limits", "fine"),
    [
        (0, {"above": 0}, False),
        (1e-9, {"above": 0}, True),
        (0, {"at_least": 0}, True),
        (-1e-9, {"at_least": 0}, False),
        (1, {"at_most": 1}, True),
        (1.1, {"at_least": 0, "at_most": 1}, False),
        (2, {"whole": True}, True),
        (2.0, {"whole": True}, False),
        (True, {"whole": True}, False),
    ],
)
def test_limits_are_kept(value: float, limits: dict[str, float], fine: bool) -> None:
    if fine:
        require("Thing", "size", value, **limits)  # type: ignore[arg-type]
        return
    with pytest.raises(ConfigError, match="size="):
        require("Thing", "size", value, **limits)  # type: ignore[arg-type]


def test_the_message_of_require_names_value_and_limits() -> None:
    with pytest.raises(ConfigError) as caught:
        require("Thing", "share", 2, at_least=0, at_most=1)
    assert str(caught.value) == "Thing: share=2 is not allowed; it must be a number >= 0 and <= 1"
    with pytest.raises(ConfigError, match="must be a whole number > 0"):
        require("Thing", "size", 2.5, above=0, whole=True)


def test_the_message_of_require_choice_names_value_and_choices() -> None:
    require_choice("Thing", "mode", "a", ("a", "b"))
    with pytest.raises(ConfigError, match="Thing: mode='c' is not allowed; choose one of 'a', 'b'"):
        require_choice("Thing", "mode", "c", ("a", "b"))


def test_describe_writes_parts_in_parts_as_plain_json() -> None:
    layer = sh.Conv2d(
        2, 4, 3, rule=sh.Oja(), rate=0.5, scaling=sh.NeuronMax(7), bias=sh.PriorBias(2.0)
    )
    data = layer.config()
    assert json.loads(json.dumps(data)) == data
    assert data["type"] == "Conv2d"
    assert data["rate"] == {"type": "ConstantRate", "lr": 0.5}
    assert data["scaling"] == {"type": "NeuronMax", "memory": 7}
    assert data["bias"] == {"type": "PriorBias", "t": 2.0, "gain": None, "function": "exp"}
    assert describe((sh.Hebb(), [1, "x"])) == [{"type": "Hebb"}, [1, "x"]]


def test_describe_arguments_leaves_out_what_cannot_be_named() -> None:
    class Odd(Layer):
        def __init__(self, size: int, *rest: int, flag: bool = False, **more: int) -> None:
            super().__init__()
            self.size, self.flag = size, flag

    assert describe_arguments(Odd(3, 4, 5, other=6)) == {"type": "Odd", "size": 3, "flag": False}
