"""What a layer passes on: functions of the drive. Channels are dimension 1."""

from __future__ import annotations

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.layers.base import Layer
from streamhebb.parts import require


class Triangle(Layer):
    r"""Triangle activation: $z_j = \max(0,\ u_j - \bar u)^{power}$, $\bar u$ over the channels.

    Args:
        power: exponent; below 1 it lifts weak responses.

    Example:
        >>> Triangle()(torch.tensor([[0.0, 1.0, 5.0]]))
        tensor([[0., 0., 3.]])

    Reference:
        A. Coates, A. Ng, H. Lee, AISTATS 2011 (power 1); A. Journé et al., ICLR 2023.
        https://arxiv.org/abs/2209.11883
    """

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        require("Triangle", "power", power, above=0)
        self.power = power

    def respond(self, x: Tensor) -> Tensor:
        """Return the rectified, centred drive."""
        return kernels.rectified(x, self.power)


class ReLU(Layer):
    """Rectifier: ``max(0, u)``."""

    def respond(self, x: Tensor) -> Tensor:
        """Return the rectified drive."""
        return x.relu()


class RePU(Layer):
    """Rectified power: ``max(0, u) ** power``.

    After a ``Triangle`` and a ``MaxPool2d`` it gives what ``Triangle(power)`` before the pool does,
    and takes a fraction of the time: a power is the dearest thing an activation can ask for.

    Args:
        power: exponent.
    """

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        require("RePU", "power", power, above=0)
        self.power = power

    def respond(self, x: Tensor) -> Tensor:
        """Return the rectified power of the drive."""
        return kernels.powers(x, self.power)


class Softmax(Layer):
    """Softmax over the channels of ``t * u``.

    Args:
        t: inverse temperature.
    """

    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        require("Softmax", "t", t, above=0)
        self.t = t

    def respond(self, x: Tensor) -> Tensor:
        """Return shares that sum to 1 over the channels."""
        return torch.softmax(x * self.t, 1)


class Exp(Layer):
    """Exponential: ``exp(t * u)``.

    Args:
        t: inverse temperature.
    """

    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        require("Exp", "t", t, above=0)
        self.t = t

    def respond(self, x: Tensor) -> Tensor:
        """Return the exponential of the drive."""
        return (x * self.t).exp_()


class Tanh(Layer):
    """Hyperbolic tangent: ``tanh(slope * u)``.

    Args:
        slope: steepness at 0.
    """

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        require("Tanh", "slope", slope, above=0)
        self.slope = slope

    def respond(self, x: Tensor) -> Tensor:
        """Return the squashed drive."""
        return (x * self.slope).tanh_()


class Sigmoid(Layer):
    """Logistic function: ``sigmoid(slope * u)``. The published code fixes the slope at 10.

    Args:
        slope: four times the steepness at 0.
    """

    def __init__(self, slope: float = 10.0) -> None:
        super().__init__()
        require("Sigmoid", "slope", slope, above=0)
        self.slope = slope

    def respond(self, x: Tensor) -> Tensor:
        """Return the squashed drive."""
        return (x * self.slope).sigmoid_()


class Winner(Layer):
    """One-hot of the channel with the largest drive (the first of equals)."""

    def respond(self, x: Tensor) -> Tensor:
        """Return 1 for the winner, else 0."""
        return torch.zeros_like(x).scatter_(1, x.argmax(1, keepdim=True), 1.0)
