r"""Inputs that are made to be misread: by noise, and along the gradient of a frozen net.

The gradient is that of the cross-entropy $L$ of the scores, taken with respect to the input; the
net is left as it was. Labels are numbers of classes, as the scores have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.net import StreamNet
from streamhebb.parts import require, require_choice

Scores = Callable[[Tensor], Tensor]
Norm = Literal["linf", "l2"]
NORMS = ("linf", "l2")


def net_scores(net: StreamNet) -> Scores:
    """Return a net's scores as a function that gradients come through.

    The layers themselves respond, with the weights and statistics they have; nothing learns.

    Args:
        net: has a readout; a layer of steps (``Winner``, spikes) hands no gradient on.

    Raises:
        ConfigError: for a net without a readout.

    Example:
        >>> from streamhebb import Dense, SoftmaxReadout
        >>> net = StreamNet(Dense(4, 8), readout=SoftmaxReadout(8, classes=3))
        >>> net_scores(net)(torch.rand(2, 4)).shape
        torch.Size([2, 3])
    """
    readout: Any = net.readout
    if readout is None:
        raise ConfigError("net_scores: the net has no readout, so it has no scores; give it one")
    layers: list[Any] = list(net.layers)

    def scores(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer.respond(x)
        return readout.respond(x.flatten(1))  # type: ignore[no-any-return]

    return scores


def slopes(scores: Scores, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the loss $L_n$ of every sample, and its slope $\partial L_n / \partial x_n$.

    Args:
        scores: of a batch; each sample's depend on that sample only.
        x: shape ``(B, ...)``.
        y: classes by number, shape ``(B,)``, ``int64``.

    Returns:
        Shapes ``(B,)`` and ``(B, ...)``.

    Raises:
        ConfigError: if no gradient comes through.
        ShapeError: if there is not one class a sample.

    Example:
        >>> x, y = torch.zeros(1, 2), torch.tensor([0])
        >>> slopes(lambda x: x, x, y)[1]
        tensor([[-0.5000,  0.5000]])
    """
    if y.shape != x.shape[:1]:
        raise ShapeError(f"{len(x)} samples, but classes of shape {tuple(y.shape)}; give one each")
    # Layers save memory by activations in place, which autograd refuses for what it has saved
    # itself: let it save copies.
    with torch.enable_grad(), saved_tensors_hooks(torch.clone, lambda copied: copied):
        x = x.detach().requires_grad_()
        losses = F.cross_entropy(scores(x), y, reduction="none")
        if not losses.requires_grad:
            raise ConfigError("no gradient comes through this net; it cannot be attacked along it")
        (slope,) = torch.autograd.grad(losses.sum(), x)
    return losses.detach(), slope


def noise(x: Tensor, sigma: float, seed: int = 0, *, clip: bool = True) -> Tensor:
    r"""Add normal noise: $x + \sigma z$, the same for one seed on every device.

    Args:
        x: any shape; is not changed.
        sigma: standard deviation.
        seed: draws the noise.
        clip: whether the result is brought back between 0 and 1, where pixels are.

    Example:
        >>> x = torch.full((2, 3), 0.5)
        >>> torch.equal(noise(x, 0.1, 7), noise(x, 0.1, 7)), torch.equal(noise(x, 0.0), x)
        (True, True)
    """
    require("noise", "sigma", sigma, at_least=0)
    require("noise", "seed", seed, at_least=0, whole=True)
    drawn = torch.randn(x.shape, generator=Generator().manual_seed(seed), dtype=torch.float32)
    noisy = x + sigma * drawn.to(x)
    return noisy.clamp_(0, 1) if clip else noisy


def fgsm(
    scores: Scores,
    x: Tensor,
    y: Tensor,
    eps: float,
    *,
    norm: Norm = "linf",
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    r"""One step of length ``eps`` up the loss: the fast gradient sign method.

    $$x' = x + \epsilon\, sign(\nabla_x L) \quad\text{or}\quad
      x' = x + \epsilon\, \nabla_x L / \lVert \nabla_x L \rVert_2$$

    Args:
        scores: of a frozen net, as [`net_scores`][streamhebb.evaluate.attacks.net_scores] gives it.
        x: shape ``(B, ...)``, between ``low`` and ``high``.
        y: the classes that are right, by number, shape ``(B,)``.
        eps: largest distance.
        norm: ``"linf"`` (any input by no more than ``eps``) or ``"l2"``.
        low: inputs stay above.
        high: inputs stay below.

    Example:
        >>> x, y = torch.full((1, 2), 0.5), torch.tensor([0])
        >>> fgsm(lambda x: x, x, y, 0.25)
        tensor([[0.2500, 0.7500]])

    Reference:
        I. Goodfellow, J. Shlens, C. Szegedy, ICLR 2015. https://arxiv.org/abs/1412.6572
    """
    _check("fgsm", x, eps, norm, low, high)
    _, slope = slopes(scores, x, y)
    return (x + eps * _direction(slope, norm)).clamp_(low, high)


def pgd(
    scores: Scores,
    x: Tensor,
    y: Tensor,
    eps: float,
    *,
    norm: Norm = "linf",
    steps: int = 20,
    step: float | None = None,
    random_start: bool = True,
    towards: bool = False,
    low: float = 0.0,
    high: float = 1.0,
    seed: int = 0,
    on_step: Callable[[int, Tensor], object] | None = None,
) -> Tensor:
    r"""Climb the loss within a ball around each sample: projected gradient ascent.

    $$x_{k+1} = \Pi\big(x_k + step \cdot sign(\nabla_x L(x_k))\big)$$

    for ``"linf"``; for ``"l2"`` the gradient is brought to length 1 instead. $\Pi$ goes back to the
    nearest point of the ball, and into the range of inputs. A sample whose gradient is 0 stays.

    Args:
        scores: of a frozen net, as [`net_scores`][streamhebb.evaluate.attacks.net_scores] gives it.
        x: shape ``(B, ...)``, between ``low`` and ``high``.
        y: the classes that are right, by number, shape ``(B,)``; the wanted ones with ``towards``.
        eps: radius of the ball.
        norm: ``"linf"`` or ``"l2"``.
        steps: of the ascent.
        step: length of each; ``None`` is ``2.5 * eps / steps``, so that the rim can be reached.
        random_start: begin anywhere in the ball, or else at the sample.
        towards: descend the loss of the classes ``y`` instead.
        low: inputs stay above.
        high: inputs stay below.
        seed: draws the starts.
        on_step: called with the number of steps made, and where they led.

    Returns:
        Of each sample the point with the highest loss on its way (with ``towards`` the lowest).

    Example:
        >>> x, y = torch.full((1, 2), 0.5), torch.tensor([0])
        >>> pgd(lambda x: x, x, y, 0.25, steps=10)
        tensor([[0.2500, 0.7500]])

    Reference:
        A. Madry et al., ICLR 2018. https://arxiv.org/abs/1706.06083
    """
    _check("pgd", x, eps, norm, low, high)
    require("pgd", "steps", steps, at_least=1, whole=True)
    require("pgd", "seed", seed, at_least=0, whole=True)
    if step is not None:
        require("pgd", "step", step, above=0)
    stride = 2.5 * eps / steps if step is None else step
    sign = -1 if towards else 1
    tell = on_step or (lambda number, at: None)
    at = x.detach().clone()
    if random_start:
        at = (at + _anywhere(x, eps, norm, seed)).clamp_(low, high)
    tell(0, at)
    best, highest = at, torch.full_like(at.flatten(1)[:, 0], -math.inf)
    for number in range(steps + 1):
        losses, slope = slopes(scores, at, y)
        better = sign * losses > highest
        best = torch.where(_per_sample(better, x), at, best)
        highest = torch.where(better, sign * losses, highest)
        if number < steps:
            at = at + sign * stride * _direction(slope, norm)
            at = _projected(at, x, eps, norm).clamp_(low, high)
            tell(number + 1, at)
    return best


def _check(owner: str, x: Tensor, eps: float, norm: str, low: float, high: float) -> None:
    require(owner, "eps", eps, at_least=0)
    require_choice(owner, "norm", norm, NORMS)
    if x.numel() and not (low <= float(x.min()) and float(x.max()) <= high):
        raise ConfigError(
            f"{owner}: samples lie between {float(x.min()):.4g} and {float(x.max()):.4g}; bring "
            f"them between low={low} and high={high}, or set these"
        )


def _per_sample(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (x.ndim - 1))


def _lengths(x: Tensor) -> Tensor:
    """Length of each sample, shaped to broadcast over it."""
    return _per_sample(x.flatten(1).norm(dim=1), x)


def _direction(slope: Tensor, norm: Norm) -> Tensor:
    """The steepest way up: of size 1 in the norm, and 0 where there is no slope."""
    if norm == "linf":
        return slope.sign()
    # Tiny slopes would underflow in their squares.
    slope = slope / _per_sample(slope.flatten(1).abs().amax(1), slope).clamp_min(1e-45)
    return slope / _lengths(slope).clamp_min(1e-12)


def _projected(x: Tensor, centre: Tensor, eps: float, norm: Norm) -> Tensor:
    """The nearest point of the ball."""
    apart = x - centre
    if norm == "linf":
        return centre + apart.clamp_(-eps, eps)
    return centre + apart * (eps / _lengths(apart).clamp_min(1e-12)).clamp_max(1)


def _anywhere(x: Tensor, eps: float, norm: Norm, seed: int) -> Tensor:
    """Points spread evenly over the ball around 0."""
    chance = Generator().manual_seed(seed)
    if norm == "linf":
        return eps * (2 * torch.rand(x.shape, generator=chance) - 1).to(x)
    drawn = torch.randn(x.shape, generator=chance)
    reach = torch.rand(len(x), generator=chance) ** (1 / max(1, drawn[0].numel()))
    return eps * (_per_sample(reach, x) * drawn / _lengths(drawn)).to(x)
