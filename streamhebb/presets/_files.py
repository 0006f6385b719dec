"""The data files of this package, names that are near, and models with readable errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from streamhebb.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


@cache
def read_yaml(name: str) -> Any:
    """Read a file that comes with the package, once."""
    text = (resources.files("streamhebb.presets") / name).read_text("utf-8")
    return yaml.safe_load(text)


def find(name: str, known: Iterable[str], what: str, listed: str = "") -> str:
    """The name as it is known, whatever its capitals.

    Args:
        name: as asked for.
        known: all names.
        what: they are names of.
        listed: where all of them are shown, if there are too many for a message.

    Raises:
        ConfigError: with the names that are near.
    """
    by_lower = {each.lower(): each for each in known}
    asked = str(name).strip().lower().replace(" ", "-")
    if asked in by_lower:
        return by_lower[asked]
    near = [each for each in by_lower if asked and each.startswith(asked)][:6]
    near = near or difflib.get_close_matches(asked, by_lower, 4, 0.6)
    hint = listed or f"there are {', '.join(by_lower.values())}"
    if near:
        hint = f"did you mean {_any([by_lower[each] for each in near])}?"
    raise ConfigError(f"there is no {what} {name!r}; {hint}")


def _any(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def parse(model: type[Model], data: Mapping[str, Any], where: str) -> Model:
    """Check plain data against a model.

    Raises:
        ConfigError: naming each entry that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                text = f"there is no such entry; there are {', '.join(model.model_fields)}"
            lines.append(f"{place}: {text}" if place else text)
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error
