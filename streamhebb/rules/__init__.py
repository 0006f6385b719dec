"""Plasticity rules: one law a file, each the same on every kind of synapse."""

from streamhebb.rules.base import PlasticityRule
from streamhebb.rules.delta import Delta
from streamhebb.rules.hebb import Hebb
from streamhebb.rules.oja import Oja
from streamhebb.rules.softhebb import SoftHebb

__all__ = ["Delta", "Hebb", "Oja", "PlasticityRule", "SoftHebb"]
