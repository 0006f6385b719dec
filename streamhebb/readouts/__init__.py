"""Readouts that learn in the stream."""

from streamhebb.readouts.base import Features, Readout
from streamhebb.readouts.rls import RLSReadout
from streamhebb.readouts.softhebb import SoftHebbReadout
from streamhebb.readouts.softmax import SoftmaxReadout

__all__ = ["Features", "RLSReadout", "Readout", "SoftHebbReadout", "SoftmaxReadout"]
