"""Sanger's rule: several neurons find the principal components in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from streamhebb.errors import ConfigError
from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class Sanger:
    r"""Generalised Hebbian algorithm; neuron $j$ finds the principal component of rank $j$.

    $$\Delta w_{ji} = y_j \Big(x_i - \sum_{k \le j} y_k\, w_{ki}\Big)$$

    Each neuron learns from what the neurons before it leave unexplained. For that it must know
    their outputs and weights, so the rule is **not local**, and names what it looks at. With
    groups, neurons are ranked within their group.

    Raises:
        ConfigError: in ``terms``, on synapses where each neuron has inputs of its own.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Sanger
        >>> layer = Dense(3, 2, rule=Sanger(), rate=0.01)
        >>> _, seen = layer.observe(torch.ones(1, 3))
        >>> layer.learn(seen)

    Reference:
        T. D. Sanger, Optimal unsupervised learning in a single-layer linear feedforward neural
        network, Neural Networks 2, 1989. https://doi.org/10.1016/0893-6080(89)90044-0
    """

    competes: ClassVar[bool] = False
    nonlocal_parts: ClassVar[tuple[str, ...]] = ("outputs of earlier neurons",)

    def init(self, n_in: int, n_out: int) -> State:
        """No state."""
        return {}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y x - tril(y yᵀ) w``."""
        post, pre = seen.post, seen.pre
        if pre.shape[-1] != seen.weight.shape[-1]:
            raise ConfigError(
                f"Sanger: neurons that see {seen.weight.shape[-1]} of {pre.shape[-1]} inputs are "
                f"not allowed; each subtracts what others explain of the same inputs. Use Dense, "
                f"Conv2d, or rule=Oja()"
            )
        together = (post.mT @ post).tril()  # its diagonal is Oja's decay
        weight = seen.weight.view(*post.shape[:-2], post.shape[-1], -1)
        explained = (together @ weight).view_as(seen.weight)
        return LocalUpdate((Outer(post, pre),), dense=explained.neg_()), state
