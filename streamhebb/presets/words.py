"""The published words for what surrounds a layer, as descriptions for net files.

What comes before it (``batchnorm2d``, ``flatten``, ...), its activation (``triangle_0.7``) and its
pool (``max_4_2_1``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from streamhebb.errors import ConfigError

OPERATIONS: Mapping[str, str] = {
    "batchnorm2d": "BatchNorm",
    "flatten": "Flatten",
    "batchnorm1d": "BatchNorm",
    "maxnorm": "MaxNorm",
    "normnorm": "L2Norm",
}
"""What may come before a layer, in the order in which it runs, however it is written."""

# The layer, the argument that the number behind _ is, and a number it stands for.
_ACTIVATIONS: Mapping[str, tuple[str, str | None]] = {
    "triangle": ("Triangle", "power"),
    "relu": ("ReLU", None),
    "repu": ("RePU", "power"),
    "softmax": ("Softmax", "t"),
    "exp": ("Exp", "t"),
    "tanh": ("Tanh", "slope"),
    "sigmoid": ("Sigmoid", None),  # the published slope is 10, whatever is asked for
    "hard": ("Winner", None),
}
_ACTIVATION = re.compile(r"([a-z]+)(?:_([0-9]+(?:\.[0-9]+)?))?")
_POOL = re.compile(r"(max|avg)_([0-9]{1,4})_([0-9]{1,4})_([0-9]{1,4})")


def operations(text: str) -> tuple[str, ...]:
    """The operations that a text names, in the order in which they run.

    Raises:
        ConfigError: for a word that is none of them.

    Example:
        >>> operations("flatten batchnorm2d")
        ('batchnorm2d', 'flatten')
    """
    words = re.findall(r"[^\s+,_-]+", text)
    for word in words:
        if word not in OPERATIONS:
            raise ConfigError(f"{word!r} may not come before a layer; {_choices(word, OPERATIONS)}")
    return tuple(name for name in OPERATIONS if name in words)


def activation(text: str) -> dict[str, Any]:
    """The description of the layer that ``name_number`` means; the number is 1 if left out.

    Raises:
        ConfigError: for a name that is none, or a number that is not allowed there.

    Example:
        >>> activation("triangle_0.7")
        {'type': 'Triangle', 'power': 0.7}
    """
    found = _ACTIVATION.fullmatch(text)
    if found is None or found[1] not in _ACTIVATIONS:
        name = text.partition("_")[0]
        raise ConfigError(
            f"activation {text!r} is not known; write name or name_number, as triangle_0.7: "
            f"{_choices(name, _ACTIVATIONS)}"
        )
    kind, argument = _ACTIVATIONS[found[1]]
    if argument is None:
        return {"type": kind}
    if (number := float(found[2] or 1)) <= 0:
        raise ConfigError(f"activation {text!r}: the number must be above 0")
    return {"type": kind, argument: number}


def pool(text: str) -> dict[str, Any]:
    """The description of the pool that ``kind_side_stride_padding`` means.

    Raises:
        ConfigError: if it is written otherwise.

    Example:
        >>> pool("max_4_2_1")
        {'type': 'MaxPool2d', 'kernel_size': 4, 'stride': 2, 'padding': 1}
    """
    found = _POOL.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"pool {text!r} is not known; write kind_side_stride_padding with kind max or avg, as "
            f"max_4_2_1"
        )
    side, stride, padding = int(found[2]), int(found[3]), int(found[4])
    if not side or not stride or padding > side // 2:
        raise ConfigError(
            f"pool {text!r}: side and stride must be above 0, and padding at most half the side"
        )
    kind = "MaxPool2d" if found[1] == "max" else "AvgPool2d"
    return {"type": kind, "kernel_size": side, "stride": stride, "padding": padding}


def _choices(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word.lower(), known, 1, 0.6)
    return f"there are {', '.join(known)}" + (f"; did you mean {close[0]}?" if close else "")
