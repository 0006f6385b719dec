"""Softmax readout, learned by the delta rule one label at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.parts import require, require_choice
from streamhebb.readouts._linear import change
from streamhebb.readouts.base import Features, Readout
from streamhebb.rules import Delta
from streamhebb.values import Label


class SoftmaxReadout(Readout):
    r"""Softmax readout with the delta rule.

    $$p = softmax(W x + b), \qquad \Delta W = (target - p)\, x^T, \qquad \Delta b = target - p$$

    with a plain step $W \leftarrow W + \eta\,\Delta W$, or an Adam-style one that divides each
    synapse's running mean of $\Delta W$ by its running root mean square. Both are local to the
    synapse. A micro-batch takes the mean over its labelled samples.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        lr: $\eta$.
        step: ``"adam"`` or ``"plain"``.
        betas: memory of the Adam-style step.
        eps: added to its root mean square.

    Example:
        >>> readout = SoftmaxReadout(2, classes=["left", "right"], lr=0.5, step="plain")
        >>> _, seen = readout.observe(torch.tensor([[1.0, 0.0]]))
        >>> readout.learn(seen, ["right"])
        >>> readout.respond(torch.tensor([[1.0, 0.0]])).argmax().item()
        1

    Reference:
        D. P. Kingma, J. Ba, Adam, ICLR 2015. https://arxiv.org/abs/1412.6980
    """

    weight: Tensor
    bias: Tensor
    updates: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        lr: float = 1e-3,
        step: str = "adam",
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            n_in, classes, ("weight", "bias", "weight_m", "weight_v", "bias_m", "bias_v")
        )
        require("SoftmaxReadout", "lr", lr, at_least=0)
        require_choice("SoftmaxReadout", "step", step, ("adam", "plain"))
        for number, beta in enumerate(betas):
            require("SoftmaxReadout", f"betas[{number}]", beta, at_least=0, at_most=1 - 1e-9)
        require("SoftmaxReadout", "eps", eps, above=0)
        self.lr = lr
        self.step = step
        self.betas = (betas[0], betas[1])
        self.eps = eps
        self.rule = Delta()
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers: all weights start at 0."""
        self.n_in = n_in
        rows = len(self._labels)
        moments = self.step == "adam"
        for name, shape in (("weight", (rows, n_in)), ("bias", (rows,))):
            self.register_buffer(name, torch.zeros(shape))
            for moment in ("m", "v"):
                kept = torch.zeros(shape) if moments else None
                self.register_buffer(f"{name}_{moment}", kept)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def respond(self, x: Tensor) -> Tensor:
        """Return logits."""
        return kernels.drive(x, self.weight) + self.bias

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Move the weights by the error of the prediction that was made."""
        x, scores, hot = self._labelled(seen, target)
        if not len(x):
            return
        error = (hot - torch.softmax(scores, 1)) / len(x)
        self.updates.add_(1)
        self._apply_step("weight", change(self.rule, x, error, scores, self.weight))
        self._apply_step("bias", error.sum(0))

    def _apply_step(self, name: str, delta: Tensor) -> None:
        value = getattr(self, name)
        if self.step == "plain":
            value.add_(delta, alpha=self.lr)
            return
        first, second = self.betas
        m = getattr(self, f"{name}_m").lerp_(delta, 1 - first)
        v = getattr(self, f"{name}_v").mul_(second).addcmul_(delta, delta, value=1 - second)
        updates = self.updates.to(value.dtype)
        root = (v / (1 - second**updates)).sqrt_().add_(self.eps)
        value.addcdiv_(m, root * (1 - first**updates) / self.lr)

    def reset(self, generator: Any = None) -> None:
        """Forget the weights, and the classes of an open set."""
        self._forget()
