"""The published mini-language of layers: ``softkrotov-c96-k5-p2-t1-lr0.08-lp0.5``.

A rule, then keys with their values, joined by ``-``. ``k``, the side of the kernel, makes it a
convolution. What is not written has the published default, see
[`LayerCode.filled`][streamhebb.presets.language.LayerCode.filled]:

| key | what | key | what |
|---|---|---|---|
| ``c`` | neurons, or output channels | ``lr`` | rate |
| ``k`` | side of the kernel | ``ls`` | Adam's rate where it is taught |
| ``p`` | padding | ``lp`` | power of the distance from radius 1 in the rate |
| ``s`` | stride | ``lb`` | exponent of the norm |
| ``d`` | dilation | ``r`` | radius of the first weights |
| ``g`` | groups | ``a`` | share of the ranked neuron (Krotov) |
| ``b`` | bias, 0 or 1 | ``v`` | rate by the radius (1), or linear decay (0) |
| ``t`` | inverse temperature | ``m`` | threshold of pruning, without effect |
| | | ``e`` | triangle before the competition, 0 or 1 |
| ``rk`` | rank of who unlearns (Krotov) | ``n`` | first weights normal (1), or positive |

Source: the layer strings of the published code, https://github.com/NeuromorphicComputing/SoftHebb.
The last row is ours: the published strings leave the rank at 3, and draw normal weights only behind
a batch normalisation.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from streamhebb.errors import ConfigError
from streamhebb.parts import require, require_choice

TAUGHT = "supervisedsoftkrotov"
RULES = ("BP", "soft", "softkrotov", "hard", "hardkrotov", TAUGHT)
"""The rules: back-propagation; soft winner-take-all without and with anti-Hebbian losers, hard
winner-take-all, that of Krotov and Hopfield, and one clamped to the label."""

MOST = 1_000_000
"""Largest number that is read."""
_LONGEST = 4000  # characters; a layer is written in some thirty
_EXAMPLE = "softkrotov-c96-k5-p2-t1-lr0.08"


class Key(NamedTuple):
    """What stands behind a key."""

    letters: str
    name: str
    kind: str  # "whole", "number" or "flag"
    what: str
    least: float = 0
    example: str = "1"
    above: bool = False  # the least is not allowed itself
    conv: bool = False

    def allowed(self) -> str:
        """Say what may follow the key."""
        if self.kind == "flag":
            return "0 or 1"
        limit = f"above {self.least:g}" if self.above else f"from {self.least:g}"
        return f"a {'whole ' * (self.kind == 'whole')}number {limit} to {MOST}"


KEYS = (
    Key("c", "n_out", "whole", "neurons, or output channels", 1, "96"),
    Key("k", "kernel_size", "whole", "side of the kernel", 1, "5", conv=True),
    Key("p", "padding", "whole", "padding", 0, "2", conv=True),
    Key("s", "stride", "whole", "stride", 1, conv=True),
    Key("d", "dilation", "whole", "dilation", 1, conv=True),
    Key("g", "groups", "whole", "groups", 1, conv=True),
    Key("b", "bias", "flag", "bias"),
    Key("t", "t", "number", "inverse temperature", 0, above=True),
    Key("lr", "lr", "number", "rate", 0, "0.08"),
    Key("ls", "lr_taught", "number", "Adam's rate where it is taught", 0, "0.001"),
    Key("lp", "power", "number", "power of the distance from radius 1 in the rate", 0, "0.5"),
    Key("lb", "norm_p", "number", "exponent of the norm", 1, "2"),
    Key("r", "radius", "number", "radius of the first weights", 0, "25", above=True),
    Key("a", "delta", "number", "share of the ranked neuron", 0, "0.4"),
    Key("v", "by_radius", "flag", "rate by the radius, or linear decay"),
    Key("m", "prune", "number", "threshold of pruning, without effect", 0, "0", conv=True),
    Key("e", "pre_triangle", "flag", "triangle before the competition", conv=True),
    Key("rk", "rank", "whole", "rank of who unlearns", 2, "3"),
    Key("n", "normal", "flag", "first weights normal, or positive"),
)
"""All keys, in the order in which they are written."""

_BY_LETTERS = {key.letters: key for key in KEYS}
_NAMES = tuple(key.name for key in KEYS)
_PATTERNS = {"flag": "[01]", "whole": "[0-9]+", "number": r"[0-9]+\.?[0-9]*|\.[0-9]+"}
_SHARED = {"bias": False, "lr_taught": 0.001, "norm_p": 2.0, "by_radius": True, "rank": 3}

DENSE = MappingProxyType(
    _SHARED | {"t": 10.0, "lr": 0.05, "power": 0.2, "radius": 10.0, "delta": 0.1}
)
"""Published defaults of dense layers."""

CONV = MappingProxyType(
    _SHARED
    | {"padding": 0, "stride": 1, "dilation": 1, "groups": 1, "t": 96.0, "lr": 0.009}
    | {"power": 0.75, "radius": 25.0, "delta": 2.0, "prune": 0.0, "pre_triangle": False}
)
"""Published defaults of convolutions."""


@dataclass(frozen=True)
class LayerCode:
    """One layer of the mini-language; ``None`` for what is not written.

    Args:
        rule: one of [`RULES`][streamhebb.presets.language.RULES].
        n_out: neurons, or output channels.
        kernel_size: side of the kernel; ``None`` for a dense layer.
        padding: on every side, by reflection.
        stride: of the kernel.
        dilation: of the kernel.
        groups: of channels.
        bias: whether there is one.
        t: inverse temperature.
        lr: rate.
        lr_taught: rate of Adam where labels are learned.
        power: of the distance from radius 1 in the rate.
        norm_p: exponent of the norm.
        radius: of the first weights.
        delta: share of the ranked neuron (Krotov).
        by_radius: rate by the radius, or else linear decay.
        prune: threshold of pruning, without effect as published.
        pre_triangle: triangle before the competition.
        rank: of the neuron that unlearns (Krotov), counted from 1.
        normal: whether first weights are normal, or positive; if not written, they are normal
            behind a batch normalisation.

    Raises:
        ConfigError: for a value that could not be written.

    Example:
        >>> str(LayerCode("hard", n_out=96, kernel_size=5, lr=0.05))
        'hard-c96-k5-lr0.05'
    """

    rule: str
    n_out: int | None = None
    kernel_size: int | None = None
    padding: int | None = None
    stride: int | None = None
    dilation: int | None = None
    groups: int | None = None
    bias: bool | None = None
    t: float | None = None
    lr: float | None = None
    lr_taught: float | None = None
    power: float | None = None
    norm_p: float | None = None
    radius: float | None = None
    delta: float | None = None
    by_radius: bool | None = None
    prune: float | None = None
    pre_triangle: bool | None = None
    rank: int | None = None
    normal: bool | None = None

    def __post_init__(self) -> None:
        require_choice("LayerCode", "rule", self.rule, RULES)
        for key in KEYS:
            value = getattr(self, key.name)
            if value is None:
                continue
            if key.kind == "flag":
                require_choice("LayerCode", key.name, value, (True, False))
                object.__setattr__(self, key.name, bool(value))
                continue
            limit: dict[str, Any] = {"above" if key.above else "at_least": key.least}
            whole = key.kind == "whole"
            require("LayerCode", key.name, value, at_most=MOST, whole=whole, **limit)
            if not whole:
                object.__setattr__(self, key.name, float(value))
        if wrong := _clash(self.rule, {name: getattr(self, name) for name in _NAMES}):
            raise ConfigError(f"LayerCode: {wrong[1]}; {wrong[2]}")

    @property
    def conv(self) -> bool:
        """Whether it is a convolution."""
        return self.kernel_size is not None

    @property
    def hebbian(self) -> bool:
        """Whether it learns by itself, or by Hebb from labels; not by back-propagation."""
        return self.rule != "BP"

    def filled(self) -> LayerCode:
        """The same layer with published defaults in place of what is not written.

        Example:
            >>> read_layer("soft-c8").filled().t
            10.0
        """
        defaults = CONV if self.conv else DENSE
        more = {name: v for name, v in defaults.items() if getattr(self, name) is None}
        return replace(self, **more)  # type: ignore[arg-type]  # names and types of the table

    def __str__(self) -> str:
        written = [self.rule]
        for key in KEYS:
            value = getattr(self, key.name)
            if value is not None:
                written.append(key.letters + _plain(value))
        return "-".join(written)


def _plain(value: float) -> str:
    """A number without an exponent: ``-`` would begin the next key.

    Example:
        >>> _plain(1e-05), _plain(2.0), _plain(True)
        ('0.00001', '2', '1')
    """
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _clash(rule: str, values: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What contradicts the rest: its key, why, and the cure; ``None`` if all go together."""
    conv = values["kernel_size"] is not None
    if not conv:
        for key in KEYS:
            if key.conv and values[key.name] is not None:
                wrong = f"{key.letters} is for convolutions, and without k this is a dense layer"
                return key.letters, wrong, f"write the side of the kernel, k3, or no {key.letters}"
    elif rule == TAUGHT:
        return "k", f"{TAUGHT} is for dense layers", "leave k out"
    n_out, groups = values["n_out"], values["groups"] or 1
    if n_out is not None and n_out % groups:
        return "g", f"g{groups} does not divide c{n_out}", "neurons are split evenly into groups"
    return None


class _Word(NamedTuple):
    """A part of the text, and where it begins."""

    start: int
    text: str


def read_layer(text: str) -> LayerCode:
    """Read a layer.

    The rule may be written in capitals, as the published notes do; keys may come in any order.

    Raises:
        ConfigError: pointing to the place that is wrong, with what is allowed there.

    Example:
        >>> read_layer("SoftKrotov-c96-k5-t1").rule
        'softkrotov'
        >>> read_layer("soft-c96-kfive")
        Traceback (most recent call last):
        streamhebb.errors.ConfigError: k needs a whole number from 1 to 1000000, not 'five'
          soft-c96-kfive
                    ^^^^
        k: side of the kernel, for example k5
    """
    if not isinstance(text, str):
        raise ConfigError(f"a layer is written as text, for example {_EXAMPLE!r}, not {text!r}")
    if len(text) > _LONGEST:
        raise ConfigError(f"a layer of {len(text)} characters; at most {_LONGEST} are read")
    at, words = 0, list[_Word]()
    for part in text.split("-"):
        words.append(_Word(at, part))
        at += len(part) + 1
    rule = _rule(text, words[0])
    values: dict[str, Any] = {}
    places: dict[str, _Word] = {}
    for number, word in enumerate(words[1:], 2):
        key = _key(text, word)
        if key.letters in places:
            _point(text, word, f"{key.letters} stands here twice", "write each key once")
        places[key.letters] = word
        values[key.name] = _value(text, word, key, last=number == len(words))
    if wrong := _clash(rule, {name: values.get(name) for name in _NAMES}):
        _point(text, places[wrong[0]], *wrong[1:])
    return LayerCode(rule, **values)


def _rule(text: str, word: _Word) -> str:
    known = {rule.lower(): rule for rule in RULES}
    if word.text.lower() in known:
        return known[word.text.lower()]
    close = difflib.get_close_matches(word.text.lower(), known, 1, 0.6)
    hint = f"; did you mean {known[close[0]]}?" if close else ""
    wrong = f"{word.text!r} is no rule" if word.text else "a layer begins with its rule"
    _point(text, word, wrong, f"rules are {', '.join(RULES)}{hint}")


def _key(text: str, word: _Word) -> Key:
    """The key that a word begins with."""
    for length in (2, 1):  # lr before anything that might be called l
        if word.text[:length] in _BY_LETTERS and len(word.text) >= length:
            return _BY_LETTERS[word.text[:length]]
    dense = ", ".join(key.letters for key in KEYS if not key.conv)
    conv = ", ".join(key.letters for key in KEYS if key.conv)
    help_ = f"keys are {dense}; for convolutions also {conv}"
    if word.text[:1].lower() in _BY_LETTERS:
        help_ += f"; they are small: {word.text.lower()}"
    wrong = f"{word.text!r} begins with no key" if word.text else "a key is missing here"
    _point(text, word, wrong, help_)


def _value(text: str, word: _Word, key: Key, last: bool) -> Any:
    """The value behind a key, within its limits."""
    given = word.text[len(key.letters) :]
    if re.fullmatch(_PATTERNS[key.kind], given):
        value = float(given) if key.kind == "number" else int(given)
        low = value <= key.least if key.above else value < key.least
        if key.kind == "flag":
            return bool(value)
        if not low and value <= MOST:
            return value
    help_ = f"{key.letters}: {key.what}, for example {key.letters}{key.example}"
    if not given and not last:
        help_ += "; no number is negative: - begins the next key"
    elif re.fullmatch(r"[0-9.]+[eE]", given) and not last:
        help_ += "; write small numbers out, 0.00001 for 1e-05"
    wrong = f"not {given!r}" if given else "and there is none"
    at = _Word(word.start + len(key.letters), given)
    _point(text, at, f"{key.letters} needs {key.allowed()}, {wrong}", help_)


def _point(text: str, word: _Word, wrong: str, allowed: str) -> NoReturn:
    """Raise with the text, and carets under what is wrong."""
    # One column a character, whatever a terminal makes of others.
    shown = "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
    marks = " " * word.start + "^" * max(1, len(word.text))
    raise ConfigError(f"{wrong}\n  {shown}\n  {marks}\n{allowed}")
