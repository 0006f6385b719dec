"""LIFRefractory: a leaky integrate-and-fire neuron that rests after each spike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from streamhebb.neurons import _norse
from streamhebb.neurons.base import require_times, require_voltages
from streamhebb.parts import State, require


@cache
def _parameters(steps: int) -> Any:
    norse = _norse.norse()
    lif = norse.lif.LIFParameters(method=_norse.METHOD, alpha=_norse.SHARPNESS)
    return norse.refractory.LIFRefracParameters(lif, float(steps))


@dataclass(frozen=True)
class LIFRefractory:
    r"""[`LIF`][streamhebb.neurons.lif.LIF] with an absolute refractory period.

    For $\rho$ steps after a spike the voltage is held and no spike is fired; the synaptic current
    goes on. With $h = \Theta(\rho_t)$:

    $$v_{t+1} = (1 - h)\, v^{LIF}_{t+1} + h\, v_t, \quad z_t = (1 - h)\, z^{LIF}_t, \quad
      \rho_{t+1} = (1 - z_t) \max(0, \rho_t - h) + z_t\, \rho_{reset}$$

    Args:
        refractory: how long a neuron rests, in seconds, rounded to whole steps.
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
        >>> neuron = LIFRefractory(refractory=0.002)
        >>> state, spikes = neuron.init(1), []
        >>> for _ in range(7):
        ...     out, voltage, state = neuron.step(torch.tensor([20.0]), state)
        ...     spikes.append(int(out))
        >>> spikes
        [1, 0, 0, 1, 0, 0, 1]

    Reference:
        W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, Neuronal Dynamics, Cambridge 2014,
        chapter 1.3. https://doi.org/10.1017/CBO9781107447615
    """

    spikes: ClassVar[bool] = True

    refractory: float = 0.005
    tau_mem: float = 0.01
    tau_syn: float = 0.005
    v_th: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    dt: float = 0.001

    def __post_init__(self) -> None:
        require("LIFRefractory", "refractory", self.refractory, at_least=0)
        require_times("LIFRefractory", self.dt, tau_mem=self.tau_mem, tau_syn=self.tau_syn)
        require_voltages("LIFRefractory", self.v_th, self.v_reset, self.v_leak)

    def init(self, n_out: int) -> State:
        """Voltage at the leak, no current, ready to spike."""
        return _norse.at_rest(self, n_out) | {"rho": torch.zeros(n_out)}

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Return spikes, the voltage before the reset (held while resting), and the next state."""
        refractory, lif = _norse.norse().refractory, _norse.norse().lif
        held, rho = state["v"], state["rho"]
        voltage, current = _norse.membrane(self, drive, state)
        fired = _norse.spikes(voltage, _norse.raised(self.v_th, threshold))
        before = lif.LIFFeedForwardState(held, state["i"])
        v, fired, rho_next = refractory.compute_refractory_update(
            refractory.LIFRefracFeedForwardState(before, rho),
            fired,
            _norse.reset(fired, voltage, self.v_reset),
            _parameters(round(self.refractory / self.dt)),
        )
        voltage = torch.where(rho > 0, held, voltage)
        return fired, voltage, {"v": v, "i": current, "rho": rho_next}
