"""How well a net does: in the stream, in phases over a whole set, by a probe, and under attack."""

from streamhebb.evaluate.attacks import fgsm, net_scores, noise, pgd
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
    "fgsm",
    "iter_prequential",
    "linear_probe",
    "net_scores",
    "noise",
    "pgd",
    "plan_blocks",
    "plan_phases",
    "split_blocks",
    "train_phases",
]
