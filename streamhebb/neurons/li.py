"""LI: the leaky integrator, a neuron that never spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from streamhebb.neurons import _norse
from streamhebb.neurons.base import require_times
from streamhebb.parts import State, require


@dataclass(frozen=True)
class LI:
    r"""Leaky integrator: the membrane of [`LIF`][streamhebb.neurons.lif.LIF] without a threshold.

    $$\dot v = \frac{1}{\tau_{mem}} (v_{leak} - v + i), \quad \dot i = -\frac{1}{\tau_{syn}} i$$

    Its output is its voltage. It reads spikes out smoothly, and is no source of them: a
    ``threshold`` given to ``step`` has no effect.

    Args:
        tau_mem: time constant of the membrane, in seconds.
        tau_syn: time constant of the synaptic current, in seconds.
        v_leak: voltage at rest.
        dt: seconds a step.

    Raises:
        ConfigError: for a number out of its range.
        MissingExtraError: at the first step, if norse is not installed.

    Example:
        >>> import torch
        >>> neuron = LI()
        >>> out, voltage, state = neuron.step(torch.tensor([0.0, 5.0]), neuron.init(2))
        >>> out
        tensor([0.0000, 0.5000])

    Reference:
        W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, Neuronal Dynamics, Cambridge 2014,
        chapter 1.3. https://doi.org/10.1017/CBO9781107447615
    """

    spikes: ClassVar[bool] = False

    tau_mem: float = 0.01
    tau_syn: float = 0.005
    v_leak: float = 0.0
    dt: float = 0.001

    def __post_init__(self) -> None:
        require_times("LI", self.dt, tau_mem=self.tau_mem, tau_syn=self.tau_syn)
        require("LI", "v_leak", self.v_leak)

    def init(self, n_out: int) -> State:
        """Voltage at the leak, no current."""
        return _norse.at_rest(self, n_out)

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Return the voltage twice, as output and as voltage, and the next state."""
        voltage, current = _norse.membrane(self, drive, state)
        return voltage, voltage, {"v": voltage, "i": current}
