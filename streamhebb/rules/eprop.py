"""e-prop: learning in spiking neurons from an error that is broadcast to all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from streamhebb.errors import ConfigError
from streamhebb.parts import State, require
from streamhebb.rules.traces import decayed, heard, require_times
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class EProp:
    r"""The local form of e-prop for leaky integrate-and-fire neurons.

    $$\Delta w_{ji}(t) = B_j\, e_{ji}(t), \qquad e_{ji}(t) = \psi_j(t)\, \bar x_i(t)$$

    $$\psi_j = \frac{\gamma}{v_{th}} \max\!\Big(0,\ 1 - \Big|\frac{v_j - v_{th}}{v_{th}}\Big|\Big),
      \qquad \bar x_i(t) = e^{-dt/\tau} \bar x_i(t - dt) + x_i(t)$$

    The eligibility $e_{ji}$ says how much this synapse could have changed the neuron's decision to
    spike, and $B_j$ is fixed random feedback. The layer multiplies in the modulator $m$: what
    should become *more*, for example target minus output. Together $B_j\, m(t)$ is the paper's
    learning signal. Spikes of the neuron, and so the competition, play no part.

    For one layer of LIF neurons whose reset is a subtraction of the threshold, the sum over time
    is the gradient (with $\psi$ for the derivative of the spike) of a loss whose derivative by
    each spike is $-B_j\, m(t)$. A readout that is leaky itself needs the eligibility filtered with
    its time constant: that is the layer's ``eligibility``. What is left out: synapses between the
    neurons; a refractory period, in which the paper sets $\psi$ to 0; and adaptive thresholds,
    whose eligibility is a second number for each synapse and sample that no outer product can
    say. The modulator is one number: with several outputs, each error would be a broadcast signal
    of its own.

    Args:
        threshold: $v_{th} > 0$ of the neuron, in its own units of voltage above rest.
        gamma: $\gamma > 0$, height of the pseudo-derivative.
        tau: membrane time constant of the neuron, in seconds.
        seed: draws the feedback $B_j$ from a normal distribution of variance 1.
        dt: seconds per time step; the same as the neuron's.

    Raises:
        ConfigError: for a value out of its range; and, when it learns, in a layer without voltage.

    Example:
        >>> rule = EProp()
        >>> x, v = torch.ones(1, 2), torch.tensor([[1.0, 0.5, 3.0]])
        >>> seen = Activity(x, v, v, torch.zeros(3, 2), voltage=v)
        >>> state = {"feedback": torch.ones(3), "pre_trace": torch.zeros(1, 2)}
        >>> rule.terms(seen, state)[0].outer[0].post  # full, half, and none of gamma
        tensor([[0.3000, 0.1500, 0.0000]])

    Reference:
        G. Bellec et al., A solution to the learning dilemma for recurrent networks of spiking
        neurons, Nature Communications 11, 3625, 2020. https://doi.org/10.1038/s41467-020-17236-y
    """

    threshold: float = 1.0
    gamma: float = 0.3
    tau: float = 0.02
    seed: int = 0
    dt: float = 1e-3
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("EProp", "threshold", self.threshold, above=0)
        require("EProp", "gamma", self.gamma, above=0)
        require("EProp", "seed", self.seed, at_least=0, at_most=2**63 - 1, whole=True)
        require_times("EProp", self.dt, tau=self.tau)

    def init(self, n_in: int, n_out: int) -> State:
        """The feedback, the same for the same seed."""
        return {"feedback": torch.randn(n_out, generator=Generator().manual_seed(self.seed))}

    def rest(self, n_in: int, n_out: int) -> State:
        """The trace of inputs that have not spiked yet."""
        return {"pre_trace": torch.zeros(n_in)}

    def pseudo_derivative(self, voltage: Tensor) -> Tensor:
        r"""Return $\psi$, which stands for the derivative of the spike by the voltage."""
        near = 1 - ((voltage - self.threshold) / self.threshold).abs()
        return near.clamp_min(0) * (self.gamma / self.threshold)

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return feedback times eligibility, and the trace with this step's spikes.

        Raises:
            ConfigError: in a layer of rate units, which have no voltage.
        """
        if seen.voltage is None:
            raise ConfigError(
                "EProp: voltage=None is not allowed; it learns from the membrane voltage: give "
                "the layer a spiking neuron"
            )
        psi = self.pseudo_derivative(seen.voltage)
        feedback = state["feedback"]
        if psi.ndim == 3:  # groups first
            feedback = feedback.view(psi.shape[0], 1, -1)
        trace = heard(decayed(state["pre_trace"], self.tau, self.dt), seen.pre)
        update = LocalUpdate((Outer(psi * feedback, trace),))
        return update, {"feedback": state["feedback"], "pre_trace": trace}
