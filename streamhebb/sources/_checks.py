"""Checks of the arguments that all sources share."""

from __future__ import annotations

import operator
from typing import Any

from streamhebb.errors import ConfigError

MAX_PIXELS = 1 << 26
"""Largest picture that is ever decoded: 67 million pixels (8192 x 8192), 200 MB as RGB."""


def whole(value: Any, name: str, least: int) -> int:
    """An integer of at least ``least``.

    Raises:
        ConfigError: another type, or too small.

    Example:
        >>> whole(3, "limit", 0)
        3
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name}={value!r} is not a whole number; give an int") from None
    if isinstance(value, bool) or number < least:
        raise ConfigError(f"{name}={value!r} is not allowed; give an int of at least {least}")
    return number


def optional_whole(value: Any, name: str, least: int) -> int | None:
    """Like `whole`, with ``None`` passed through."""
    return None if value is None else whole(value, name, least)


def picture_size(size: Any) -> tuple[int, int]:
    """A picture size ``(height, width)``.

    Raises:
        ConfigError: not two positive whole numbers, or more than `MAX_PIXELS`.

    Example:
        >>> picture_size([24, 32])
        (24, 32)
    """
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ConfigError(f"size={size!r} is not a picture size; give (height, width)")
    height, width = whole(size[0], "size[0]", 1), whole(size[1], "size[1]", 1)
    if height * width > MAX_PIXELS:
        raise ConfigError(f"size={size!r} is larger than {MAX_PIXELS} pixels; give a smaller one")
    return height, width


def span(total: int | None, start: int, limit: int | None) -> int | None:
    """Samples left of a stream of ``total``, cut to ``limit``, seen from position ``start``.

    Example:
        >>> span(100, 40, 60), span(None, 0, None)
        (20, None)
    """
    if total is None and limit is None:
        return None
    end = min(n for n in (total, limit) if n is not None)
    return max(0, end - start)
