"""LIF: the leaky integrate-and-fire neuron with a synaptic current."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from streamhebb.neurons import _norse
from streamhebb.neurons.base import require_times, require_voltages
from streamhebb.parts import State


@dataclass(frozen=True)
class LIF:
    r"""Leaky integrate-and-fire neuron, driven through a synaptic current that decays.

    $$\dot v = \frac{1}{\tau_{mem}} (v_{leak} - v + i), \quad \dot i = -\frac{1}{\tau_{syn}} i,
      \quad z = \Theta(v - v_{th})$$

    in Euler steps: the drive $u$ is added to the current first,

    $$i' = i_t + u_t, \quad
      v' = v_t + \frac{dt}{\tau_{mem}} (v_{leak} - v_t + i'), \quad
      z_t = \Theta(v' - v_{th})$$

    $$v_{t+1} = (1 - z_t)\, v' + z_t\, v_{reset}, \quad
      i_{t+1} = i' - \frac{dt}{\tau_{syn}} i'$$

    Args:
        tau_mem: time constant of the membrane, in seconds.
        tau_syn: time constant of the synaptic current, in seconds.
        v_th: threshold; a spike is fired above it, not at it.
        v_reset: voltage after a spike.
        v_leak: voltage at rest.
        dt: seconds a step.

    Raises:
        ConfigError: for a number out of its range.
        MissingExtraError: at the first step, if norse is not installed.

    Example:
        >>> import torch
        >>> neuron = LIF()
        >>> out, voltage, state = neuron.step(torch.tensor([0.0, 20.0]), neuron.init(2))
        >>> out, voltage, state["v"]
        (tensor([0., 1.]), tensor([0., 2.]), tensor([0., 0.]))

    Reference:
        W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, Neuronal Dynamics, Cambridge 2014,
        chapter 1.3. https://doi.org/10.1017/CBO9781107447615;
        norse, https://doi.org/10.5281/zenodo.4422025
    """

    spikes: ClassVar[bool] = True

    tau_mem: float = 0.01
    tau_syn: float = 0.005
    v_th: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    dt: float = 0.001

    def __post_init__(self) -> None:
        require_times("LIF", self.dt, tau_mem=self.tau_mem, tau_syn=self.tau_syn)
        require_voltages("LIF", self.v_th, self.v_reset, self.v_leak)

    def init(self, n_out: int) -> State:
        """Voltage at the leak, no current."""
        return _norse.at_rest(self, n_out)

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Return spikes, the voltage before the reset, and the next state."""
        voltage, current = _norse.membrane(self, drive, state)
        fired = _norse.spikes(voltage, _norse.raised(self.v_th, threshold))
        return fired, voltage, {"v": _norse.reset(fired, voltage, self.v_reset), "i": current}
