"""The instar rule: weights of an active neuron move towards its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Instar:
    r"""Grossberg's instar; under competition the weights become the means of clusters.

    $$\Delta w_{ji} = y_j\,(x_i - w_{ji})$$

    With [`HardWTA`][streamhebb.competition.HardWTA] this is competitive learning, online k-means:
    each neuron's weights go to the mean of what it wins. With other competitions a factor $y_j$
    below 0 pushes the weights away from the input, without bound.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, HardWTA, Instar
        >>> layer = Dense(4, 3, rule=Instar(), competition=HardWTA(), rate=0.1)
        >>> _, seen = layer.observe(torch.rand(1, 4))
        >>> layer.learn(seen)

    Reference:
        S. Grossberg, Adaptive pattern classification and universal recoding I, Biol. Cybernetics
        23, 1976. https://doi.org/10.1007/BF00344744
    """

    competes: ClassVar[bool] = True

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x - y w``."""
        return LocalUpdate((Outer(seen.post, seen.pre),), decay=seen.post), state
