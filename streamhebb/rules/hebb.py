"""Plain Hebbian learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Hebb:
    r"""Hebb's rule: what fires together wires together.

    $$\Delta w_{ji} = y_j\, x_i$$

    Nothing holds the weights back: use it with a scaling, a small rate, or for one-shot
    association.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Hebb
        >>> layer = Dense(3, 2, rule=Hebb(), rate=0.1)
        >>> layer.respond(torch.ones(1, 3)).shape
        torch.Size([1, 2])

    Reference:
        D. O. Hebb, The Organization of Behavior, Wiley, 1949.
    """

    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x``."""
        return LocalUpdate((Outer(seen.post, seen.pre),)), state
