"""Watching for weights that run away long before they overflow."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from streamhebb.errors import DivergedError
from streamhebb.layers import Layer, PlasticLayer

EVERY = 1000
"""Samples between two looks: one look costs about as much as one step."""

GROWTH = 1000.0
"""A radius this many times its initial value cannot be meant; the rules' fixed point is 1."""


def due(before: int, after: int) -> bool:
    """Whether a multiple of ``EVERY`` lies above ``before`` and not above ``after``.

    Example:
        >>> due(999, 1000), due(1000, 1001), due(990, 1010)
        (True, False, True)
    """
    return before // EVERY < after // EVERY


def look_for_runaway(name: str, layer: Layer, learned: int) -> str | None:
    """Say so if some neurons of a layer have radii that have grown beyond all measure.

    Nothing is changed: the weights are still finite, and whether to stop is the caller's choice.

    Args:
        name: of the layer.
        layer: any; one without weights of its own cannot run away.
        learned: samples learned from so far.

    Returns:
        What to warn of, or ``None``.

    Raises:
        DivergedError: for weights that are no longer finite. Outputs show them at once, but not
            those of spiking neurons, which just fall silent.
    """
    if not isinstance(layer, PlasticLayer):
        return None
    limit = GROWTH * getattr(layer.init, "radius", 1.0)
    largest = float(layer.radius().max())  # NaN if any is
    if not math.isfinite(largest):
        raise diverged([(name, layer)], learned)
    if largest <= limit:
        return None
    return (
        f"{name}: weights run away; the radius of some neurons has passed {limit:g}. Put a "
        f"RunningNorm before the layer, lower its rate, or use LayerMax"
    )


def diverged(named: Iterable[tuple[str, nn.Module | None]], learned: int) -> DivergedError:
    """Return the error for activity that is not finite, naming the part that is at fault.

    Args:
        named: names and parts, in the order in which a fault spreads.
        learned: samples learned from so far.
    """
    culprit = "the activity"
    for name, part in named:
        if part is not None and not all(torch.isfinite(b).all() for b in part.buffers()):
            culprit = name
            break
    return DivergedError(
        f"{culprit} is no longer finite after {learned} samples; lower its rate or use a scaling "
        f"(NeuronRMS, LayerMax), and go back to the last snapshot"
    )
