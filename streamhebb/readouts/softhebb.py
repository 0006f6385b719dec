"""Supervised SoftHebb: a Hebbian readout whose neurons are clamped to the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.init import Init
from streamhebb.parts import State, require, require_part
from streamhebb.rates import ConstantRate, NormRate, Rate
from streamhebb.readouts.base import Features, Readout
from streamhebb.rules import SoftHebb
from streamhebb.scaling import NeuronRMS, Scaling
from streamhebb.values import Activity, Label


class SoftHebbReadout(Readout):
    r"""One SoftHebb neuron a class; the teacher says which one fires.

    $$u = W x, \qquad y = onehot(label), \qquad
      \Delta w_{ji} = \sum_n y_{nj}\,(x_{ni} - u_{nj}\, w_{ji}), \qquad
      w_j \leftarrow w_j + \frac{\eta_j}{c_j}\,\Delta w_j$$

    Purely Hebbian: no error is computed, and a neuron learns from the samples of its own class
    only. Each moves towards the mean of its class, scaled to length 1, and the prediction is the
    class of largest $u$. So give it features of similar length that are not all alike.

    A local scaling keeps its memory by class, and counts the updates in which the class occurred:
    a rare or late class takes steps as large as the others do.

    Args:
        n_in: features; ``None`` lets the net fill it in.
        classes: a number, the labels, or ``None`` for an open set.
        rate: a rate by the radius of each class's weights, a schedule, or a number.
        scaling: what the raw change is divided by; ``None`` is
            [`NeuronRMS`][streamhebb.scaling.NeuronRMS], strictly local. The published readout takes
            [`LayerMax`][streamhebb.scaling.LayerMax], and ``LinearDecay(0.045, steps)``.
        init: how first weights are drawn (published: ``Positive(35)``); ``None`` is 0.
        seed: draws them; those of a class depend on it and the class's number alone, whenever the
            class appears.

    Example:
        >>> readout = SoftHebbReadout(2, classes=["left", "right"])
        >>> _, seen = readout.observe(torch.eye(2))
        >>> readout.learn(seen, ["left", "right"])
        >>> readout.respond(torch.tensor([[0.2, 0.9]])).argmax().item()
        1

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """

    weight: Tensor
    updates: Tensor

    def __init__(
        self,
        n_in: int | None = None,
        classes: int | Sequence[Label] | None = None,
        *,
        rate: Rate | float | None = None,
        scaling: Scaling | None = None,
        init: Init | None = None,
        seed: int = 0,
    ) -> None:
        scaling = NeuronRMS() if scaling is None else scaling
        require_part("SoftHebbReadout", "scaling", scaling, "LayerMax()")
        names = tuple(scaling.init(1))
        if names and not scaling.local:
            raise ConfigError(
                f"SoftHebbReadout: scaling={scaling!r} is not allowed; one that looks across "
                f"neurons may keep no memory, as classes come and go"
            )
        super().__init__(n_in, classes, ("weight", *(f"scaling_{name}" for name in names)))
        if isinstance(rate, (int, float)):
            rate = ConstantRate(rate)
        self.rate: Rate = NormRate(0.01) if rate is None else rate
        require_part("SoftHebbReadout", "rate", self.rate, "NormRate(0.01) or a number")
        if init is not None:
            require_part("SoftHebbReadout", "init", init, "Positive(35)")
        require("SoftHebbReadout", "seed", seed, at_least=0, whole=True)
        self.rule = SoftHebb()
        self.scaling = scaling
        self.init = init
        self.seed = seed
        if n_in is not None:
            self.build(n_in)

    def build(self, n_in: int) -> None:
        """Make the buffers."""
        self.n_in = n_in
        rows = len(self._labels)
        self.register_buffer("weight", torch.zeros(rows, n_in))
        for name, value in self.scaling.init(1).items():
            shape = value.shape[1:]  # a number for the layer becomes one a class
            kept = torch.zeros(rows, *shape, dtype=value.dtype)
            self.register_buffer(f"scaling_{name}", kept)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._start(0)

    def _start(self, first: int) -> None:
        """Draw the weights of the classes from this number on, and empty their memory."""
        for name, value in self.scaling.init(1).items():
            getattr(self, f"scaling_{name}")[first:] = value
        self.weight[first:] = 0
        if self.init is None:
            return
        for row in range(first, len(self.weight)):
            chance = torch.Generator().manual_seed((self.seed * 65537 + row) % (1 << 32))
            self.weight[row] = self.init.draw((1, self.weight.shape[1]), 2.0, chance)[0]

    def respond(self, x: Tensor) -> Tensor:
        """Return the drive ``u`` of every class's neuron."""
        return kernels.drive(x, self.weight)

    def radius(self) -> Tensor:
        """Length of every class's weights, shape ``(n_classes,)``."""
        norm: Tensor = torch.linalg.vector_norm(self.weight, dim=1)
        return norm

    def current_rate(self) -> Tensor | float:
        """The rate the next update will use: one number, or shape ``(n_classes,)``."""
        updates = int(self.updates) if self.rate.by_updates else 0
        return self.rate(self.radius() if self.rate.by_radius else self.updates, updates)

    def delta(self, seen: Features, target: Sequence[Label | None]) -> tuple[Tensor, Tensor]:
        """Return the raw change, shape ``(n_classes, n_in)``, and the clamped factors ``y``."""
        x, scores, hot = self._labelled(seen, target)
        if scores.shape[1] > seen.scores.shape[1]:
            scores = self.respond(x)  # the first weights of a new class need not be 0
        update, _ = self.rule.terms(Activity(x, hot, scores, self.weight), {})
        return kernels.accumulate(update, self.weight, torch.empty_like(self.weight)), hot

    def learn(self, seen: Features, target: Sequence[Label | None]) -> None:
        """Clamp the neurons to the labels and let them learn."""
        delta, hot = self.delta(seen, target)
        if not len(hot):
            return
        rate = self.current_rate()
        step = self._divide(delta, hot)
        self.weight.add_(step * (rate[:, None] if isinstance(rate, Tensor) else rate))
        self.updates.add_(1)

    def _divide(self, delta: Tensor, hot: Tensor) -> Tensor:
        """Return the scaled change; classes that did not occur have none, and keep their memory."""
        if not self.scaling.local:
            divisor, _ = self.scaling.divisor(delta, 1, {})
            return delta if divisor is None else delta / divisor
        for row in hot.any(0).nonzero().flatten().tolist():
            own = slice(row, row + 1)
            state = self._memory(row)
            divisor, state = self.scaling.divisor(delta[own], 1, state)
            if divisor is not None:
                delta[own] /= divisor
            for name, value in state.items():
                getattr(self, f"scaling_{name}")[own] = value
        return delta

    def _memory(self, row: int) -> State:
        """The scaling's state of one class, shaped as for a layer of one neuron."""
        return {
            name: getattr(self, f"scaling_{name}")[row].reshape(value.shape)
            for name, value in self.scaling.init(1).items()
        }

    def reset(self, generator: Any = None) -> None:
        """Forget the weights, and the classes of an open set."""
        if self.open:
            self._labels.clear()
            self._index.clear()
        self._resize(len(self._labels))
        self.updates.zero_()
        self._start(0)

    def extra_repr(self) -> str:
        """Arguments, with the part marked that is not local."""
        mark = "" if self.scaling.local else f", not local: {type(self.scaling).__name__}"
        return f"n_in={self.n_in}, classes={self.classes}, {self.rate}, {self.scaling}{mark}"
