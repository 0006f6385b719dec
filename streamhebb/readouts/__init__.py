"""Readouts that learn in the stream."""

from streamhebb.readouts.base import Features, Readout
from streamhebb.readouts.delta import DeltaReadout
from streamhebb.readouts.ncm import NCMReadout
from streamhebb.readouts.pes import PESReadout
from streamhebb.readouts.rls import RLSReadout
from streamhebb.readouts.slda import SLDAReadout
from streamhebb.readouts.softhebb import SoftHebbReadout
from streamhebb.readouts.softmax import SoftmaxReadout

__all__ = [
    "DeltaReadout",
    "Features",
    "NCMReadout",
    "PESReadout",
    "RLSReadout",
    "Readout",
    "SLDAReadout",
    "SoftHebbReadout",
    "SoftmaxReadout",
]
