"""Spiking neurons: how currents become voltages and spikes, one time step after another."""

from streamhebb.neurons.alif import ALIF
from streamhebb.neurons.base import Neuron
from streamhebb.neurons.li import LI
from streamhebb.neurons.lif import LIF
from streamhebb.neurons.lif_box import LIFBox
from streamhebb.neurons.lif_refractory import LIFRefractory

__all__ = ["ALIF", "LI", "LIF", "LIFBox", "LIFRefractory", "Neuron"]
