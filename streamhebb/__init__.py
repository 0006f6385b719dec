"""Networks that never stop learning: one sample in, every layer learns, a prediction out."""

from river.base import Classifier as _RiverClassifier

from streamhebb.bias import PriorBias
from streamhebb.competition import HardWTA, Independent, RankedSoftWTA, ShareWTA, SoftWTA
from streamhebb.constraints import Clip, SynapticScaling
from streamhebb.eligibility import Eligibility
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.init import Negative, Normal, Positive, Uniform
from streamhebb.lateral import Lateral
from streamhebb.layers import (
    AvgPool2d,
    BatchNorm,
    ConstantCurrent,
    Conv2d,
    Delay,
    Dense,
    Exp,
    FirstSpike,
    Flatten,
    L2Norm,
    LastVoltage,
    Latency,
    Layer,
    LevelCrossing,
    MaxNorm,
    MaxPool2d,
    MeanVoltage,
    OverTime,
    PlasticLayer,
    Poisson,
    ReLU,
    RePU,
    RunningNorm,
    Sigmoid,
    Softmax,
    Sparse,
    SpikeCount,
    SpikeRate,
    Spiking,
    Tanh,
    Triangle,
    Winner,
)
from streamhebb.net import StreamNet
from streamhebb.neurons import ALIF, LI, LIF, LIFBox, LIFRefractory
from streamhebb.rates import ConstantRate, ExponentialDecay, LinearDecay, NormRate
from streamhebb.readouts import Readout, RLSReadout, SoftmaxReadout
from streamhebb.rules import Delta, Hebb, Oja, SoftHebb
from streamhebb.scaling import LayerMax, NeuronMax, NeuronRMS, NoScaling
from streamhebb.spec import build, load
from streamhebb.values import Activity, LocalUpdate, Outer, Sample, StepResult

# River asks isinstance(model, Classifier); a net has all its verbs without inheriting from it.
_RiverClassifier.register(StreamNet)

__all__ = [
    "ALIF",
    "LI",
    "LIF",
    "Activity",
    "AdaptiveThreshold",
    "AvgPool2d",
    "BatchNorm",
    "Clip",
    "ConstantCurrent",
    "ConstantRate",
    "Conv2d",
    "Delay",
    "Delta",
    "Dense",
    "Eligibility",
    "Exp",
    "ExponentialDecay",
    "FirstSpike",
    "Flatten",
    "HardWTA",
    "Hebb",
    "Independent",
    "L2Norm",
    "LIFBox",
    "LIFRefractory",
    "LastVoltage",
    "Latency",
    "Lateral",
    "Layer",
    "LayerMax",
    "LevelCrossing",
    "LinearDecay",
    "LocalUpdate",
    "MaxNorm",
    "MaxPool2d",
    "MeanVoltage",
    "Negative",
    "NeuronMax",
    "NeuronRMS",
    "NoScaling",
    "NormRate",
    "Normal",
    "Oja",
    "Outer",
    "OverTime",
    "PlasticLayer",
    "Poisson",
    "Positive",
    "PriorBias",
    "RLSReadout",
    "RankedSoftWTA",
    "ReLU",
    "RePU",
    "Readout",
    "RunningNorm",
    "Sample",
    "ShareWTA",
    "Sigmoid",
    "SoftHebb",
    "SoftWTA",
    "Softmax",
    "SoftmaxReadout",
    "Sparse",
    "SpikeCount",
    "SpikeRate",
    "Spiking",
    "StepResult",
    "StreamNet",
    "SynapticScaling",
    "Tanh",
    "Triangle",
    "Uniform",
    "Winner",
    "build",
    "load",
]
