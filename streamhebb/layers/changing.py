"""How a layer's weights change: the whole matrix, a few neurons at a time, or those that won."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.layers import states
from streamhebb.layers.rows import neurons_last
from streamhebb.parts import State
from streamhebb.scaling import TINY, LayerMax, NeuronRMS, NoScaling, Scaling
from streamhebb.values import LocalUpdate

if TYPE_CHECKING:
    from streamhebb.layers.plastic import PlasticLayer, Seen


def step_of(rate: Tensor | float, modulator: Tensor | float) -> Tensor | float:
    """Rate times modulator: one number, or shape ``(n_out, 1)``; or rates still to be made."""
    if isinstance(rate, kernels.Rates) and not isinstance(modulator, Tensor) and modulator == 1:
        return rate
    step = rate[:, None] if isinstance(rate, Tensor) else rate
    if isinstance(modulator, Tensor) or modulator != 1:
        step = step * modulator
    return step


def _made(step: Tensor | float) -> Tensor | float:
    """Rates that are still to be made, made."""
    return step.made[:, None] if isinstance(step, kernels.Rates) else step


MOST = 5
"""Where two neurons change in each competition, so many neurons for each are worth a search."""


def change(layer: PlasticLayer, update: LocalUpdate, step: Tensor | float) -> State:
    """Change a layer's weights as its rule asks.

    Args:
        layer: whose weights change.
        update: what its rule asks for.
        step: rate times modulator: one number, or shape ``(n_out, 1)``.

    Returns:
        The next state of the layer's scaling.
    """
    kept = states.read(layer, "scaling", layer._kept["scaling"])
    whole = not (layer.eligibility is None and layer.trained is None and layer.peers is None)
    if not whole and (few := _few(layer, update)) is not None:
        return _of_few(layer, update, few, _made(step), kept)
    if not whole and _of_events(layer, update, step):
        return kept
    if not whole and (state := _at_once(layer, update, step, kept)) is not None:
        return state
    step = _made(step)
    if whole or not kernels.in_cache(
        update, layer.weight, layer.wiring, layer.coarse, _searched(layer)
    ):
        return _whole(layer, update, step, kept)
    if update.decay is not None:
        update = update._replace(decay=kernels.over_competitions(update.decay)[None])  # once
    steps = kernels.by_neuron(step, layer.weight)[:, None]
    kept_rounded = layer.coarse and kernels.by_rows(layer.weight)
    memory = layer.rows().memory if kept_rounded else None
    if layer.scaling.local:
        rows, state = _by_own(layer, update, steps, memory, kept)
    else:
        divisor = _foreseen(layer, update)
        if divisor is None:
            layer.unforeseen += 1
            return _whole(layer, update, step, kept)
        steps = steps / divisor
        rows = kernels.change(update, layer.weight, steps, layer.coarse, memory)
        state = kept
    if layer.constraint is not None:
        layer.constraint(layer.weight)
    else:
        layer.remember(rows)
    return state


def _by_own(
    layer: PlasticLayer, update: LocalUpdate, steps: Tensor, memory: Tensor | None, kept: State
) -> tuple[kernels.Rows, State]:
    """Change each neuron by its change over a divisor of its own: in one pass if there is one."""
    if type(layer.scaling) is NeuronRMS:  # another one may divide by something else
        running = layer.scaling.running(kept)
        rows = kernels.change_by_own(update, layer.weight, steps, running, layer.coarse, memory)
        if rows is not None:
            return rows, layer.scaling.after(kept, running)
    by_rows = _ByRows(layer, steps, kept)
    rows = kernels.change(update, layer.weight, by_rows, layer.coarse, memory)
    return rows, by_rows.state()


KNOWN: dict[type[Scaling], str] = {NoScaling: "no", LayerMax: "largest", NeuronRMS: "squares"}
"""Of those that a backend may know itself; another one may divide by something else."""


def _at_once(
    layer: PlasticLayer, update: LocalUpdate, step: Tensor | float, kept: State
) -> State | None:
    """Let the backend do all of it at once, if it can; ``None`` if not, and nothing was done."""
    scaling, by = layer.scaling, KNOWN.get(type(layer.scaling))
    if by is None or layer.wiring is not None or kernels.keeps(layer.weight):
        return None
    if not isinstance(step, kernels.Rates):
        step = kernels.by_neuron(step, layer.weight)[:, None]
    tiny, running = TINY, None
    if isinstance(scaling, NeuronRMS):
        mean, tiny = kept["mean_square"], torch.finfo(layer.weight.dtype).tiny
        running = kernels.Running(mean, kept["age"], scaling.memory, torch.empty_like(mean))
    if not kernels.at_once(update, layer.weight, step, by, tiny, running, layer.coarse):
        return None
    if layer.constraint is not None:
        layer.constraint(layer.weight)
    return kept if running is None else {"mean_square": running.moved, "age": running.age + 1}


def _of_events(layer: PlasticLayer, update: LocalUpdate, step: Tensor | float) -> bool:
    """Change only weights of what spiked, if nobody wants to know of the others."""
    alone = isinstance(layer.scaling, NoScaling) and not layer.rate.by_radius
    if not alone or layer.wiring is not None or layer.synapse.groups > 1:
        return False
    if not kernels.change_events(update, layer.weight, step):
        return False
    if layer.constraint is not None:
        layer.constraint(layer.weight)
    return True


def _foreseen(layer: PlasticLayer, update: LocalUpdate) -> Tensor | None:
    """The divisor before the change is known, by the first bound of the weights that tells it."""
    foresee = getattr(layer.scaling, "foresee", None)
    if foresee is None:
        return None
    for top in layer.rows().bounds(update.outer[0].pre.shape[0]):
        divisor: Tensor | None = foresee(update, layer.weight, top, layer.coarse)
        if divisor is not None:
            return divisor
    return None


def _searched(layer: PlasticLayer) -> bool | None:
    """Whether the largest change must be found; ``None`` if the divisor needs all of it."""
    if hasattr(layer.scaling, "foresee"):
        return True
    return False if type(layer.scaling) is NeuronRMS else None


def _few(layer: PlasticLayer, update: LocalUpdate) -> Tensor | None:
    """The neurons that change, if the others need not be touched; ``None`` if they are many."""
    if not (getattr(layer.competition, "few", False) and getattr(layer.scaling, "idle", False)):
        return None
    if len(update.outer) != 1 or update.dense is not None or layer.wiring is not None:
        return None
    (outer,), weight = update.outer, layer.weight
    if outer.factor is not None:
        return None
    # On a GPU the host would have to wait for their number.
    if (
        outer.post.ndim != 2
        or isinstance(outer.pre, kernels.Patches)
        or weight.device.type != "cpu"
    ):
        return None
    if len(outer.post) * MOST > len(weight):
        return None
    changing = (outer.post != 0).any(0)
    if update.decay is not None:
        changing |= (update.decay != 0).any(0)
    return changing.nonzero()[:, 0]


def _of_few(
    layer: PlasticLayer, update: LocalUpdate, few: Tensor, step: Tensor | float, kept: State
) -> State:
    if not len(few):
        return kept
    (outer,), weight = update.outer, layer.weight[few]
    decay = None if update.decay is None else update.decay[:, few]
    own = update._replace(outer=(outer._replace(post=outer.post[:, few]),), decay=decay)
    delta = kernels.accumulate(own, weight, torch.empty_like(weight), None, layer.coarse)
    divisor, state = layer.scaling.divisor(delta, 1, kept)
    if isinstance(step, Tensor) and step.ndim > 1:
        step = step[few]
    if divisor is not None:
        step = step / divisor
    kernels.add_scaled(weight, delta, step)
    layer.weight[few] = weight
    if layer.constraint is not None:
        layer.constraint(layer.weight)
    return state


def _whole(layer: PlasticLayer, update: LocalUpdate, step: Tensor | float, kept: State) -> State:
    made = kernels.fresh(tuple(layer.weight.shape), layer.weight)
    delta = kernels.accumulate(update, layer.weight, made, layer.wiring, layer.coarse)
    if layer.peers is not None:
        layer.peers.add_up(delta)  # before anything looks at how large it is
    if layer.eligibility is not None:
        delta = layer.eligibility_trace.mul_(layer.eligibility.decay).add_(delta)
    divisor, state = layer.scaling.divisor(delta, layer.synapse.groups, kept)
    if divisor is not None:
        step = step / divisor
    rows = slice(layer.trained)  # of all neurons if None
    if isinstance(step, Tensor) and step.ndim > 1:
        step = step[rows]
    alone = layer.constraint is None and layer.trained is None
    if alone and kernels.keeps(layer.weight) and layer.rate.by_radius:  # the next rate will ask
        layer.remember(kernels.add_change(layer.weight, delta, step))
        return state
    kernels.add_scaled(layer.weight[rows], delta[rows], step)
    if layer.constraint is not None:
        layer.constraint(layer.weight[rows])
    return state


def change_own(
    layer: PlasticLayer, seen: Seen, post: Tensor, rate: Tensor | float, modulator: float | Tensor
) -> None:
    """Change what a layer's neurons learn beside their feed-forward weights.

    Args:
        layer: whose bias, lateral weights and thresholds change.
        seen: what it observed.
        post: the postsynaptic factors.
        rate: of its weights.
        modulator: third factor.
    """
    if layer.bias is not None:
        total, competitions, samples = post.sum(-2).reshape(-1), post.shape[-2], seen.samples
        if layer.peers is not None:
            counts = total.new_tensor([competitions, samples], dtype=torch.float64)
            layer.peers.add_up(total, counts)
            competitions, samples = map(int, counts.tolist())
        change = layer.bias.change(total, layer.prior, competitions, samples)
        change = change * rate * modulator
        layer.prior[: layer.trained] += change[: layer.trained]
    if layer.lateral is not None:
        changed = layer.lateral.change(seen.drive, layer.lateral_weight, modulator)
        layer.lateral_weight.copy_(changed)
    if layer.threshold is not None:
        spiking = layer.neuron is not None and layer.neuron.spikes
        active = neurons_last(seen.out if spiking and seen.out is not None else post)
        level = layer.get_buffer("level")
        if layer.peers is None:
            level.copy_(layer.threshold.adapt(active, level))
        else:
            moved = layer.threshold.adapt(active, torch.zeros_like(level))
            layer.peers.add_up(moved)
            level.add_(moved)


class _ByRows:
    """The step of some neurons from their own change, by a scaling that needs no more."""

    def __init__(self, layer: PlasticLayer, steps: Tensor, kept: State) -> None:
        self.scaling, self.steps, self.kept = layer.scaling, steps, kept
        self.parts: dict[int, State] = {}

    def __call__(self, rows: slice, change: Tensor) -> Tensor:
        own = {
            name: value[rows] if self._each(value) else value for name, value in self.kept.items()
        }
        divisor, self.parts[rows.start] = self.scaling.divisor(change, 1, own)
        return self.steps[rows] if divisor is None else self.steps[rows] / divisor

    def _each(self, value: Tensor) -> bool:
        return value.ndim > 0 and len(value) == len(self.steps)

    def state(self) -> State:
        """What the scaling keeps of all neurons."""
        found = [self.parts[start] for start in sorted(self.parts)]
        return {
            name: torch.cat([part[name] for part in found]) if self._each(value) else found[0][name]
            for name, value in self.kept.items()
        }
