"""Networks that never stop learning: one sample in, every layer learns, a prediction out."""

from river.base import Classifier as _RiverClassifier

from streamhebb.bias import PriorBias
from streamhebb.competition import HardWTA, Independent, RankedSoftWTA, ShareWTA, SoftWTA
from streamhebb.init import Negative, Normal, Positive, Uniform
from streamhebb.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Exp,
    Flatten,
    L2Norm,
    Layer,
    MaxNorm,
    MaxPool2d,
    PlasticLayer,
    ReLU,
    RePU,
    RunningNorm,
    Sigmoid,
    Softmax,
    Tanh,
    Triangle,
    Winner,
)
from streamhebb.net import StreamNet
from streamhebb.rates import ConstantRate, ExponentialDecay, LinearDecay, NormRate
from streamhebb.readouts import (
    DeltaReadout,
    NCMReadout,
    PESReadout,
    Readout,
    RLSReadout,
    SLDAReadout,
    SoftmaxReadout,
)
from streamhebb.rules import Delta, Hebb, Oja, SoftHebb
from streamhebb.scaling import LayerMax, NeuronMax, NeuronRMS, NoScaling
from streamhebb.spec import build, load
from streamhebb.values import Activity, LocalUpdate, Outer, Sample, StepResult

# River asks isinstance(model, Classifier); a net has all its verbs without inheriting from it.
_RiverClassifier.register(StreamNet)

__all__ = [
    "Activity",
    "AvgPool2d",
    "BatchNorm",
    "ConstantRate",
    "Conv2d",
    "Delta",
    "DeltaReadout",
    "Dense",
    "Exp",
    "ExponentialDecay",
    "Flatten",
    "HardWTA",
    "Hebb",
    "Independent",
    "L2Norm",
    "Layer",
    "LayerMax",
    "LinearDecay",
    "LocalUpdate",
    "MaxNorm",
    "MaxPool2d",
    "NCMReadout",
    "Negative",
    "NeuronMax",
    "NeuronRMS",
    "NoScaling",
    "NormRate",
    "Normal",
    "Oja",
    "Outer",
    "PESReadout",
    "PlasticLayer",
    "Positive",
    "PriorBias",
    "RLSReadout",
    "RankedSoftWTA",
    "ReLU",
    "RePU",
    "Readout",
    "RunningNorm",
    "SLDAReadout",
    "Sample",
    "ShareWTA",
    "Sigmoid",
    "SoftHebb",
    "SoftWTA",
    "Softmax",
    "SoftmaxReadout",
    "StepResult",
    "StreamNet",
    "Tanh",
    "Triangle",
    "Uniform",
    "Winner",
    "build",
    "load",
]
