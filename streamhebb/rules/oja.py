"""Oja's rule: Hebbian learning that keeps its weights at length one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Oja:
    r"""Oja's rule; a single linear neuron finds the first principal component.

    $$\Delta w_{ji} = y_j\,(x_i - y_j\, w_{ji})$$

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Oja
        >>> layer = Dense(3, 1, rule=Oja(), rate=0.01)
        >>> _, seen = layer.observe(torch.ones(1, 3))
        >>> layer.learn(seen)

    Reference:
        E. Oja, Simplified neuron model as a principal component analyzer, J. Math. Biology 15,
        1982. https://doi.org/10.1007/BF00275687
    """

    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x - y² w``."""
        return LocalUpdate((Outer(seen.post, seen.pre),), seen.post * seen.post), state
