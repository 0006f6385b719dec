"""A linear layer that learns labels by Adam, with its gradient written down by hand."""

from __future__ import annotations

import torch
from torch import Tensor


class LinearLayer:
    r"""Scores $u = W x + b$ of classes, trained on the cross-entropy of their softmax.

    For a mini-batch of $B$ samples with the one-hot targets $t_n$

    $$e_n = \frac{1}{B}\big(softmax(u_n) - t_n\big), \qquad
      \frac{\partial L}{\partial W} = \sum_n e_n x_n^T, \qquad
      \frac{\partial L}{\partial b} = \sum_n e_n$$

    and Adam follows. No graph is kept, and no memory is asked for from step to step. The first
    weights are torch's own for a linear layer: uniform between $\pm 1/\sqrt{n_{in}}$.

    Args:
        n_in: features.
        classes: how many.
        lr: rate of Adam; ``lr`` may be set at any step.
        chance: draws the first weights.
        like: says where, and in which precision.

    Example:
        >>> layer = LinearLayer(2, 2, 0.1, torch.Generator().manual_seed(0), torch.empty(0))
        >>> x, y = torch.eye(2), torch.tensor([1, 0])
        >>> for _ in range(20):
        ...     loss, right = layer.learn(x, y)
        >>> layer.scores(x).argmax(1).tolist()
        [1, 0]

    Reference:
        D. P. Kingma, J. Ba, Adam, ICLR 2015. https://arxiv.org/abs/1412.6980
    """

    def __init__(
        self, n_in: int, classes: int, lr: float, chance: torch.Generator, like: Tensor
    ) -> None:
        bound = n_in**-0.5
        self.weight, self.bias = (
            torch.empty(shape, dtype=like.dtype)
            .uniform_(-bound, bound, generator=chance)
            .to(like.device)
            for shape in ((classes, n_in), (classes,))
        )
        self.weight.grad = torch.empty_like(self.weight)
        self.bias.grad = torch.empty_like(self.bias)
        fused = like.device.type in ("cpu", "cuda")
        self.adam = torch.optim.Adam([self.weight, self.bias], lr=lr, fused=fused)

    @property
    def lr(self) -> float:
        """The rate of Adam."""
        lr: float = self.adam.param_groups[0]["lr"]
        return lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self.adam.param_groups[0]["lr"] = lr

    def scores(self, x: Tensor) -> Tensor:
        """Return ``(B, classes)`` scores for features ``(B, n_in)``."""
        return self._scores(x).mT

    def _scores(self, x: Tensor) -> Tensor:
        # This way round the product of few rows with many columns takes half of the time.
        return torch.addmm(self.bias[:, None], self.weight, x.mT)

    @torch.no_grad()
    def learn(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Make one step.

        Args:
            x: features ``(B, n_in)``.
            y: classes by number, ``(B,)``, ``int64``.

        Returns:
            The sum of the losses, and how many of the predictions made before were right.
        """
        scores = self._scores(x)
        logs = torch.log_softmax(scores, 0)
        loss = -logs.gather(0, y[None]).sum()
        right = (scores.argmax(0) == y).sum()
        error = logs.exp_()
        error.scatter_add_(0, y[None], error.new_full((1, len(y)), -1.0))
        error.div_(len(y))
        torch.mm(error, x, out=self.weight.grad)
        torch.sum(error, 1, out=self.bias.grad)
        self.adam.step()
        return loss, right
