"""Networks that never stop learning: one sample in, every layer learns, a prediction out."""

from river.base import Classifier as _RiverClassifier

from streamhebb.bias import PriorBias
from streamhebb.competition import (
    HardWTA,
    Independent,
    RankedHardWTA,
    RankedSoftWTA,
    ShareWTA,
    SoftWTA,
)
from streamhebb.constraints import Clip, SynapticScaling
from streamhebb.eligibility import Eligibility
from streamhebb.homeostasis import AdaptiveThreshold
from streamhebb.init import Negative, Normal, Positive, Uniform
from streamhebb.lateral import Lateral
from streamhebb.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Delay,
    Dense,
    Exp,
    Flatten,
    L2Norm,
    Layer,
    MaxNorm,
    MaxPool2d,
    OverTime,
    PlasticLayer,
    ReLU,
    RePU,
    RunningNorm,
    Sigmoid,
    Softmax,
    Sparse,
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
    SoftHebbReadout,
    SoftmaxReadout,
)
from streamhebb.rules import STDP, Delta, EProp, Hebb, Oja, PostSTDP, SoftHebb, TripletSTDP
from streamhebb.scaling import LayerMax, NeuronMax, NeuronRMS, NoScaling
from streamhebb.spec import build, load
from streamhebb.values import Activity, LocalUpdate, Outer, Sample, StepResult

# River asks isinstance(model, Classifier); a net has all its verbs without inheriting from it.
_RiverClassifier.register(StreamNet)

__all__ = [
    "STDP",
    "Activity",
    "AdaptiveThreshold",
    "AvgPool2d",
    "BatchNorm",
    "Clip",
    "ConstantRate",
    "Conv2d",
    "Delay",
    "Delta",
    "DeltaReadout",
    "Dense",
    "EProp",
    "Eligibility",
    "Exp",
    "ExponentialDecay",
    "Flatten",
    "HardWTA",
    "Hebb",
    "Independent",
    "L2Norm",
    "Lateral",
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
    "OverTime",
    "PESReadout",
    "PlasticLayer",
    "Positive",
    "PostSTDP",
    "PriorBias",
    "RLSReadout",
    "RankedHardWTA",
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
    "SoftHebbReadout",
    "SoftWTA",
    "Softmax",
    "SoftmaxReadout",
    "Sparse",
    "StepResult",
    "StreamNet",
    "SynapticScaling",
    "Tanh",
    "Triangle",
    "TripletSTDP",
    "Uniform",
    "Winner",
    "build",
    "load",
]
