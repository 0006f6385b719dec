"""Spike-timing-dependent plasticity that acts at postsynaptic spikes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State, require, require_choice
from streamhebb.rules.traces import decayed, heard, require_times, soft_bound
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class PostSTDP:
    r"""STDP at postsynaptic spikes: inputs that were active grow, all others shrink.

    $$\Delta w_{ji}(t) = y_j(t)\,(\bar x_i(t) - x_{target})\,(w_{max} - w_{ji})^{\mu}, \qquad
      \bar x_i(t) = e^{-dt/\tau} \bar x_i(t - dt) + x_i(t)$$

    This is how a spiking network learned MNIST without labels. Nothing happens without a spike of
    the neuron, so it is cheap, and a larger $x_{target}$ disconnects quiet inputs sooner. The
    trace hears an input's spike before it is used, so an input that spikes in the same step counts
    in full. Weights fall without limit: give the layer a constraint that keeps them above 0.

    Args:
        tau: of the input's trace, in seconds.
        target: $x_{target} \ge 0$, the trace at which a synapse stays as it is.
        mu: $\mu \ge 0$, how changes slow down on the way to ``w_max``; 0 not at all.
        w_max: upper bound; used with ``mu > 0`` only.
        nearest: a spike sets the trace to 1 instead of adding 1.
        dt: seconds per time step; the same as the neuron's.

    Raises:
        ConfigError: for a value out of its range.

    Example:
        >>> rule = PostSTDP(target=0.4)
        >>> x, y = torch.tensor([[1.0, 0.0]]), torch.ones(1, 1)
        >>> update, _ = rule.terms(Activity(x, y, y, torch.zeros(1, 2)), rule.rest(2, 1))
        >>> update.outer[0].pre
        tensor([[ 0.6000, -0.4000]])

    Reference:
        P. U. Diehl, M. Cook, Unsupervised learning of digit recognition using
        spike-timing-dependent plasticity, Front. Comput. Neurosci. 9:99, 2015.
        https://doi.org/10.3389/fncom.2015.00099
    """

    tau: float = 0.02
    target: float = 0.4
    mu: float = 1.0
    w_max: float = 1.0
    nearest: bool = False
    dt: float = 1e-3
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("PostSTDP", "target", self.target, at_least=0)
        require("PostSTDP", "mu", self.mu, at_least=0)
        require("PostSTDP", "w_max", self.w_max)
        require_times("PostSTDP", self.dt, tau=self.tau)
        require_choice("PostSTDP", "nearest", self.nearest, (True, False))

    def init(self, n_in: int, n_out: int) -> State:
        """No slow state."""
        return {}

    def rest(self, n_in: int, n_out: int) -> State:
        """The trace of inputs that have not spiked yet."""
        return {"pre_trace": torch.zeros(n_in)}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y (trace - target)``, bounded, and the trace after this step's spikes."""
        trace = heard(decayed(state["pre_trace"], self.tau, self.dt), seen.pre, self.nearest)
        factor = soft_bound(True, self.w_max, self.mu)
        return LocalUpdate((Outer(seen.post, trace - self.target, factor),)), {"pre_trace": trace}
