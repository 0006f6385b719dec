"""What a plastic layer is made of, and whether the parts fit together."""

from __future__ import annotations

from typing import Any, TypedDict

import torch

from streamhebb.bias import PriorBias
from streamhebb.competition import Competition
from streamhebb.constraints import Constraint
from streamhebb.eligibility import Eligibility
from streamhebb.errors import ConfigError
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.init import Init
from streamhebb.lateral import Lateral
from streamhebb.neurons import Neuron
from streamhebb.parts import require_choice, require_part
from streamhebb.rates import Rate
from streamhebb.rules import PlasticityRule
from streamhebb.rules.base import modulated
from streamhebb.scaling import Scaling
from streamhebb.synapses import Synapse

# Parts of which a layer has one or none, and what is allowed instead of a wrong value.
OPTIONAL = {
    "bias": "PriorBias()",
    "neuron": "LIF()",
    "threshold": "AdaptiveThreshold(0.1)",
    "lateral": "Lateral(0.01)",
    "eligibility": "Eligibility(20.0)",
    "constraint": "Clip(0, 1)",
}
ALWAYS = {"scaling": "LayerMax()", "init": "Normal()"}


class Parts(TypedDict, total=False):
    """The keyword arguments that all plastic layers share.

    [`PlasticLayer`][streamhebb.layers.plastic.PlasticLayer] says what each of them is.
    """

    rule: PlasticityRule | None
    competition: Competition | None
    rate: Rate | float | None
    scaling: Scaling | None
    init: Init | None
    norm_p: float
    bias: PriorBias | None
    pre_triangle: bool
    trained: int | None
    neuron: Neuron | None
    threshold: AdaptiveThreshold | None
    lateral: Lateral | None
    eligibility: Eligibility | None
    constraint: Constraint | None
    carry: bool | None


def check_parts(layer: Any, synapse: Synapse) -> None:
    """Check the parts of a layer, each by itself and together.

    Raises:
        ConfigError: for a part that is out of its range, or parts that contradict each other.
    """
    name = type(layer).__name__
    require_choice(name, "pre_triangle", layer.pre_triangle, (True, False))
    require_choice(name, "carry", layer.carry, (None, True, False))
    n = layer.trained
    if n is not None and (type(n) is not int or not 1 <= n <= synapse.n_out):
        raise ConfigError(
            f"{name}: trained={n!r} is not allowed; it must be a whole number between 1 and "
            f"n_out={synapse.n_out}, or None for all"
        )
    for part, example in ALWAYS.items():
        require_part(name, part, getattr(layer, part), example)
    for part, example in OPTIONAL.items():
        if getattr(layer, part) is not None:
            require_part(name, part, getattr(layer, part), example)
    if layer.competition is not None:
        require_part(name, "competition", layer.competition, "HardWTA()")
        # One that cannot serve so many neurons says so now, not at the first sample.
        layer.competition(torch.zeros(1, synapse.n_out // synapse.groups))
    if layer.eligibility is not None and modulated(layer.rule):
        raise ConfigError(
            f"{name}: {layer.rule} uses the modulator itself, which contradicts "
            f"eligibility={layer.eligibility}; leave the eligibility out"
        )
    if layer.lateral is not None and synapse.groups > 1:
        raise ConfigError(f"{name}: lateral synapses do not reach across groups; use groups=1")
