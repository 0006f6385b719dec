"""The contract of a spiking neuron."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.parts import State, require


class Neuron(Protocol):
    """A neuron in discrete time, the same for every synapse that feeds it.

    A neuron is a frozen dataclass of numbers in SI units (seconds; voltages and currents are
    dimensionless, with the threshold at 1 by default). It holds no state: the layer that uses it
    owns one tensor for each name that ``init`` gives, so state is saved, restored, reset and moved
    with the layer.

    Attributes:
        spikes: whether the output is 0 or 1; else it is a graded value.
    """

    spikes: ClassVar[bool]

    def init(self, n_out: int) -> State:
        """Return the state at rest, each tensor of shape ``(n_out,)``."""
        ...

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Go one time step on; changes nothing.

        Args:
            drive: input current, shape ``(..., n_out)``.
            state: what ``init`` or the step before returned, shapes ``(..., n_out)``.
            threshold: added to each neuron's own threshold, broadcast to ``drive``, or ``None``.

        Returns:
            The output, ``(..., n_out)``: 1 for a spike, else 0 (a neuron without spikes puts out
            its voltage); the voltage on which that was decided, before any reset; and the next
            state.
        """
        ...


def require_times(owner: str, dt: float, **constants: float) -> None:
    """Check a time step and the time constants it has to resolve.

    Raises:
        ConfigError: naming what is out of range.
    """
    for name, value in {"dt": dt, **constants}.items():
        require(owner, name, value, above=0)
    for name, value in constants.items():
        if dt > value:
            raise ConfigError(
                f"{owner}: dt={dt!r} is not allowed beside {name}={value!r}; a step must not be "
                f"longer than a time constant (both in seconds)"
            )


def require_voltages(owner: str, v_th: float, v_reset: float, v_leak: float) -> None:
    """Check the voltages of a neuron that spikes.

    Raises:
        ConfigError: naming what is out of range.
    """
    for name, value in {"v_th": v_th, "v_reset": v_reset, "v_leak": v_leak}.items():
        require(owner, name, value)
    if v_reset >= v_th:
        raise ConfigError(
            f"{owner}: v_reset={v_reset!r} is not allowed; it must lie below v_th={v_th!r}, or "
            f"the neuron would spike for ever"
        )
