"""Lateral synapses: neurons of one layer that inhibit each other, and learn whom."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamhebb.parts import require, require_choice


@dataclass(frozen=True)
class Lateral:
    r"""Anti-Hebbian synapses between the neurons of a layer: they decorrelate its outputs.

    $$y = u + Q\,y, \qquad
      \Delta q_{jk} = -\alpha \sum_n (y_{nj}\, y_{nk} - goal) \quad (j \ne k), \quad q_{jj} = 0$$

    The drive of the layer is the settled $y$: it competes, is learned from and is passed on.
    Every synapse sees its own two neurons only. With a rule such as Oja's on the feed-forward
    weights this is Földiák's network.

    Args:
        rate: $\alpha$; a change is a sum over all competitions of a sample.
        steps: how often $y \leftarrow u + Q y$ is repeated, starting from $u$: delays in whole
            steps. ``None`` solves for the state where it has settled, at a cost that grows with
            the third power of the neurons.
        goal: product of activities that changes nothing; $p^2$ for neurons meant to be active in
            a share $p$ of all instants.
        inhibitory: whether weights are kept at 0 or below.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Oja
        >>> layer = Dense(4, 2, rule=Oja(), lateral=Lateral(0.01), rate=0.01)
        >>> layer.respond(torch.rand(1, 4)).shape
        torch.Size([1, 2])

    Reference:
        P. Földiák, Adaptive network for optimal linear feature extraction, IJCNN 1989.
        https://doi.org/10.1109/IJCNN.1989.118615; Forming sparse representations by local
        anti-Hebbian learning, Biol. Cybern. 64, 1990. https://doi.org/10.1007/BF02331346
    """

    rate: float = 0.01
    steps: int | None = None
    goal: float = 0.0
    inhibitory: bool = False

    def __post_init__(self) -> None:
        require("Lateral", "rate", self.rate, at_least=0)
        if self.steps is not None:
            require("Lateral", "steps", self.steps, at_least=1, whole=True)
        require("Lateral", "goal", self.goal, at_least=0)
        require_choice("Lateral", "inhibitory", self.inhibitory, (True, False))

    def init(self, n_out: int) -> Tensor:
        """Return weights of 0, shape ``(n_out, n_out)``."""
        return torch.zeros(n_out, n_out)

    def settle(self, drive: Tensor, weight: Tensor) -> Tensor:
        """Return the activity that a drive leads to.

        Args:
            drive: feed-forward drive $u$, shape ``(n, n_out)``.
            weight: lateral weights $Q$, shape ``(n_out, n_out)``.
        """
        if self.steps is None:
            eye = torch.eye(weight.shape[0], dtype=weight.dtype, device=weight.device)
            settled: Tensor = torch.linalg.solve(eye - weight, drive.mT).mT
            return settled
        activity = drive
        for _ in range(self.steps):
            activity = drive + activity @ weight.mT
        return activity

    def change(self, activity: Tensor, weight: Tensor, modulator: float | Tensor) -> Tensor:
        """Return the next lateral weights.

        Args:
            activity: the settled $y$, shape ``(n, n_out)``.
            weight: the present weights $Q$.
            modulator: third factor, multiplies the rate.
        """
        product = activity.mT @ activity - self.goal * activity.shape[0]
        changed = weight - self.rate * modulator * product
        if self.inhibitory:
            changed = changed.clamp_max(0)
        return changed.fill_diagonal_(0)
