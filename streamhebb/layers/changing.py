"""How the weights of a layer change: by the whole matrix, or by a few neurons at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.layers import states
from streamhebb.parts import State
from streamhebb.values import LocalUpdate

if TYPE_CHECKING:
    from streamhebb.layers.plastic import PlasticLayer


def step_of(rate: Tensor | float, modulator: Tensor | float) -> Tensor | float:
    """Rate times modulator: one number, or shape ``(n_out, 1)``."""
    step = rate[:, None] if isinstance(rate, Tensor) else rate
    if isinstance(modulator, Tensor) or modulator != 1:
        step = step * modulator
    return step


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
    whole = layer.eligibility is not None or layer.trained is not None
    if whole or not kernels.in_cache(update, layer.weight, layer.wiring):
        return _whole(layer, update, step, kept)
    if update.decay is not None and update.decay.shape[0] > 1:
        update = update._replace(decay=update.decay.sum(0, keepdim=True))  # once for all
    steps = torch.as_tensor(step, dtype=layer.weight.dtype).expand(layer.weight.shape[0], 1)
    if layer.scaling.local:
        by_rows = _ByRows(layer, steps, kept)
        rows = kernels.change(update, layer.weight, by_rows, layer._spare, layer.coarse)
        state = by_rows.state()
    else:
        divisor = _foreseen(layer, update)
        if divisor is None:
            layer.unforeseen += 1
            return _whole(layer, update, step, kept)
        steps = steps / divisor
        rows = kernels.change(update, layer.weight, steps, layer._spare, layer.coarse)
        state = kept
    if layer.constraint is not None:
        layer.constraint(layer.weight)
    else:
        layer.remember(rows)
    return state


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


def _whole(layer: PlasticLayer, update: LocalUpdate, step: Tensor | float, kept: State) -> State:
    with layer._spare.lent(tuple(layer.weight.shape), layer.weight) as scratch:
        delta = kernels.accumulate(update, layer.weight, scratch, layer.wiring, layer.coarse)
        if layer.eligibility is not None:
            delta = layer.eligibility_trace.mul_(layer.eligibility.decay).add_(delta)
        divisor, state = layer.scaling.divisor(delta, layer.synapse.groups, kept)
        if divisor is not None:
            step = step / divisor
        rows = slice(layer.trained)  # of all neurons if None
        if isinstance(step, Tensor) and step.ndim > 1:
            step = step[rows]
        kernels.add_scaled(layer.weight[rows], delta[rows], step)
    if layer.constraint is not None:
        layer.constraint(layer.weight[rows])
    return state


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
