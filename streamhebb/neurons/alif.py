"""ALIF: a leaky integrate-and-fire neuron whose threshold rises with each spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from streamhebb.neurons import _norse
from streamhebb.neurons.base import require_times, require_voltages
from streamhebb.parts import State, require


@dataclass(frozen=True)
class ALIF:
    r"""Leaky integrate-and-fire neuron with an adaptive threshold $b$.

    $$\dot v = \frac{1}{\tau_{mem}} (v_{leak} - v + i), \quad \dot i = -\frac{1}{\tau_{syn}} i,
      \quad \dot b = \frac{1}{\tau_{adapt}} (v_{th} - b), \quad z = \Theta(v - b)$$

    in Euler steps, as norse's LSNN takes them: unlike in [`LIF`][streamhebb.neurons.lif.LIF], the
    drive $u$ reaches the current at the end of the step and the voltage in the next one.

    $$v' = v_t + \frac{dt}{\tau_{mem}} (v_{leak} - v_t + i_t), \quad
      b' = b_t + \frac{dt}{\tau_{adapt}} (v_{th} - b_t), \quad z_t = \Theta(v' - b')$$

    $$v_{t+1} = (1 - z_t)\, v' + z_t\, v_{reset}, \quad
      b_{t+1} = b' + \beta z_t, \quad i_{t+1} = i_t - \frac{dt}{\tau_{syn}} i_t + u_t$$

    This adaptation lasts for one presentation (or goes on, in a layer that carries its state). A
    threshold that is learned over samples is a part of the layer.

    Args:
        tau_adapt: time constant of the threshold, in seconds.
        beta: how far a spike lifts the threshold.
        tau_mem: time constant of the membrane, in seconds.
        tau_syn: time constant of the synaptic current, in seconds.
        v_th: threshold at rest; a spike is fired above it, not at it.
        v_reset: voltage after a spike.
        v_leak: voltage at rest.
        dt: seconds a step.

    Raises:
        ConfigError: for a number out of its range.
        MissingExtraError: at the first step, if norse is not installed.

    Example:
        >>> neuron = ALIF(beta=0.5)
        >>> _, _, state = neuron.step(torch.tensor([20.0]), neuron.init(1))
        >>> out, voltage, state = neuron.step(torch.tensor([0.0]), state)
        >>> out, voltage, state["b"]
        (tensor([1.]), tensor([2.]), tensor([1.5000]))

    Reference:
        G. Bellec, D. Salaj, A. Subramoney, R. Legenstein, W. Maass, Long short-term memory and
        learning-to-learn in networks of spiking neurons, NeurIPS 2018.
        https://arxiv.org/abs/1803.09574
    """

    spikes: ClassVar[bool] = True

    tau_adapt: float = 0.2
    beta: float = 0.1
    tau_mem: float = 0.01
    tau_syn: float = 0.005
    v_th: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    dt: float = 0.001

    def __post_init__(self) -> None:
        require("ALIF", "beta", self.beta, at_least=0)
        constants = {"tau_adapt": self.tau_adapt, "tau_mem": self.tau_mem, "tau_syn": self.tau_syn}
        require_times("ALIF", self.dt, **constants)
        require_voltages("ALIF", self.v_th, self.v_reset, self.v_leak)

    def init(self, n_out: int) -> State:
        """Voltage at the leak, no current, threshold at rest."""
        return _norse.at_rest(self, n_out) | {"b": torch.full((n_out,), float(self.v_th))}

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Return spikes, the voltage before the reset, and the next state."""
        voltage, current = _norse.membrane(self, 0.0, state)
        b = state["b"] + self.dt * (1 / self.tau_adapt) * (self.v_th - state["b"])
        fired = _norse.spikes(voltage, b if threshold is None else b + threshold)
        v = _norse.reset(fired, voltage, self.v_reset)
        return fired, voltage, {"v": v, "i": current + drive, "b": b + fired * self.beta}
