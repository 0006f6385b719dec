"""Neuron models: what becomes of the drive, over time."""

from streamhebb.neurons.base import Neuron

__all__ = ["Neuron"]
