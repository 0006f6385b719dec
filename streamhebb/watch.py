"""Watching for weights that run away long before they overflow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from streamhebb.errors import RunawayWarning
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


def warn_of_runaways(named: Iterable[tuple[str, Layer]]) -> None:
    """Warn, once a layer, of neurons whose radius has grown beyond all measure.

    Nothing is changed: the weights are still finite, and whether to stop is the caller's choice.

    Args:
        named: names and layers.
    """
    for name, layer in named:
        if not isinstance(layer, PlasticLayer):
            continue
        limit = GROWTH * getattr(layer.init, "radius", 1.0)
        if float(layer.radius().max()) > limit:
            warnings.warn(
                f"{name}: weights run away; the radius of some neurons has passed {limit:g}. "
                f"Put a RunningNorm before the layer, lower its rate, or use LayerMax",
                RunawayWarning,
                stacklevel=4,  # whoever called step, past its no_grad wrapper
            )
