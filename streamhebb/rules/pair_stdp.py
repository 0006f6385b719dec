"""Spike-timing-dependent plasticity of pairs of spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State, require
from streamhebb.rules.traces import (
    decayed,
    heard,
    require_bounds,
    require_pairing,
    require_times,
    soft_bound,
)
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class STDP:
    r"""Pair STDP: a synapse grows if its input spikes before its neuron, and shrinks if after.

    With spikes $x_i$, $y_j$ (0 or 1) and a trace of each that decays with its own time constant,

    $$\Delta w_{ji}(t) = A_+ (w_{max} - w_{ji})^{\mu_+}\; y_j(t)\, \bar x_i(t)
      \;-\; A_- (w_{ji} - w_{min})^{\mu_-}\; \hat y_j(t)\, x_i(t)$$

    $$\hat y_j(t) = e^{-dt/\tau_-} \bar y_j(t - dt), \qquad \bar y_j(t) = \hat y_j(t) + y_j(t)$$

    and $\bar x_i$ likewise with $\tau_+$. One pair of spikes, $\Delta t = t_{post} - t_{pre}$
    apart, so gives the exponential window: $A_+ e^{-\Delta t/\tau_+}$ for $\Delta t \ge 0$, and
    $-A_- e^{\Delta t/\tau_-}$ for $\Delta t < 0$.

    **Two spikes in one step.** In a layer without delays an input spike can make its neuron spike
    in the same step, so by default such a pair counts as pre before post ($\Delta t = 0$): the
    input's trace hears this step's spikes before it is used, the neuron's after.
    ``simultaneous="ignore"`` leaves such pairs out, ``"both"`` counts them as both.

    **Bounds.** $\mu = 0$ is additive: nothing holds the weights, and hard bounds are a constraint
    of the layer. $\mu = 1$ is a soft bound; between them lies the family of Gütig et al.
    $\mu_+ = 0,\ \mu_- = 1$ is the rule of van Rossum et al. A weight outside its range has no
    room left that way, and is drawn back by the other term.

    Args:
        a_plus: $A_+ \ge 0$, potentiation of a pair at $\Delta t = 0$.
        a_minus: $A_- \ge 0$, depression of a pair at $\Delta t \to 0$.
        tau_plus: $\tau_+$ in seconds, of the input's trace.
        tau_minus: $\tau_-$ in seconds, of the neuron's trace.
        mu_plus: $\mu_+ \ge 0$, how potentiation slows down on the way to ``w_max``.
        mu_minus: $\mu_- \ge 0$, how depression slows down on the way to ``w_min``.
        w_min: lower bound of weights; used with ``mu_minus > 0`` only.
        w_max: upper bound; used with ``mu_plus > 0`` only.
        nearest: each spike pairs with the last one of the other side only, not with all.
        simultaneous: ``"potentiate"``, ``"ignore"`` or ``"both"``.
        dt: seconds per time step; the same as the neuron's.

    Raises:
        ConfigError: for a value out of its range.

    Example:
        >>> rule = STDP(a_plus=1.0, tau_plus=0.02)
        >>> spike, none, weight = torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(1, 1)
        >>> first = Activity(spike, none, none, weight)
        >>> _, traces = rule.terms(first, rule.rest(1, 1))
        >>> update, _ = rule.terms(Activity(none, spike, none, weight), traces)
        >>> update.outer[0].post * update.outer[0].pre  # one step of 1 ms later: exp(-1/20)
        tensor([[0.9512]])

    Reference:
        S. Song, K. D. Miller, L. F. Abbott, Nature Neuroscience 3, 2000.
        https://doi.org/10.1038/78829; A. Morrison, M. Diesmann, W. Gerstner (traces, pairings),
        Biol. Cybern. 98, 2008. https://doi.org/10.1007/s00422-008-0233-1; M. C. W. van Rossum,
        G. Q. Bi, G. G. Turrigiano, J. Neurosci. 20, 2000.
        https://doi.org/10.1523/JNEUROSCI.20-23-08812.2000; R. Gütig et al., J. Neurosci. 23,
        2003. https://doi.org/10.1523/JNEUROSCI.23-09-03697.2003
    """

    a_plus: float = 1.0
    a_minus: float = 1.05
    tau_plus: float = 0.02
    tau_minus: float = 0.02
    mu_plus: float = 0.0
    mu_minus: float = 0.0
    w_min: float = 0.0
    w_max: float = 1.0
    nearest: bool = False
    simultaneous: str = "potentiate"
    dt: float = 1e-3
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("a_plus", "a_minus", "mu_plus", "mu_minus"):
            require("STDP", name, getattr(self, name), at_least=0)
        require_times("STDP", self.dt, tau_plus=self.tau_plus, tau_minus=self.tau_minus)
        require_bounds("STDP", self.w_min, self.w_max)
        require_pairing("STDP", self.nearest, self.simultaneous)

    def init(self, n_in: int, n_out: int) -> State:
        """No slow state."""
        return {}

    def rest(self, n_in: int, n_out: int) -> State:
        """Traces of one sample that has not spiked yet."""
        return {"pre_trace": torch.zeros(n_in), "post_trace": torch.zeros(n_out)}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return potentiation and depression, and the traces after this step's spikes."""
        pre, post = seen.pre, seen.post
        before_pre = decayed(state["pre_trace"], self.tau_plus, self.dt)
        before_post = decayed(state["post_trace"], self.tau_minus, self.dt)
        after_pre = heard(before_pre, pre, self.nearest)
        after_post = heard(before_post, post, self.nearest)
        pre_trace = before_pre if self.simultaneous == "ignore" else after_pre
        post_trace = after_post if self.simultaneous == "both" else before_post
        grow = Outer(post * self.a_plus, pre_trace, soft_bound(True, self.w_max, self.mu_plus))
        shrink = Outer(
            post_trace * -self.a_minus, pre, soft_bound(False, self.w_min, self.mu_minus)
        )
        return LocalUpdate((grow, shrink)), {"pre_trace": after_pre, "post_trace": after_post}
