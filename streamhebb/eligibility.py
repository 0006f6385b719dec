"""Eligibility: a synapse remembers what it would have changed until a third factor arrives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamhebb.parts import require


@dataclass(frozen=True)
class Eligibility:
    r"""A trace of each synapse's wanted change; the modulator turns it into a real one.

    $$e_{ji} \leftarrow e^{-1/\tau} e_{ji} + \Delta w_{ji}, \qquad
      w_{ji} \leftarrow w_{ji} + \eta\, M\, e_{ji}$$

    Any rule on any synapse becomes a three-factor rule this way; pair STDP with it is
    reward-modulated STDP. Without a reward pass ``modulator=0``: the traces go on.

    The trace fades once for each sample. Where a sample is a presentation of many time steps, it
    counts as one.

    Args:
        tau: time constant, in samples.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Hebb, NoScaling
        >>> layer = Dense(2, 1, rule=Hebb(), eligibility=Eligibility(10.0), scaling=NoScaling())
        >>> layer.learn(layer.observe(torch.ones(1, 2))[1], modulator=0.0)  # no reward yet

    Reference:
        E. M. Izhikevich, Solving the distal reward problem through linkage of STDP and dopamine
        signaling, Cerebral Cortex 17, 2007. https://doi.org/10.1093/cercor/bhl152;
        N. Frémaux, W. Gerstner, Neuromodulated STDP and theory of three-factor learning rules,
        Front. Neural Circuits 9, 2016. https://doi.org/10.3389/fncir.2015.00085
    """

    tau: float

    def __post_init__(self) -> None:
        require("Eligibility", "tau", self.tau, above=0)

    @property
    def decay(self) -> float:
        """What is left of a trace after one sample."""
        return math.exp(-1 / self.tau)
