"""What is searched over: parameters with their values or ranges, as data."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from streamhebb.errors import ConfigError
from streamhebb.presets.language import KEYS
from streamhebb.suite.trial import parse

Value = bool | int | float | str
MOST_POINTS = 1_000_000
"""Largest grid."""
_LARGEST_FILE = 1 << 20  # bytes

_NAMES = {key.letters: key.name for key in KEYS}
_KNOWN = ("seed", "rule", "activation", *_NAMES.values())


class Parameter(BaseModel):
    """One thing that varies: its values, or its range.

    Args:
        block: number of a block, counted from 0, or ``"hidden"`` for all but the readout; ``None``
            for the seed.
        key: letters or name of a setting of the [mini-language][streamhebb.presets.language],
            ``"rule"``, ``"activation"``, or ``"seed"``.
        values: those that are tried.
        powers: in place of values: base, first and last exponent.
        low: least value of a range.
        high: largest value of a range.
        log: whether a range is even in its logarithm.
        whole: whether a range holds whole numbers only.

    Example:
        >>> Parameter(block=0, key="r", powers=(2, -1, 2)).values
        (0.5, 1.0, 2.0, 4.0)
        >>> Parameter(block=0, key="lr", low=0.01, high=1, log=True).name
        'block 0 lr'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    block: int | Literal["hidden"] | None = None
    key: str
    values: tuple[Value, ...] = ()
    powers: tuple[float, int, int] | None = Field(default=None, exclude=True)
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False

    @field_validator("key")
    @classmethod
    def _is_known(cls, key: str) -> str:
        name = _NAMES.get(key, key)
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 3, 0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"there is no key {key!r}; keys are seed, rule, activation, "
                f"{', '.join(f'{k.letters} ({k.name})' for k in KEYS)}{hint}"
            )
        return name

    @model_validator(mode="before")
    @classmethod
    def _powers_are_values(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("powers") is None or data.get("values"):
            return data
        powers = data["powers"]
        if not (isinstance(powers, (list, tuple)) and len(powers) == 3):
            raise ConfigError(f"powers={powers!r} is not allowed; give [base, first, last]")
        base, first, last = powers
        numbers = all(isinstance(n, int) and abs(n) <= 1000 for n in (first, last))
        if not (isinstance(base, (int, float)) and base > 0 and numbers and first <= last):
            raise ConfigError(
                f"powers={list(powers)} is not allowed; give a base above 0, and the first and the "
                f"last exponent, whole numbers, as [1.25, -10, 16]"
            )
        # Rounded as the published experiments are, so that both speak of the same trials.
        found = tuple(float(f"{base**exponent:.6g}") for exponent in range(first, last + 1))
        return {**data, "values": found}

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        ranged = self.low is not None or self.high is not None
        if ranged == bool(self.values):
            raise ConfigError(f"{self.name}: give values (or powers), or low and high")
        if len(set(self.values)) < len(self.values):
            raise ConfigError(f"{self.name}: a value stands there twice")
        if self.key == "seed" and self.block is not None:
            raise ConfigError("seed belongs to no block; leave block out")
        if self.key != "seed" and self.block is None:
            raise ConfigError(f'{self.key}: say in which block: a number from 0, or "hidden"')
        if isinstance(self.block, int) and self.block < 0:
            raise ConfigError(f"block={self.block} is not allowed; blocks are counted from 0")
        if ranged:
            self._check_range()
        elif self.log or self.whole:
            raise ConfigError(f"{self.name}: log and whole are for ranges; values are as they are")
        return self

    def _check_range(self) -> None:
        low, high = self.low, self.high
        if low is None or high is None or not -math.inf < low < high < math.inf:
            raise ConfigError(f"{self.name}: low={low}, high={high}; low must be below high")
        if self.log and low <= 0:
            raise ConfigError(f"{self.name}: low={low:g} has no logarithm; take one above 0")
        if self.whole and not (low.is_integer() and high.is_integer()):
            raise ConfigError(f"{self.name}: low and high of whole numbers are whole")
        if self.key in ("rule", "activation"):
            raise ConfigError(f"{self.name}: {self.key} has no range; list its values")

    @property
    def name(self) -> str:
        """What it is called in studies and tables."""
        if self.block is None:
            return self.key
        where = self.block if self.block == "hidden" else f"block {self.block}"
        return f"{where} {self.letters}"

    @property
    def letters(self) -> str:
        """The key as the mini-language writes it."""
        return next((k.letters for k in KEYS if k.name == self.key), self.key)


class Space(BaseModel):
    """What is searched over.

    Args:
        name: of the space.
        about: where it comes from.
        parameters: all that vary.

    Example:
        >>> find_space("radius").size
        81
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str = ""
    parameters: tuple[Parameter, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) < len(names):
            raise ConfigError(f"{self.name}: a parameter stands there twice: {', '.join(names)}")
        if self.size is not None and self.size > MOST_POINTS:
            raise ConfigError(
                f"{self.name}: {self.size} points; at most {MOST_POINTS} are searched"
            )
        return self

    @property
    def size(self) -> int | None:
        """How many points a grid has; ``None`` if something has a range."""
        if not all(parameter.values for parameter in self.parameters):
            return None
        return math.prod(len(parameter.values) for parameter in self.parameters)

    @property
    def only_seeds(self) -> bool:
        """Whether nothing varies but the seed."""
        return all(parameter.key == "seed" for parameter in self.parameters)

    @property
    def grid(self) -> dict[str, list[Value]]:
        """All values of a grid, by the names of parameters."""
        return {parameter.name: list(parameter.values) for parameter in self.parameters}

    def changes(self, point: Mapping[str, Value]) -> tuple[dict[str, dict[str, Value]], int | None]:
        """What a point changes in a preset, and its seed if that varies.

        Args:
            point: a value for the name of each parameter.

        Example:
            >>> find_space("radius").changes({"block 0 r": 8.0, "seed": 2})
            ({'0': {'radius': 8.0}}, 2)
        """
        found: dict[str, dict[str, Value]] = {}
        seed = None
        for parameter in self.parameters:
            value = point[parameter.name]
            if parameter.key == "seed":
                seed = int(value)
            else:
                found.setdefault(str(parameter.block), {})[parameter.key] = value
        return found, seed


@cache
def spaces() -> dict[str, Space]:
    """The spaces that come along, by name.

    Example:
        >>> list(spaces())
        ['seed', 'one-seed', 'regimes', 'radius', '1', '2', '3a', '3b']
    """
    text = (resources.files("streamhebb.search") / "spaces.yaml").read_text("utf-8")
    return _spaces(yaml.safe_load(text), "spaces.yaml")


def find_space(name: str) -> Space:
    """Look a space up by its name, or read it from a file: ``my.yaml``, or ``my.toml:name``.

    The published program takes any word it does not know for ``seed``; here that is refused.

    Args:
        name: of a space that comes along, or path of a YAML or TOML file of spaces, with the name
            of one behind a colon where the file has several.

    Raises:
        ConfigError: if there is none of that name; says which there are.

    Example:
        >>> find_space("radii")
        Traceback (most recent call last):
        streamhebb.errors.ConfigError: there is no search space 'radii'; did you mean radius?
    """
    path, _, inner = name.partition(":")
    if Path(path).suffix.lower() in (".yaml", ".yml", ".toml"):
        own = read_spaces(path)
        if inner or len(own) > 1:
            return _pick(inner, own, f"{path} has no space {inner!r}; write {path}:NAME")
        return next(iter(own.values()))
    asked = name.strip().lower().replace("_", "-")
    return _pick(asked, spaces(), f"there is no search space {name!r}")


def read_spaces(path: str | Path) -> dict[str, Space]:
    """Read spaces from a YAML or TOML file, written as ``spaces.yaml`` is.

    Raises:
        ConfigError: if it cannot be read, or something in it is wrong; names it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path} is larger than 1 MiB; that is no file of search spaces")
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix.lower() == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"cannot read the search spaces in {path}: {error}") from None
    return _spaces(data, str(path))


def _spaces(data: Any, where: str) -> dict[str, Space]:
    if not isinstance(data, dict) or not data:
        raise ConfigError(
            f"{where} holds no search spaces; write NAME: {{parameters: [{{block: 0, key: r, "
            f"values: [1, 10]}}]}}"
        )
    found = {}
    for name, entry in data.items():
        if not isinstance(entry, dict):
            raise ConfigError(f"{where}: {name} is not a space; it needs parameters")
        try:
            listed = entry.get("parameters")
            if isinstance(listed, list):  # one by one: messages then say what is allowed
                entry = entry | {"parameters": [_parameter(one) for one in listed]}
            found[str(name)] = parse(Space, {"name": str(name), **entry})
        except ConfigError as error:
            raise ConfigError(f"{where}: {name}: {error}") from None
    return found


def _parameter(data: Any) -> Parameter:
    if not isinstance(data, dict):
        raise ConfigError(f"{data!r} is no parameter; write {{block: 0, key: r, values: [1, 10]}}")
    found: Parameter = parse(Parameter, data)
    return found


def _pick(name: str, known: Mapping[str, Space], wrong: str) -> Space:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 2, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise ConfigError(f"{wrong}; {hint}")
