"""LIFBox: the leaky integrate-and-fire neuron without a synaptic current."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from streamhebb.neurons import _norse
from streamhebb.neurons.base import require_times, require_voltages
from streamhebb.parts import State


@cache
def _parameters(tau_mem: float, v_leak: float) -> Any:
    # The reset comes later, so that the voltage before it can be handed over.
    return _norse.norse().box.LIFBoxParameters(
        tau_mem_inv=1 / tau_mem,
        v_leak=v_leak,
        method=_norse.METHOD,
        alpha=_norse.SHARPNESS,
        reset_method=lambda fired, voltage, v_reset, v_th: voltage,
    )


@dataclass(frozen=True)
class LIFBox:
    r"""Leaky integrate-and-fire neuron whose drive acts on the membrane at once, as a box.

    $$\dot v = \frac{1}{\tau_{mem}} (v_{leak} - v + u), \quad z = \Theta(v - v_{th})$$

    in Euler steps:

    $$v' = v_t + \frac{dt}{\tau_{mem}} (u_t + v_{leak} - v_t), \quad z_t = \Theta(v' - v_{th}),
      \quad v_{t+1} = (1 - z_t)\, v' + z_t\, v_{reset}$$

    Half the state and less work than [`LIF`][streamhebb.neurons.lif.LIF].

    Args:
        tau_mem: time constant of the membrane, in seconds.
        v_th: threshold; a spike is fired above it, not at it.
        v_reset: voltage after a spike.
        v_leak: voltage at rest.
        dt: seconds a step.

    Raises:
        ConfigError: for a number out of its range.
        MissingExtraError: at the first step, if norse is not installed.

    Example:
        >>> neuron = LIFBox()
        >>> out, voltage, state = neuron.step(torch.tensor([0.0, 20.0]), neuron.init(2))
        >>> out, voltage, state["v"]
        (tensor([0., 1.]), tensor([0., 2.]), tensor([0., 0.]))

    Reference:
        W. Gerstner, W. M. Kistler, R. Naud, L. Paninski, Neuronal Dynamics, Cambridge 2014,
        chapter 1.3. https://doi.org/10.1017/CBO9781107447615
    """

    spikes: ClassVar[bool] = True

    tau_mem: float = 0.01
    v_th: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    dt: float = 0.001

    def __post_init__(self) -> None:
        require_times("LIFBox", self.dt, tau_mem=self.tau_mem)
        require_voltages("LIFBox", self.v_th, self.v_reset, self.v_leak)

    def init(self, n_out: int) -> State:
        """Voltage at the leak."""
        return {"v": torch.full((n_out,), float(self.v_leak))}

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Return spikes, the voltage before the reset, and the next state."""
        box = _norse.norse().box
        parameters = _parameters(self.tau_mem, self.v_leak)._replace(
            v_th=_norse.raised(self.v_th, threshold)
        )
        fired, after = box.lif_box_feed_forward_step(
            drive, box.LIFBoxFeedForwardState(state["v"]), parameters, self.dt
        )
        return fired, after.v, {"v": _norse.reset(fired, after.v, self.v_reset)}
