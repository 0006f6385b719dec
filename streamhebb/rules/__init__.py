"""Plasticity rules: one law a file, each the same on every kind of synapse."""

from streamhebb.rules.base import PlasticityRule
from streamhebb.rules.delta import Delta
from streamhebb.rules.eprop import EProp
from streamhebb.rules.hebb import Hebb
from streamhebb.rules.oja import Oja
from streamhebb.rules.pair_stdp import STDP
from streamhebb.rules.post_stdp import PostSTDP
from streamhebb.rules.softhebb import SoftHebb
from streamhebb.rules.triplet_stdp import TripletSTDP

__all__ = [
    "STDP",
    "Delta",
    "EProp",
    "Hebb",
    "Oja",
    "PlasticityRule",
    "PostSTDP",
    "SoftHebb",
    "TripletSTDP",
]
