"""Spike-timing-dependent plasticity of triplets of spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State, require
from streamhebb.rules.traces import decayed, heard, require_pairing, require_times
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class TripletSTDP:
    r"""Triplet STDP: pairs of spikes, and how long ago each side spiked before.

    $$\Delta w_{ji}(t) = y_j\, r_{1,i}\,(A_2^+ + A_3^+\, \hat o_{2,j})
      \;-\; x_i\, \hat o_{1,j}\,(A_2^- + A_3^-\, \hat r_{2,i})$$

    with four traces of spikes: $r_1$ ($\tau_+$) and $r_2$ ($\tau_x$) of the input, $o_1$
    ($\tau_-$) and $o_2$ ($\tau_y$) of the neuron. A hat is a trace just before this step's
    spikes, as in [`STDP`][streamhebb.rules.pair_stdp.STDP], which is the case
    $A_3^+ = A_3^- = 0$ and shares its ``simultaneous``; the slow traces $r_2$, $o_2$ always leave
    this step's spikes out. Potentiation grows with the rate of the neuron, so unlike pair STDP it
    explains why pairings at 50 Hz potentiate in either order, and those at 10 Hz do not.

    The defaults are fitted to visual cortex. Amplitudes are shares of the first weight: a layer
    whose weights are near 1 takes them with a rate of 1. Nothing bounds the weights: use a
    constraint of the layer.

    Args:
        a2_plus: $A_2^+ \ge 0$, potentiation of a pair.
        a3_plus: $A_3^+ \ge 0$, of a triplet post, pre, post.
        a2_minus: $A_2^- \ge 0$, depression of a pair.
        a3_minus: $A_3^- \ge 0$, of a triplet pre, post, pre.
        tau_plus: $\tau_+$ in seconds.
        tau_minus: $\tau_-$ in seconds.
        tau_x: $\tau_x$ in seconds.
        tau_y: $\tau_y$ in seconds.
        nearest: each trace remembers the last spike only.
        simultaneous: ``"potentiate"``, ``"ignore"`` or ``"both"``.
        dt: seconds per time step; the same as the neuron's.

    Raises:
        ConfigError: for a value out of its range.

    Example:
        >>> TripletSTDP.hippocampus().tau_x
        0.946

    Reference:
        J.-P. Pfister, W. Gerstner, Triplets of spikes in a model of spike timing-dependent
        plasticity, J. Neurosci. 26, 2006. https://doi.org/10.1523/JNEUROSCI.1425-06.2006
    """

    a2_plus: float = 5e-10
    a3_plus: float = 6.2e-3
    a2_minus: float = 7e-3
    a3_minus: float = 2.3e-4
    tau_plus: float = 0.0168
    tau_minus: float = 0.0337
    tau_x: float = 0.101
    tau_y: float = 0.125
    nearest: bool = False
    simultaneous: str = "potentiate"
    dt: float = 1e-3
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("a2_plus", "a3_plus", "a2_minus", "a3_minus"):
            require("TripletSTDP", name, getattr(self, name), at_least=0)
        taus = ("tau_plus", "tau_minus", "tau_x", "tau_y")
        require_times("TripletSTDP", self.dt, **{name: getattr(self, name) for name in taus})
        require_pairing("TripletSTDP", self.nearest, self.simultaneous)

    @classmethod
    def visual_cortex(cls, dt: float = 1e-3) -> TripletSTDP:
        """Fitted to slices of visual cortex: full model, all spikes (Pfister and Gerstner)."""
        return cls(dt=dt)

    @classmethod
    def hippocampus(cls, dt: float = 1e-3) -> TripletSTDP:
        """Fitted to hippocampal cultures: full model, all spikes (Pfister and Gerstner)."""
        return cls(
            a2_plus=6.1e-3,
            a3_plus=6.7e-3,
            a2_minus=1.6e-3,
            a3_minus=1.4e-3,
            tau_x=0.946,
            tau_y=0.027,
            dt=dt,
        )

    def init(self, n_in: int, n_out: int) -> State:
        """No slow state."""
        return {}

    def rest(self, n_in: int, n_out: int) -> State:
        """Traces of one sample that has not spiked yet."""
        return {
            "r1": torch.zeros(n_in),
            "r2": torch.zeros(n_in),
            "o1": torch.zeros(n_out),
            "o2": torch.zeros(n_out),
        }

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return potentiation and depression, and the traces after this step's spikes."""
        pre, post = seen.pre, seen.post
        taus = {"r1": self.tau_plus, "r2": self.tau_x, "o1": self.tau_minus, "o2": self.tau_y}
        before = {name: decayed(state[name], tau, self.dt) for name, tau in taus.items()}
        after = {
            name: heard(trace, pre if name in ("r1", "r2") else post, self.nearest)
            for name, trace in before.items()
        }
        r1 = (before if self.simultaneous == "ignore" else after)["r1"]
        o1 = (after if self.simultaneous == "both" else before)["o1"]
        grow = Outer(post * (self.a2_plus + self.a3_plus * before["o2"]), r1)
        shrink = Outer(-o1, pre * (self.a2_minus + self.a3_minus * before["r2"]))
        return LocalUpdate((grow, shrink)), after
