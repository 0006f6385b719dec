"""What is taken from norse, imported when a neuron takes its first step.

norse's own step of a spiking neuron returns the voltage after the reset; a plasticity rule may
want the one before. So a neuron here is put together from the pieces of norse's step: the leaky
integrator, the threshold, the reset. The tests hold it to norse's whole step, bit for bit.

The threshold is asked for as ``heaviside``: norse's default brings a surrogate gradient, which
nothing here needs and which costs more than the rest of the step.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from streamhebb.errors import MissingExtraError
from streamhebb.parts import State

METHOD, SHARPNESS = "heaviside", 0.0  # of the threshold; the sharpness is of surrogates only


class Norse(NamedTuple):
    """The modules of norse that are used."""

    li: Any
    lif: Any
    box: Any
    refractory: Any
    threshold: Any
    reset: Any


@cache
def norse() -> Norse:
    """Import norse.

    Raises:
        MissingExtraError: it is not installed or does not load.
    """
    names = ("leaky_integrator", "lif", "lif_box", "lif_refrac", "threshold", "reset")
    try:
        with warnings.catch_warnings():
            # torch.jit is deprecated, and some modules of norse call it while they load.
            warnings.simplefilter("ignore", DeprecationWarning)
            return Norse(*(import_module(f"norse.torch.functional.{name}") for name in names))
    except ImportError as error:
        raise MissingExtraError("a spiking neuron", "spiking") from error


@cache
def _li_parameters(tau_syn: float, tau_mem: float, v_leak: float) -> Any:
    # Plain numbers, not tensors: a number takes on the precision of the state it meets.
    return norse().li.LIParameters(1 / tau_syn, 1 / tau_mem, v_leak)


class Leaky(Protocol):
    """The numbers of a membrane behind a synaptic current."""

    @property
    def tau_mem(self) -> float:
        """Time constant of the membrane, in seconds."""
        ...

    @property
    def tau_syn(self) -> float:
        """Time constant of the synaptic current, in seconds."""
        ...

    @property
    def v_leak(self) -> float:
        """Voltage at rest."""
        ...

    @property
    def dt(self) -> float:
        """Seconds a step."""
        ...


def at_rest(neuron: Leaky, n_out: int) -> State:
    """Return voltages at the leak, and no current."""
    return {"v": torch.full((n_out,), float(neuron.v_leak)), "i": torch.zeros(n_out)}


def membrane(neuron: Leaky, drive: Tensor | float, state: State) -> tuple[Tensor, Tensor]:
    """Return the voltage and the current of a leaky integrator one step later."""
    li = norse().li
    parameters = _li_parameters(neuron.tau_syn, neuron.tau_mem, neuron.v_leak)
    start = li.LIState(state["v"], state["i"])
    voltage, after = li.li_feed_forward_step(drive, start, parameters, neuron.dt)
    return voltage, after.i


def raised(v_th: float, threshold: Tensor | None) -> Tensor | float:
    """Return a neuron's threshold with what is added to it."""
    return v_th if threshold is None else v_th + threshold


def spikes(voltage: Tensor, threshold: Tensor | float) -> Tensor:
    """Return 1 where the voltage is above the threshold, else 0."""
    found: Tensor = norse().threshold.threshold(voltage - threshold, METHOD, SHARPNESS)
    return found


def reset(fired: Tensor, voltage: Tensor, v_reset: float) -> Tensor:
    """Return the voltage, set back where a spike was fired."""
    kept: Tensor = norse().reset.reset_value(fired, voltage, v_reset, None)
    return kept
