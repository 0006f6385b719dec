"""Parts: small frozen dataclasses that say how a layer behaves, and how they are written down.

Rules, competitions, scalings, rates and initial weights are *parts*. A part holds hyperparameters
only; state lives in the layer that uses it. Every part and every layer can be described as plain
JSON data, which is what snapshots compare and what net files contain.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from functools import cache
from typing import Any, NamedTuple, TypeAlias, get_type_hints

from torch import Tensor

from streamhebb.errors import ConfigError

State: TypeAlias = dict[str, Tensor]
"""Named tensors that belong to one part of one layer."""

LARGEST_SEED = 2**64 - 1
"""torch's generators take none above it."""


def describe(value: Any) -> Any:
    """Turn a part, or a container of parts, into plain JSON data.

    Example:
        >>> from streamhebb.rates import ConstantRate
        >>> describe(ConstantRate(0.1))
        {'type': 'ConstantRate', 'lr': 0.1}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    return value


class Argument(NamedTuple):
    """One argument of a constructor: its type, and its default if it has one."""

    hint: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


@cache
def arguments(cls: type) -> dict[str, Argument]:
    """Return the arguments of a class's constructor, by name.

    ``**more`` stands for the keyword arguments of the base class's constructor, and is replaced by
    them: layers pass the parts they share on to their base.

    Example:
        >>> from streamhebb.layers import MaxPool2d
        >>> list(arguments(MaxPool2d))
        ['kernel_size', 'stride', 'padding']
    """
    hints = get_type_hints(cls.__init__)  # type: ignore[misc]
    found: dict[str, Argument] = {}
    for name, argument in inspect.signature(cls).parameters.items():
        if argument.kind is argument.VAR_KEYWORD:
            base = inspect.signature(cls.__mro__[1]).parameters
            for more, passed in arguments(cls.__mro__[1]).items():
                if base[more].kind is argument.KEYWORD_ONLY:
                    found.setdefault(more, passed)
        elif argument.kind is not argument.VAR_POSITIONAL:
            found[name] = Argument(hints[name], argument.default)
    return found


def describe_arguments(obj: object) -> dict[str, Any]:
    """Describe an object by its constructor's arguments, kept as attributes of the same names.

    Example:
        >>> from streamhebb.layers import MaxPool2d
        >>> describe_arguments(MaxPool2d(4, stride=2))
        {'type': 'MaxPool2d', 'kernel_size': 4, 'stride': 2, 'padding': 0}
    """
    names = arguments(type(obj))  # type: ignore[arg-type]  # classes are hashable
    return {"type": type(obj).__name__} | {name: describe(getattr(obj, name)) for name in names}


def rebuild(original: Any, data: Any) -> Any:
    """Build a part or layer anew from its description; the classes are those of the original.

    Example:
        >>> from streamhebb.rates import ConstantRate
        >>> rebuild(ConstantRate(0.1), {"type": "ConstantRate", "lr": 0.2})
        ConstantRate(lr=0.2)
    """
    if not isinstance(data, dict):
        return data
    values = {k: rebuild(getattr(original, k), v) for k, v in data.items() if k != "type"}
    return type(original)(**values)


def require(
    owner: str,
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    whole: bool = False,
) -> None:
    """Check that a hyperparameter is a finite number, or a whole one, within its limits.

    Raises:
        ConfigError: naming the owner, the value and what is allowed.
    """
    allowed = " and ".join(
        f"{sign} {limit:g}"
        for sign, limit in ((">", above), (">=", at_least), ("<=", at_most))
        if limit is not None
    )
    ok = (
        isinstance(value, int if whole else (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))  # which whole numbers may overflow
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
    )
    if not ok:
        raise ConfigError(
            f"{owner}: {name}={value!r} is not allowed; it must be a {'whole ' * whole}number "
            f"{allowed}".rstrip()
        )


def require_choice(owner: str, name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Check that a setting is one of a few allowed values.

    Raises:
        ConfigError: naming the owner, the value and the allowed ones.
    """
    if value not in allowed:
        choices = ", ".join(repr(item) for item in allowed)
        raise ConfigError(f"{owner}: {name}={value!r} is not allowed; choose one of {choices}")


def require_part(owner: str, name: str, value: object, example: str) -> None:
    """Check that a setting is a part: an instance of a dataclass, not its class nor its name.

    Raises:
        ConfigError: naming the owner, the value and an example of what is allowed.
    """
    if isinstance(value, type):
        raise ConfigError(
            f"{owner}: {name}={value.__name__} is a class; write {name}={value.__name__}()"
        )
    if not dataclasses.is_dataclass(value):
        raise ConfigError(
            f"{owner}: {name}={value!r} is not allowed; it must be a part (a frozen dataclass), "
            f"for example {name}={example}"
        )
