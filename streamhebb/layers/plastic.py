"""The layer that learns: rule x competition x synapse."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from streamhebb import kernels
from streamhebb.bias import PriorBias
from streamhebb.competition import Competition, Independent, SoftWTA
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.init import Init, Normal
from streamhebb.layers.base import Layer
from streamhebb.parts import State, require, require_choice, require_part
from streamhebb.rates import ConstantRate, NormRate, Rate
from streamhebb.rules import PlasticityRule, SoftHebb
from streamhebb.scaling import NeuronRMS, Scaling
from streamhebb.synapses import Synapse
from streamhebb.values import Activity, Shape

_EXAMPLES = {
    "competition": "HardWTA()",
    "rate": "NormRate(0.01) or a number",
    "scaling": "LayerMax()",
    "init": "Normal()",
    "bias": "PriorBias()",
}


class Seen(NamedTuple):
    """What a plastic layer keeps of one step until it learns."""

    pre: Tensor
    drive: Tensor
    samples: int


class PlasticLayer(Layer):
    r"""Neurons that change their own weights from what they see.

    $$u = W x, \quad y = competition(u), \quad
      \Delta w = rule(x, y, u), \quad w \leftarrow w + \frac{\eta}{c}\,\Delta w$$

    with the rate $\eta$ and the divisor $c$ of the scaling. The output is $u$; what is passed on
    is shaped by the activation that follows.

    Use [`Dense`][streamhebb.layers.dense.Dense] and
    [`Conv2d`][streamhebb.layers.conv.Conv2d], which build this with their synapse.

    Args:
        synapse: the wiring.
        rule: the law of change.
        competition: who learns; ``None`` is soft winner-take-all with anti-Hebbian losers for a
            rule that competes (SoftHebb), and independent linear neurons for the others.
        rate: a rate, or a number for a constant one.
        scaling: what the raw change is divided by.
        init: how the first weights are drawn.
        norm_p: $p$ of the radius, and of the drive $\sum_i sign(w_i)|w_i|^{p-1} x_i$.
        bias: a learned prior of each neuron, or ``None``.
        pre_triangle: replace the drive by $relu(u - \bar u)$ before everything else.
        trained: only the first so many neurons learn, though all compete; ``None`` is all.

    Raises:
        ConfigError: for a part that is out of its range.
        ShapeError: in ``shape``, for samples the synapse cannot take.
    """

    learns = True
    plastic = True
    bias: PriorBias | None  # nn.Module's own lookup would call it a tensor
    prior: Tensor  # only with a bias
    updates: Tensor
    weight: Tensor

    def __init__(
        self,
        synapse: Synapse,
        *,
        rule: PlasticityRule | None = None,
        competition: Competition | None = None,
        rate: Rate | float | None = None,
        scaling: Scaling | None = None,
        init: Init | None = None,
        norm_p: float = 2.0,
        bias: PriorBias | None = None,
        pre_triangle: bool = False,
        trained: int | None = None,
    ) -> None:
        super().__init__()
        require(type(self).__name__, "norm_p", norm_p, at_least=1)
        if trained is not None and (type(trained) is not int or not 1 <= trained <= synapse.n_out):
            raise ConfigError(
                f"{type(self).__name__}: trained={trained!r} is not allowed; it must be a whole "
                f"number between 1 and n_out={synapse.n_out}, or None for all"
            )
        self.synapse = synapse
        self.rule = SoftHebb() if rule is None else rule
        require_part(type(self).__name__, "rule", self.rule, "Oja()")
        if competition is None:
            competition = SoftWTA(anti_hebbian=True) if self.rule.competes else Independent()
        self.competition = competition
        if isinstance(rate, (int, float)):
            rate = ConstantRate(rate)
        self.rate: Rate = NormRate(0.0025) if rate is None else rate
        self.scaling = NeuronRMS() if scaling is None else scaling
        self.init = Normal() if init is None else init
        self.norm_p = norm_p
        self.bias = bias
        self.pre_triangle = pre_triangle
        self.trained = trained
        require_choice(type(self).__name__, "pre_triangle", pre_triangle, (True, False))
        for name, example in _EXAMPLES.items():
            if name != "bias" or bias is not None:
                require_part(type(self).__name__, name, getattr(self, name), example)
        # A competition that cannot serve so many neurons says so now, not at the first sample.
        self.competition(torch.zeros(1, synapse.n_out // synapse.groups))

        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("weight", synapse.flat(torch.zeros(synapse.weight_shape)).clone())
        self.register_buffer("prior", torch.zeros(synapse.n_out) if bias is not None else None)
        self._states = {
            "rule": self._register("rule", self.rule.init(self.weight.shape[1], synapse.n_out)),
            "scaling": self._register("scaling", self.scaling.init(synapse.n_out)),
        }
        self._delta: Tensor | None = None
        self.reset()

    # -- state ---------------------------------------------------------------------------------

    def _register(self, part: str, state: State) -> tuple[str, ...]:
        for name, value in state.items():
            self.register_buffer(f"{part}_{name}", value)
        return tuple(state)

    def _state(self, part: str) -> State:
        return {name: getattr(self, f"{part}_{name}") for name in self._states[part]}

    def _write(self, part: str, state: State) -> None:
        for name, value in state.items():
            kept = getattr(self, f"{part}_{name}")
            if value is not kept:
                kept.copy_(value)  # in place: addresses stay fixed

    def _scratch(self) -> Tensor:
        delta = self._delta
        if delta is None or delta.device != self.weight.device or delta.dtype != self.weight.dtype:
            delta = self._delta = torch.empty_like(self.weight)
        return delta

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_delta": None}  # scratch memory is never copied

    def reset(self, generator: Generator | None = None) -> None:
        """Draw new weights and forget all statistics.

        Args:
            generator: source of chance; ``None`` is torch's global one.
        """
        drawn = self.init.draw(self.synapse.weight_shape, self.norm_p, generator)
        self.weight.copy_(self.synapse.flat(drawn))
        self.updates.zero_()
        self._write("rule", self.rule.init(self.weight.shape[1], self.synapse.n_out))
        self._write("scaling", self.scaling.init(self.synapse.n_out))
        if self.bias is not None:
            self.prior.copy_(self.bias.init(self.synapse.n_out, self.synapse.groups))

    def set_weight(self, weight: Tensor) -> None:
        """Copy weights in, shaped as ``kernel`` shows them.

        Raises:
            ShapeError: if the shape differs.
        """
        if tuple(weight.shape) != self.synapse.weight_shape:
            raise ShapeError(
                f"{type(self).__name__}: weights of shape {tuple(weight.shape)} given; "
                f"{self.synapse.weight_shape} needed"
            )
        self.weight.copy_(self.synapse.flat(weight))

    @property
    def kernel(self) -> Tensor:
        """The weights as torch shapes them: ``(n_out, n_in)`` or ``(n_out, n_in, k, k)``."""
        return self.synapse.shown(self.weight)

    def radius(self) -> Tensor:
        r"""Radius $r_j = (\sum_i |w_{ji}|^p)^{1/p}$ of every neuron, shape ``(n_out,)``."""
        norm: Tensor = torch.linalg.vector_norm(self.weight, self.norm_p, dim=1)
        return norm

    def current_rate(self) -> Tensor | float:
        """The rate the next update will use: one number, or shape ``(n_out,)``."""
        updates = 0 if self.rate.by_radius else int(self.updates)
        return self.rate(self.radius() if self.rate.by_radius else self.updates, updates)

    # -- the step ------------------------------------------------------------------------------

    def shape(self, shape: Shape) -> Shape:
        """Shape of one sample's output."""
        return self.synapse.shape(shape)

    def _drive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pre = self.synapse.see(x)
        weight = self.weight
        if self.norm_p != 2:
            weight = weight.sign() * weight.abs() ** (self.norm_p - 1)
        drive = kernels.drive(pre, weight)
        if self.bias is not None:
            drive = drive + self._by_group(self.prior, drive)
        if self.pre_triangle:
            channels = (0, 2) if drive.ndim == 3 else (1,)
            drive = (drive - drive.mean(channels, keepdim=True)).relu_()
        return pre, drive

    @staticmethod
    def _by_group(per_neuron: Tensor, like: Tensor) -> Tensor:
        """(n_out,) to (n_out,) or (groups, 1, n_out / groups)."""
        return per_neuron if like.ndim == 2 else per_neuron.view(like.shape[0], 1, -1)

    def respond(self, x: Tensor) -> Tensor:
        """Return the drive ``u``; changes nothing."""
        return self.synapse.fold(self._drive(x)[1], x)

    def observe(self, x: Tensor) -> tuple[Tensor, Seen]:
        """Return the drive ``u`` and what ``learn`` needs; changes nothing."""
        pre, drive = self._drive(x)
        samples = 1 if x.ndim == self.sample_ndim else x.shape[0]
        return self.synapse.fold(drive, x), Seen(pre, drive, samples)

    def delta(self, seen: Seen) -> tuple[Tensor, Tensor, State]:
        """Return the raw change, the postsynaptic factors and the rule's next state.

        The change lies in memory that the next call overwrites.
        """
        post = self.competition(seen.drive)
        activity = Activity(seen.pre, post, seen.drive, self.weight)
        update, state = self.rule.terms(activity, self._state("rule"))
        return kernels.accumulate(update, self.weight, self._scratch()), post, state

    def learn(self, seen: Seen, modulator: float | Tensor = 1.0) -> None:
        """Change the weights by what was seen.

        Args:
            seen: what ``observe`` returned.
            modulator: third factor, broadcast to all synapses; multiplies the rate.
        """
        delta, post, state = self.delta(seen)
        divisor, scaling = self.scaling.divisor(delta, self.synapse.groups, self._state("scaling"))
        rate = self.current_rate()
        step = rate[:, None] * modulator if isinstance(rate, Tensor) else rate * modulator
        if divisor is not None:
            step = step / divisor
        if self.bias is not None:
            total = post.sum(-2).reshape(-1)
            change = self.bias.change(total, self.prior, post.shape[-2], seen.samples)
            change = change * rate * modulator
            self.prior[: self.trained] += change[: self.trained]
        rows = slice(self.trained)  # of all neurons if None
        if isinstance(step, Tensor):
            step = step if step.ndim < 2 else step[rows]
            self.weight[rows].addcmul_(delta[rows], step)
        else:
            self.weight[rows].add_(delta[rows], alpha=step)
        self._write("rule", state)
        self._write("scaling", scaling)
        self.updates.add_(1)

    # -- what users see ------------------------------------------------------------------------

    def nonlocal_parts(self) -> tuple[str, ...]:
        """Names of the parts that look beyond one synapse and its two neurons."""
        parts = [] if self.scaling.local else [type(self.scaling).__name__]
        if self.bias is not None:
            parts.append(type(self.bias).__name__)
        return (*parts, *self.synapse.nonlocal_parts)

    def extra_repr(self) -> str:
        """Parts, with the ones that are not local marked."""
        marks = [f"not local: {', '.join(parts)}"] if (parts := self.nonlocal_parts()) else []
        shown = (self.rule, self.competition, self.rate, self.scaling)
        return ", ".join([str(self.synapse), *map(repr, shown), *marks])
