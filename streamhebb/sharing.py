"""Work in pieces: one thread has the work, whoever is idle may take pieces of it.

What computes (a kernel, a layer) cuts its work into pieces that touch different memory, and calls
[`in_pieces`][streamhebb.sharing.in_pieces]. Who does them is none of its business: a scheduler
that has idle hands makes them known with [`crew`][streamhebb.sharing.crew], in each of its threads.
The cut depends on sizes only, never on the number of hands, so results are the same to the bit.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Crew(Protocol):
    """Somebody who can have pieces of work done."""

    def share(self, piece: Callable[[int], None], count: int) -> None:
        """Have ``piece(0)`` to ``piece(count - 1)`` done, in any order; return when all are."""
        ...


_here = threading.local()


def in_pieces(piece: Callable[[int], None], count: int) -> None:
    """Do ``piece(0)`` to ``piece(count - 1)``, by this thread alone or with others.

    Args:
        piece: does one piece; must not depend on the others.
        count: how many there are.

    Example:
        >>> done = []
        >>> in_pieces(done.append, 3)
        >>> done
        [0, 1, 2]
    """
    crew: Crew | None = getattr(_here, "crew", None)
    if crew is None or count < 2:
        for number in range(count):
            piece(number)
    else:
        crew.share(piece, count)


def at_work() -> bool:
    """Whether this thread is one of a crew, and so must not wait for what the crew is to do."""
    return getattr(_here, "crew", None) is not None


@contextmanager
def crew(hands: Crew) -> Iterator[None]:
    """While this is open, pieces cut in this thread are offered to ``hands``."""
    before = getattr(_here, "crew", None)
    _here.crew = hands
    try:
        yield
    finally:
        _here.crew = before


def cut(rows: int, work: int, *, least: int = 1 << 24, most: int = 6) -> list[slice]:
    """Cut rows into nearly equal slices, as many as the work is worth.

    Args:
        rows: to be cut.
        work: multiplications that all rows cost.
        least: multiplications that a slice is worth handing over for.
        most: slices.

    Example:
        >>> cut(100, 1 << 26)
        [slice(0, 25, None), slice(25, 50, None), slice(50, 75, None), slice(75, 100, None)]
    """
    count = max(1, min(most, rows, work // least))
    edges = [rows * n // count for n in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
