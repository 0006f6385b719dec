"""How well a net does: in the stream, and by a probe on its frozen features."""

from streamhebb.evaluate.prequential import Prequential, iter_prequential
from streamhebb.evaluate.probe import EpochResult, ProbeResult, linear_probe

__all__ = ["EpochResult", "Prequential", "ProbeResult", "iter_prequential", "linear_probe"]
