"""Whether what is asked for fits into this machine."""

from __future__ import annotations

import os

from streamhebb.errors import SourceError


def require_memory(needed: int, what: str, cure: str) -> None:
    """Refuse what does not fit into this machine's memory, before it is allocated.

    Args:
        needed: bytes.
        what: needs them.
        cure: what to do instead.

    Raises:
        SourceError: with both sizes and the cure.

    Example:
        >>> require_memory(1 << 60, "a large set", "take fewer samples")
        Traceback (most recent call last):
        streamhebb.errors.SourceError: a large set needs 1073741824.0 GiB of memory, and this ...
    """
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return  # a system that does not say
    if needed > there:
        raise SourceError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory, and this machine has "
            f"{there / 2**30:.1f}: {cure}"
        )
