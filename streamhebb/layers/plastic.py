"""The layer that learns: rule x competition x synapse x neuron."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from streamhebb import kernels
from streamhebb.bias import PriorBias
from streamhebb.competition import Competition, Independent, SoftWTA
from streamhebb.constraints import Constraint
from streamhebb.eligibility import Eligibility
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.init import Init, Normal
from streamhebb.lateral import Lateral
from streamhebb.layers import states
from streamhebb.layers.changing import change, change_own, step_of
from streamhebb.layers.makeup import OPTIONAL, check_parts
from streamhebb.layers.rows import (
    batch_first,
    by_instant,
    joined,
    per_neuron,
    split,
    summed,
    time_first,
)
from streamhebb.layers.wired import WiredLayer, own_kernels
from streamhebb.neurons import Neuron
from streamhebb.parts import State, require_part
from streamhebb.rates import Rate
from streamhebb.rules import PlasticityRule, SoftHebb
from streamhebb.rules.base import modulated, nonlocal_parts, traces
from streamhebb.scaling import NeuronRMS, Scaling
from streamhebb.synapses import Synapse
from streamhebb.trial import tried
from streamhebb.values import Activity, LocalUpdate, Shape


class Seen(NamedTuple):
    """What a plastic layer keeps of one step until it learns. Rows are time first."""

    pre: Tensor
    drive: Tensor
    samples: int
    steps: int = 1
    out: Tensor | None = None
    voltage: Tensor | None = None
    neuron: State | None = None


def _state(weight: Tensor) -> tuple[int, int]:
    """What tells that weights are not what they were: where they lie, and how often written to."""
    return weight.data_ptr(), weight._version


class PlasticLayer(WiredLayer):
    r"""Neurons that change their own weights from what they see.

    $$u = W x, \quad y = competition(u), \quad
      \Delta w = rule(x, y, u), \quad w \leftarrow w + \frac{\eta}{c}\,\Delta w$$

    with the rate $\eta$ and the divisor $c$ of the scaling. The output is $u$; what is passed on
    is shaped by the activation that follows.

    With a ``neuron`` the layer takes presentations: samples with time as their first dimension.
    The neuron turns $u(t)$ into spikes, which are passed on. The competition decides which of
    them are learned from. The rule sees one instant after the other, and the weights change once,
    at the end of the presentation.

    [`Dense`][streamhebb.layers.dense.Dense], [`Sparse`][streamhebb.layers.sparse.Sparse] and
    [`Conv2d`][streamhebb.layers.conv.Conv2d] build this with their synapse.

    Args:
        synapse: the wiring.
        rule: the law of change.
        competition: who learns; ``None`` is soft winner-take-all with anti-Hebbian losers for a
            rule that competes (SoftHebb). For other rules it is independent linear neurons, or,
            with a ``neuron``, everyone who spikes.
        rate: a rate, or a number for a constant one; may be set at any step.
        scaling: what the raw change is divided by.
        init: how the first weights are drawn.
        norm_p: $p$ of the radius, and of the drive $\sum_i sign(w_i)|w_i|^{p-1} x_i$.
        bias: a learned prior of each neuron, or ``None``.
        pre_triangle: replace the drive by $relu(u - \bar u)$ before everything else.
        trained: only the first so many neurons learn, though all compete; ``None`` is all.
        neuron: a spiking or leaky neuron model; ``None`` for rate units without memory.
        threshold: homeostasis of each neuron's activity, or ``None``.
        lateral: learned synapses between the neurons, or ``None``.
        eligibility: a trace of each synapse's wanted change, for three-factor learning.
        constraint: where weights may be, or ``None``.
        carry: whether neuron state and traces go on with the next sample; ``None`` is yes for
            rate units, no with a ``neuron``, where each sample is a presentation from rest.

    Raises:
        ConfigError: for a part that is out of its range, or parts that contradict each other.
        CheckError: for a rule that returns something else than it should, or looks at other
            neurons without saying so.
        ShapeError: in ``shape``, for samples the synapse cannot take.
    """

    learns = True
    plastic = True
    bias: PriorBias | None  # nn.Module's own lookup would call it a tensor
    threshold: AdaptiveThreshold | None
    lateral: Lateral | None
    prior: Tensor  # only with a bias
    level: Tensor | None  # only with a threshold
    lateral_weight: Tensor
    eligibility_trace: Tensor
    watchers: tuple[Callable[[Seen, Tensor], object], ...] = ()
    """Called with what was seen, and the postsynaptic factors, before ``learn`` changes anything;
    must leave both as they are. Graphs of a card repeat what was done on it, and call nobody."""
    unforeseen = 0  # steps whose largest change was not found before all others

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
        neuron: Neuron | None = None,
        threshold: AdaptiveThreshold | None = None,
        lateral: Lateral | None = None,
        eligibility: Eligibility | None = None,
        constraint: Constraint | None = None,
        carry: bool | None = None,
    ) -> None:
        super().__init__(synapse, norm_p, rate)
        name = type(self).__name__
        self.rule = SoftHebb() if rule is None else rule
        if isinstance(rule, (list, tuple)):
            raise ConfigError(f"{name}: rule={rule!r} is not allowed; for two rules: Both(a, b)")
        require_part(name, "rule", self.rule, "Oja()")
        tried(self.rule, neuron is not None)
        if competition is None and self.rule.competes:
            competition = SoftWTA(anti_hebbian=True)
        elif competition is None and neuron is None:
            competition = Independent()
        self.competition = competition
        self.scaling = NeuronRMS() if scaling is None else scaling
        self.init = Normal() if init is None else init
        self.bias = bias
        self.pre_triangle = pre_triangle
        self.trained = trained
        self.neuron = neuron
        self.threshold = threshold
        self.lateral = lateral
        self.eligibility = eligibility
        self.constraint = constraint
        self.carry = carry
        check_parts(self, synapse)
        if neuron is not None and self.sample_ndim is not None:
            self.sample_ndim += 1

        n_out, n_in = synapse.n_out, synapse.row_size
        self.register_buffer("prior", None if bias is None else torch.zeros(n_out))
        self.register_buffer("level", None if threshold is None else threshold.init(n_out))
        self.register_buffer("lateral_weight", None if lateral is None else lateral.init(n_out))
        trace = None if eligibility is None else torch.zeros_like(self.weight)
        self.register_buffer("eligibility_trace", trace)
        self._kept = {
            "rule": states.register(self, "rule", self.rule.init(n_in, n_out)),
            "scaling": states.register(self, "scaling", self.scaling.init(n_out)),
        }
        n_own = n_out // synapse.groups
        self._rest = {
            "trace": traces(self.rule, n_in, n_own),
            "neuron": {} if neuron is None else neuron.init(n_own),
        }
        if self.carries:
            for part, rest in self._rest.items():
                states.register_carried(self, part, rest)
            self.register_load_state_dict_pre_hook(states.fit_rows)  # type: ignore[no-untyped-call]
        self._known: tuple[Tensor, tuple[int, int], kernels.Rows] | None = None
        self.reset()

    # -- state ---------------------------------------------------------------------------------

    @property
    def carries(self) -> bool:  # type: ignore[override]
        """Whether neuron state or traces go on from sample to sample."""
        wanted = self.neuron is None if self.carry is None else self.carry
        return wanted and any(self._rest.values())

    @property
    def carried_buffers(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the buffers that have a row for each competition."""
        if not self.carries:
            return ()
        return tuple(f"{part}_{name}" for part, rest in self._rest.items() for name in rest)

    @own_kernels
    def rows(self) -> kernels.Rows:
        """What is known of every neuron's weights, looked up only if they changed since."""
        weight, state, rows = self._known or (None, None, None)
        if rows is not None and weight is self.weight and state == _state(weight):
            return rows
        return self.remember(kernels.rows_of(self.weight))

    def remember(self, rows: kernels.Rows) -> kernels.Rows:
        """Keep what is known of the present weights until they change, where that is noticed."""
        if kernels.keeps(self.weight):
            # Past nn.Module's setattr, which costs as much as an operator.
            self.__dict__["_known"] = self.weight, _state(self.weight), rows
        return rows

    def _rate_radius(self) -> Tensor:
        if self.norm_p != 2:
            return self.radius()
        kept = kernels.keeps(self.weight)
        return self.rows().norm if kept else kernels.lengths(self.weight)

    def _factor(self) -> Tensor:
        kept = self.coarse and self.method == "direct" and kernels.by_rows(self.weight)
        return self.rows().rounded if kept else self.weight

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_known": None}  # versions are counted for each tensor anew

    def reset(self, generator: Generator | None = None) -> None:
        """Draw new weights from ``generator`` (torch's own if ``None``); forget all statistics."""
        drawn = self.init.draw(self.synapse.weight_shape, self.norm_p, generator)
        self.weight.copy_(self.synapse.flat(drawn))
        if self.constraint is not None:
            self.constraint(self.weight)
        self.updates.zero_()
        states.write(self, "rule", self.rule.init(self.synapse.row_size, self.synapse.n_out))
        states.write(self, "scaling", self.scaling.init(self.synapse.n_out))
        for buffer in (self.level, self.lateral_weight, self.eligibility_trace):
            if buffer is not None:
                buffer.zero_()
        if self.bias is not None:
            self.prior.copy_(self.bias.init(self.synapse.n_out, self.synapse.groups))
        self.reset_state()

    def reset_state(self) -> None:
        """Bring membranes and traces back to rest; what was learned stays."""
        for part, rest in self._rest.items():
            states.empty_carried(self, part, rest)

    # -- the step ------------------------------------------------------------------------------

    def shape(self, shape: Shape) -> Shape:
        """Shape of one sample's output."""
        if self.neuron is None:
            return self.synapse.shape(shape)
        if len(shape) < 2:
            raise ShapeError(
                f"{type(self).__name__} with neuron={self.neuron} got samples of shape {shape}; it "
                f"needs time as the first dimension, (T, {', '.join(map(str, shape))}): put an "
                f"encoder before it"
            )
        return (shape[0], *self.synapse.shape(shape[1:]))

    def respond(self, x: Tensor) -> Tensor:
        """Return the drive ``u``, or the neurons' output over time; changes nothing."""
        return self.observe(x)[0]

    @own_kernels
    def observe(self, x: Tensor) -> tuple[Tensor, Seen]:
        """Return what ``respond`` does and what ``learn`` needs; changes nothing."""
        single = x.ndim == self.sample_ndim
        if self.neuron is None:
            pre, drive = self._drive(x)
            return self.synapse.fold(drive, x), Seen(pre, drive, 1 if single else x.shape[0])
        batch = x[None] if single else x
        steps, image = batch.shape[1], time_first(batch)
        pre, drive = self._drive(image)
        out, voltage, state = self._fire(self.neuron, drive, steps)
        seen = Seen(pre, drive, batch.shape[0], steps, out, voltage, state)
        folded = batch_first(self.synapse.fold(out, image), steps)
        return folded[0] if single else folded, seen

    def _drive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pre = self.synapse.see(x, self.method, self.coarse)
        drive = self.weigh(pre)
        if self.bias is not None:
            drive = drive + per_neuron(self.prior, drive)
        if self.lateral is not None:
            drive = self.lateral.settle(drive, self.lateral_weight)
        if self.pre_triangle:
            channels = (0, 2) if drive.ndim == 3 else (1,)
            drive = (drive - drive.mean(channels, keepdim=True)).relu_()
        return pre, drive

    def _fire(self, neuron: Neuron, drive: Tensor, steps: int) -> tuple[Tensor, Tensor, State]:
        """Run the neurons over a presentation."""
        instants = by_instant(drive, steps)
        state = states.read_carried(self, "neuron", self._rest["neuron"], instants[0])
        level = None if self.level is None else per_neuron(self.level, drive)
        outs, voltages = [], []
        for current in instants:
            out, voltage, state = neuron.step(current, state, level)
            outs.append(out)
            voltages.append(voltage)
        return joined(outs), joined(voltages), state

    def _post(self, seen: Seen) -> Tensor:
        """The postsynaptic factor of every row: who learns, and how much."""
        decides = seen.drive if seen.voltage is None else seen.voltage
        if self.level is not None:
            decides = decides - per_neuron(self.level, decides)
        if seen.out is None or self.neuron is None or not self.neuron.spikes:
            # Graded neurons compete with their output, as rate units do with their drive.
            return decides if self.competition is None else self.competition(decides)
        return seen.out if self.competition is None else self.competition(decides) * seen.out

    def _terms(
        self, seen: Seen, post: Tensor, modulator: float | Tensor
    ) -> tuple[LocalUpdate, State, State]:
        """Ask the rule, one instant after the other if it keeps traces.

        Returns:
            The update, and the next kept and carried state of the rule.
        """
        kept = states.read(self, "rule", self._kept["rule"])
        whole = Activity(seen.pre, post, seen.drive, self.weight, seen.voltage, modulator)
        rest = self._rest["trace"]
        if not rest:
            return (*self.rule.terms(whole, kept), {})
        instants = split(whole, seen.steps)
        state = kept | states.read_carried(self, "trace", rest, instants[0].pre)
        updates = []
        for instant in instants:
            update, state = self.rule.terms(instant, state)
            updates.append(update)
        return summed(updates), {k: state[k] for k in kept}, {k: state[k] for k in rest}

    def delta(self, seen: Seen, modulator: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
        """Return the raw change and the postsynaptic factors; changes nothing."""
        post = self._post(seen)
        update, _, _ = self._terms(seen, post, modulator)
        out = torch.empty_like(self.weight)
        return kernels.accumulate(update, self.weight, out, self.wiring, self.coarse), post

    @own_kernels
    def advance(self, seen: Seen) -> None:
        """Let membranes and traces go on; nothing is learned."""
        if self.carries:
            self._carry_on(seen, self._terms(seen, self._post(seen), 0.0)[2])

    def _carry_on(self, seen: Seen, traces: State) -> None:
        if self.carries:
            states.write(self, "trace", {name: traces[name] for name in self._rest["trace"]})
            states.write(self, "neuron", seen.neuron or {})

    @own_kernels
    def learn(self, seen: Seen, modulator: float | Tensor = 1.0) -> None:
        """Change the weights by what was seen.

        Args:
            seen: what ``observe`` returned.
            modulator: third factor, broadcast to all synapses; multiplies the rate.
        """
        if not self.plasticity:
            self.advance(seen)
            return
        post = self._post(seen)
        for watch in self.watchers:
            watch(seen, post)
        update, kept, carried = self._terms(seen, post, modulator)
        if modulated(self.rule):
            modulator = 1.0  # it has been used
        rate = self._rate_now()
        change_own(self, seen, post, rate, modulator)
        scaling = change(self, update, step_of(rate, modulator))
        states.write(self, "rule", kept)
        states.write(self, "scaling", scaling)
        self._carry_on(seen, carried)
        self.updates.add_(1)

    # -- what users see ------------------------------------------------------------------------

    def nonlocal_parts(self) -> tuple[str, ...]:
        """Names of the parts that look beyond one synapse and its two neurons."""
        parts = [] if self.scaling.local else [type(self.scaling).__name__]
        if self.bias is not None:
            parts.append(type(self.bias).__name__)
        return (*nonlocal_parts(self.rule), *parts, *self.synapse.nonlocal_parts)

    def extra_repr(self) -> str:
        """Parts, with the ones that are not local marked."""
        marks = [f"not local: {', '.join(parts)}"] if (parts := self.nonlocal_parts()) else []
        shown = [self.rule, self.competition, self.rate, self.scaling]
        shown += [part for name in OPTIONAL if (part := getattr(self, name)) is not None]
        return ", ".join([str(self.synapse), *map(repr, shown), *marks])
