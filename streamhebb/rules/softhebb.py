"""SoftHebb: Hebbian learning for neurons that compete softly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.lazy import times
from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class SoftHebb:
    r"""The SoftHebb law; the competition decides who wins and by how much.

    $$\Delta w_{ji} = y_j\,(x_i - u_j\, w_{ji})$$

    With [`SoftWTA`][streamhebb.competition.SoftWTA] this is soft winner-take-all, with
    ``SoftWTA(anti_hebbian=True)`` the losers are pushed away (the variant of the ICLR paper), with
    [`HardWTA`][streamhebb.competition.HardWTA] it is the classical hard winner-take-all, with
    [`RankedHardWTA`][streamhebb.competition.RankedHardWTA] the rule of Krotov and Hopfield.
    Weights are drawn to radius 1.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, SoftHebb, SoftWTA
        >>> layer = Dense(4, 8, rule=SoftHebb(), competition=SoftWTA(t=2.0))
        >>> _, seen = layer.observe(torch.rand(1, 4))
        >>> layer.learn(seen)

    Reference:
        T. Moraitis et al., SoftHebb, Neuromorph. Comput. Eng. 2, 044017, 2022.
        https://doi.org/10.1088/2634-4386/aca710;
        A. Journé et al., Hebbian Deep Learning Without Feedback, ICLR 2023.
        https://arxiv.org/abs/2209.11883
    """

    competes: ClassVar[bool] = True

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x - y u w``."""
        return LocalUpdate((Outer(seen.post, seen.pre),), times(seen.post, seen.drive)), state
