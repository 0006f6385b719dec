"""Layers: those that learn weights, those that learn statistics, those that only compute."""

from streamhebb.layers.activation import Exp, ReLU, RePU, Sigmoid, Softmax, Tanh, Triangle, Winner
from streamhebb.layers.backprop import BackpropConv2d, BackpropDense
from streamhebb.layers.base import Layer
from streamhebb.layers.conv import Conv2d
from streamhebb.layers.decoders import (
    FirstSpike,
    LastVoltage,
    MeanVoltage,
    SpikeCount,
    SpikeRate,
)
from streamhebb.layers.delay import Delay
from streamhebb.layers.dense import Dense
from streamhebb.layers.encoders import ConstantCurrent, Latency, LevelCrossing, Poisson
from streamhebb.layers.makeup import Parts
from streamhebb.layers.neurons import Spiking
from streamhebb.layers.norm import BatchNorm, L2Norm, MaxNorm, RunningNorm
from streamhebb.layers.over_time import OverTime
from streamhebb.layers.plastic import PlasticLayer
from streamhebb.layers.shape import AvgPool2d, Flatten, MaxPool2d
from streamhebb.layers.sparse import Sparse

__all__ = [
    "AvgPool2d",
    "BackpropConv2d",
    "BackpropDense",
    "BatchNorm",
    "ConstantCurrent",
    "Conv2d",
    "Delay",
    "Dense",
    "Exp",
    "FirstSpike",
    "Flatten",
    "L2Norm",
    "LastVoltage",
    "Latency",
    "Layer",
    "LevelCrossing",
    "MaxNorm",
    "MaxPool2d",
    "MeanVoltage",
    "OverTime",
    "Parts",
    "PlasticLayer",
    "Poisson",
    "ReLU",
    "RePU",
    "RunningNorm",
    "Sigmoid",
    "Softmax",
    "Sparse",
    "SpikeCount",
    "SpikeRate",
    "Spiking",
    "Tanh",
    "Triangle",
    "Winner",
]
