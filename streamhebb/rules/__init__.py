"""Plasticity rules: one law a file, each the same on every kind of synapse."""

from streamhebb.rules.base import PlasticityRule
from streamhebb.rules.bcm import BCM
from streamhebb.rules.both import Both
from streamhebb.rules.delta import Delta
from streamhebb.rules.eprop import EProp
from streamhebb.rules.forward_forward import ForwardForward
from streamhebb.rules.hebb import Hebb
from streamhebb.rules.instar import Instar
from streamhebb.rules.lpl import LPL
from streamhebb.rules.oja import Oja
from streamhebb.rules.outstar import Outstar
from streamhebb.rules.pair_stdp import STDP
from streamhebb.rules.post_stdp import PostSTDP
from streamhebb.rules.sanger import Sanger
from streamhebb.rules.softhebb import SoftHebb
from streamhebb.rules.triplet_stdp import TripletSTDP

__all__ = [
    "BCM",
    "LPL",
    "STDP",
    "Both",
    "Delta",
    "EProp",
    "ForwardForward",
    "Hebb",
    "Instar",
    "Oja",
    "Outstar",
    "PlasticityRule",
    "PostSTDP",
    "Sanger",
    "SoftHebb",
    "TripletSTDP",
]
