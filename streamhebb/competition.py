"""Who learns, and how much: from the drive of all neurons to each one's postsynaptic factor.

The last dimension competes. Every other dimension (samples, output pixels, groups) is a
competition of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels.torch_backend import reverse_losers
from streamhebb.parts import require, require_choice


class Competition(Protocol):
    """A map from drive $u$, shape ``(..., n_out)``, to postsynaptic factor $y$, same shape.

    One with an attribute ``few = True`` leaves most factors at 0; layers then touch the weights of
    the other neurons only, where that is quicker.
    """

    def __call__(self, drive: Tensor) -> Tensor:
        """Return the postsynaptic factor; ``drive`` is left as it is."""
        ...


def apply_function(name: str, drive: Tensor) -> Tensor:
    """Apply one of the published postsynaptic functions by name."""
    match name:
        case "linear":
            return drive
        case "relu":
            return drive.relu()
        case "repu":
            return drive.relu() ** 15
        case "sigmoid":
            return drive.sigmoid()
        case "tanh":
            return drive.tanh()
    raise AssertionError(name)  # names are checked at construction


_FEW = 10  # ranks that are found sooner by so many searches than by sorting all drives


def _ranked(owner: str, drive: Tensor, rank: int) -> Tensor:
    """Index of the neuron of a rank counted from 1, shape ``(..., 1)``."""
    if rank > drive.shape[-1]:
        raise ConfigError(
            f"{owner}: rank={rank} is not allowed with {drive.shape[-1]} neurons that compete; it "
            f"must be at most {drive.shape[-1]}"
        )
    # Not topk: of equals the first ranks higher, on every device, as with argmax and a stable sort.
    # Equals are common where a pre-triangle has set half of the drives to 0.
    if rank > _FEW:
        order = drive.argsort(dim=-1, descending=True, stable=True)
        return order[..., rank - 1 : rank]
    place = drive.argmax(-1, keepdim=True)
    if rank > 1:
        left = drive.clone()
        for _ in range(rank - 1):
            place = left.scatter_(-1, place, -torch.inf).argmax(-1, keepdim=True)
    return place


@dataclass(frozen=True)
class Independent:
    """No competition: each neuron's factor is a function of its own drive.

    Args:
        function: ``"linear"``, ``"relu"``, ``"repu"`` (power 15), ``"sigmoid"`` or ``"tanh"``.
    """

    function: str = "linear"

    def __post_init__(self) -> None:
        allowed = ("linear", "relu", "repu", "sigmoid", "tanh")
        require_choice("Independent", "function", self.function, allowed)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return ``f(u)``."""
        return apply_function(self.function, drive)


@dataclass(frozen=True)
class SoftWTA:
    r"""Soft winner-take-all, with or without anti-Hebbian losers.

    $$S_j = \frac{e^{t u_j}}{\sum_k e^{t u_k}}, \qquad
      y_j = S_j \;\text{ or, anti-Hebbian, }\; y_j = \begin{cases} S_j & j = \arg\max u \\
      -S_j & \text{else} \end{cases}$$

    Args:
        t: inverse temperature; large is hard, small is soft.
        anti_hebbian: losers learn with the sign reversed.

    Example:
        >>> import torch
        >>> SoftWTA(anti_hebbian=True)(torch.tensor([[0.0, 0.0, 1.0]])).sign()
        tensor([[-1., -1.,  1.]])

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """

    t: float = 1.0
    anti_hebbian: bool = False

    def __post_init__(self) -> None:
        require("SoftWTA", "t", self.t, above=0)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return signed softmax shares."""
        return kernels.soft_wta(drive, self.t, self.anti_hebbian)


@dataclass(frozen=True)
class RankedSoftWTA:
    r"""Soft winner-take-all in which only the neuron ranked ``rank`` is anti-Hebbian.

    $$y_j = S_j, \quad\text{except}\quad y_k = -\delta S_k \;\text{(scaled)}\;
      \text{or}\; -\delta \;\text{(fixed)} \;\text{for the neuron of rank } k$$

    Args:
        t: inverse temperature.
        rank: counted from 1, by descending drive; of equals the first ranks higher.
        delta: strength of the anti-Hebbian part.
        scaled: whether the anti-Hebbian part is proportional to that neuron's share.

    Raises:
        ConfigError: if fewer than ``rank`` neurons compete.
    """

    t: float = 1.0
    rank: int = 3
    delta: float = 2.0
    scaled: bool = True

    def __post_init__(self) -> None:
        require("RankedSoftWTA", "t", self.t, above=0)
        require("RankedSoftWTA", "rank", self.rank, at_least=1, whole=True)
        require("RankedSoftWTA", "delta", self.delta, at_least=0)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return shares with the ranked neuron's reversed."""
        ranked = _ranked("RankedSoftWTA", drive, self.rank)
        share = torch.softmax(drive * self.t, -1)
        against = share.gather(-1, ranked) if self.scaled else torch.ones_like(share[..., :1])
        # Of a float, 0 becomes -0, which still tells who has the rank.
        return share.scatter_(-1, ranked, -float(self.delta) * against)


@dataclass(frozen=True)
class ShareWTA:
    r"""Competition by share of a non-negative function instead of the softmax.

    $$S_j = f(u_j) \Big/ \sum_k f(u_k), \qquad
      y_j = S_j \;\text{ or, anti-Hebbian, }\; y_j = \begin{cases} S_j & j = \arg\max u \\
      -S_j & \text{else} \end{cases}$$

    A competition in which the sum is 0 is left undivided: 0 for everybody, where nobody is active.
    The published code divides 0 by 0 there and writes NaN into the weights.

    Args:
        function: ``"relu"``, ``"repu"`` (power 15), ``"sigmoid"`` or ``"tanh"``.
        anti_hebbian: losers learn with the sign reversed.
    """

    function: str = "relu"
    anti_hebbian: bool = False

    def __post_init__(self) -> None:
        allowed = ("relu", "repu", "sigmoid", "tanh")
        require_choice("ShareWTA", "function", self.function, allowed)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return each neuron's share, signed if the losers are anti-Hebbian."""
        value = apply_function(self.function, drive)
        total = value.sum(-1, keepdim=True)
        share = value / total.masked_fill(total == 0, 1)
        return reverse_losers(share, drive) if self.anti_hebbian else share


@dataclass(frozen=True)
class HardWTA:
    """Hard winner-take-all: 1 for the neuron of largest drive (the first of equals), else 0."""

    few: ClassVar[bool] = True

    def __call__(self, drive: Tensor) -> Tensor:
        """Return a one-hot of the winner."""
        return torch.zeros_like(drive).scatter_(-1, drive.argmax(-1, keepdim=True), 1.0)


@dataclass(frozen=True)
class RankedHardWTA:
    r"""Krotov and Hopfield's competition: the winner learns, the neuron ranked ``rank`` unlearns.

    $$y_j = \begin{cases} 1 & j = \arg\max u \\ -\delta & j \text{ has rank } k \\
      0 & \text{else} \end{cases}$$

    With the rule [`SoftHebb`][streamhebb.rules.softhebb.SoftHebb] and the layer's ``norm_p`` as
    their $p$ this *is* the Krotov-Hopfield rule, of radius 1:

    $$\Delta w_{ji} = y_j\,(x_i - u_j\, w_{ji}), \qquad
      u_j = \sum_i sign(w_{ji})\,|w_{ji}|^{p-1}\, x_i$$

    They divide a mini-batch's change by its largest entry, as
    [`LayerMax`][streamhebb.scaling.LayerMax] does, draw first weights from $N(0, 1)$, and let the
    rate fall to zero, epoch by epoch ([`LinearDecay`][streamhebb.rates.LinearDecay] does so update
    by update). A rank of 1 would let the winner learn and
    unlearn at once (the published code makes $1 - \delta$ of it in a convolution and $-\delta$ in
    a dense layer), so it is refused: use [`HardWTA`][streamhebb.competition.HardWTA].

    Args:
        rank: $k \ge 2$, counted from 1 by descending drive; of equals the first ranks higher.
        delta: $\delta \ge 0$, strength of the anti-Hebbian part. The published code takes 0.1 in
            dense layers and 2 in convolutions.

    Raises:
        ConfigError: if fewer than ``rank`` neurons compete.

    Example:
        >>> import torch
        >>> RankedHardWTA(rank=2, delta=0.4)(torch.tensor([[0.5, 3.0, 2.0]]))
        tensor([[ 0.0000,  1.0000, -0.4000]])

    Reference:
        D. Krotov, J. Hopfield, Unsupervised learning by competing hidden units, PNAS 116, 7723,
        2019. https://doi.org/10.1073/pnas.1820458116
    """

    rank: int = 3
    delta: float = 0.1
    few: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require("RankedHardWTA", "rank", self.rank, at_least=2, whole=True)
        require("RankedHardWTA", "delta", self.delta, at_least=0)

    def __call__(self, drive: Tensor) -> Tensor:
        """Return 1 for the winner, ``-delta`` for the ranked neuron, else 0."""
        ranked = _ranked("RankedHardWTA", drive, self.rank)
        # Of a float, 0 becomes -0, which still tells who has the rank.
        return HardWTA()(drive).scatter_(-1, ranked, -float(self.delta))
