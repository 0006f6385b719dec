"""How well a net does: in the stream, in phases over a whole set, and by a probe."""

from streamhebb.evaluate.frozen import features
from streamhebb.evaluate.measures import LayerMeasures
from streamhebb.evaluate.neuron_labels import NeuronLabels
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.phases import plan_blocks, plan_phases, split_blocks, train_phases
from streamhebb.evaluate.prequential import Prequential, iter_prequential
from streamhebb.evaluate.probe import EpochResult, ProbeResult, linear_probe

__all__ = [
    "EpochResult",
    "LayerMeasures",
    "NeuronLabels",
    "Phase",
    "PhaseEpoch",
    "Prequential",
    "ProbeResult",
    "features",
    "iter_prequential",
    "linear_probe",
    "plan_blocks",
    "plan_phases",
    "split_blocks",
    "train_phases",
]
