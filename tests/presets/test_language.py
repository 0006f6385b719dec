"""The mini-language of layers: read, written, and refused with the place that is wrong."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.errors import ConfigError
from streamhebb.presets.language import CONV, DENSE, KEYS, MOST, RULES, LayerCode, read_layer

# Published strings, as they stand in golden vectors and notes.
PUBLISHED = [
    "softkrotov-c96-k5-p2-s1-d1-b0-t1-lr0.08-lp0.5-e0",
    "softkrotov-c384-k3-p1-s1-d1-b0-t0.65-lr0.005-lp0.5-e1",
    "hard-c8-k3-p0-s1-d1-b0-t0.5-lr0.05",
    "soft-c2000-t12-lr0.045-r35-v1",
    "supervisedsoftkrotov-c10-t12-lr0.045-r35-v0",
    "BP-c10",
]


@st.composite
def codes(draw: Any) -> LayerCode:
    """Any layer that can be written."""
    conv = draw(st.booleans())
    rule = draw(st.sampled_from([r for r in RULES if not (conv and r.startswith("supervised"))]))
    values: dict[str, Any] = {}
    for key in KEYS:
        if key.conv and not conv:
            continue
        if key.letters == "k" or draw(st.booleans()):
            if key.kind == "flag":
                values[key.name] = draw(st.booleans())
            elif key.kind == "whole":
                values[key.name] = draw(st.integers(int(key.least), MOST))
            else:
                numbers = st.floats(key.least, MOST, exclude_min=key.above)
                values[key.name] = draw(numbers)
    if "groups" in values and "n_out" in values:
        values["n_out"] = values["groups"] * draw(st.integers(1, MOST // values["groups"]))
    return LayerCode(rule, **values)


@given(codes())
def test_what_is_written_reads_the_same(code: LayerCode) -> None:
    assert read_layer(str(code)) == code
    assert str(read_layer(str(code))) == str(code)


@given(codes(), st.randoms(use_true_random=False))
def test_keys_come_in_any_order(code: LayerCode, chance: Any) -> None:
    rule, *keys = str(code).split("-")
    chance.shuffle(keys)
    assert read_layer("-".join([rule.upper(), *keys])) == code


ALPHABET = st.sampled_from(string.ascii_lowercase[:22] + "0123456789.--_ A٣\n")


@given(st.text(ALPHABET, max_size=25), codes(), st.integers(0, 60), st.booleans())
def test_whatever_is_typed_is_read_or_refused_at_a_place(
    noise: str, code: LayerCode, at: int, inside: bool
) -> None:
    text = str(code)
    text = text[:at] + noise + text[at:] if inside else noise
    try:
        assert read_layer(str(read_layer(text))) == read_layer(text)
    except ConfigError as error:
        wrong, shown, marks, help_ = str(error).split("\n")
        assert len(shown) == len(text) + 2
        assert set(marks) <= {" ", "^"}
        first = marks.index("^") - 2
        assert 0 <= first <= len(text)
        assert len(marks.rstrip()) - 2 <= max(len(text), first + 1)
        assert wrong
        assert help_


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_layers_come_back_letter_by_letter(text: str) -> None:
    assert str(read_layer(text)) == text


def test_what_a_published_layer_means() -> None:
    code = read_layer("softkrotov-c96-k5-p2-t1-lr0.08-lp0.5-e1")
    assert code == LayerCode(
        "softkrotov", n_out=96, kernel_size=5, padding=2, t=1.0, lr=0.08, power=0.5,
        pre_triangle=True,
    )  # fmt: skip
    assert code.conv
    assert code.hebbian
    assert not read_layer("BP-c10").hebbian


def test_defaults_are_the_published_ones() -> None:
    # softhebb-reference, section 3.1
    dense = read_layer("soft-c8").filled()
    assert (dense.lr, dense.power, dense.t, dense.radius, dense.delta) == (0.05, 0.2, 10, 10, 0.1)
    conv = read_layer("soft-c8-k3").filled()
    assert (conv.lr, conv.power, conv.t, conv.radius, conv.delta) == (0.009, 0.75, 96, 25, 2)
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == (1, 0, 1, 1)
    for code in (dense, conv):
        assert (code.norm_p, code.lr_taught, code.by_radius, code.bias) == (2, 0.001, True, False)
    assert dense.padding is None
    assert set(DENSE) < set(CONV)


def test_capitals_of_the_rule_as_in_the_published_notes() -> None:
    assert read_layer("SoftKrotov-c36-k3").rule == "softkrotov"
    assert str(read_layer("bp-c36")) == "BP-c36"


WRONG = [
    # text, from, to (of the carets), said, allowed
    ("", 0, 1, "begins with its rule", "softkrotov"),
    ("-c96", 0, 1, "begins with its rule", "softkrotov"),
    ("sotf-c96", 0, 4, "'sotf' is no rule", "did you mean soft?"),
    ("softkrotov_c96", 0, 14, "is no rule", "did you mean softkrotov?"),
    ("soft c96", 0, 8, "is no rule", "rules are BP"),
    ("soft-", 5, 6, "a key is missing", "keys are c"),
    ("soft--c96", 5, 6, "a key is missing", "keys are c"),
    ("soft-x3", 5, 7, "'x3' begins with no key", "keys are c"),
    ("soft-96", 5, 7, "'96' begins with no key", "keys are c"),
    ("soft-C96", 5, 8, "begins with no key", "they are small: c96"),
    ("soft-c96-kfive", 10, 14, "not 'five'", "k5"),
    ("soft-c96-k5x", 10, 12, "not '5x'", "k5"),
    ("soft-c96-k5.0", 10, 13, "whole number", "k5"),
    ("soft-c96-k", 10, 11, "and there is none", "k5"),
    ("soft-c0", 6, 7, "from 1", "c96"),
    ("soft-c96-t0", 10, 11, "above 0", "t1"),
    ("soft-c96-lb0.5", 11, 14, "from 1", "lb2"),
    ("soft-c1000001", 6, 13, "to 1000000", "c96"),
    ("soft-c96-b2", 10, 11, "0 or 1", "b1"),
    ("soft-c96-vtrue", 10, 14, "0 or 1", "v1"),
    ("soft-c96-lr-0.1", 11, 12, "and there is none", "no number is negative"),
    ("soft-c96-lr1e-05", 11, 13, "not '1e'", "0.00001"),
    ("soft-c96-lr0,1", 11, 14, "not '0,1'", "lr0.08"),
    ("soft-c96-lrinf", 11, 14, "not 'inf'", "lr0.08"),
    ("soft-c96-c97", 9, 12, "c stands here twice", "once"),
    ("soft-c96-p2", 9, 11, "without k this is a dense layer", "k3"),
    ("supervisedsoftkrotov-c10-k3", 25, 27, "dense layers", "leave k out"),
    ("soft-c10-k3-g3", 12, 14, "g3 does not divide c10", "evenly"),
    ("soft-c96-k٣", 10, 11, "not '٣'", "k5"),
]


@pytest.mark.parametrize(("text", "start", "end", "said", "allowed"), WRONG)
def test_a_mistake_is_pointed_at(text: str, start: int, end: int, said: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_layer(text)
    wrong, shown, marks, help_ = str(caught.value).split("\n")
    assert (marks.index("^") - 2, len(marks) - 2) == (start, end)
    assert said in wrong
    assert allowed in help_
    assert shown.isascii(), "a character of another width would move the carets"


def test_other_things_than_text_and_endless_text_are_refused() -> None:
    with pytest.raises(ConfigError, match="as text"):
        read_layer(96)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="5001 characters"):
        read_layer("s" * 5001)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rule": "Soft"}, "rule='Soft'"),
        ({"n_out": 0}, "n_out=0"),
        ({"n_out": True}, "n_out=True"),
        ({"n_out": 2.0}, "n_out=2.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"t": 0.0}, "t=0.0"),
        ({"bias": 2}, "bias=2"),
        ({"padding": 1}, "without k"),
        ({"n_out": 3, "kernel_size": 3, "groups": 2}, "does not divide"),
    ],
)
def test_a_layer_that_could_not_be_written_cannot_be_made(values: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LayerCode(**({"rule": "soft"} | values))


def test_a_whole_number_is_as_good_as_a_float() -> None:
    assert LayerCode("soft", n_out=8, lr=1) == LayerCode("soft", n_out=8, lr=1.0)
    assert str(LayerCode("soft", n_out=8, lr=1)) == "soft-c8-lr1"
