"""Heavy optional packages, imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

from streamhebb.errors import MissingExtraError


def late(module: str, purpose: str, extra: str) -> Any:
    """Import a module now, or say which extra brings it.

    Args:
        module: dotted name.
        purpose: what it is needed for; opens the message.
        extra: the extra of streamhebb that installs it.

    Raises:
        MissingExtraError: the package is not installed or does not load.

    Example:
        >>> late("math", "a root", "data").sqrt(4.0)
        2.0
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(purpose, extra) from error
