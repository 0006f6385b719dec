"""Latent predictive learning: change little from one moment to the next, much over many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from streamhebb.parts import State, require, require_choice
from streamhebb.rules.slow import back, newborn, rows, share
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class LPL:
    r"""Predictive and Hebbian plasticity together learn what stays the same.

    $$\Delta w_{ji} = \Big[ -(y_j - y'_j) + \lambda\, \frac{y_j - \bar y_j}{\sigma_j^2 + \epsilon}
      - \beta \sum_{k \ne j} (y_k - \bar y_k)\, C_{jk} \Big] f'(u_j)\, x_i - \gamma\, w_{ji}$$

    with the neuron's output $y'$ one instant before, and running mean $\bar y$, variance
    $\sigma^2$ and covariance $C$ of its outputs. The first term, predictive, draws the output
    towards what it was; the second, Hebbian, keeps its variance up, so it cannot collapse; the
    third, if wanted, makes neurons differ. It looks at other neurons, is **not local**, and is then
    named so. The equation is that of the article's correction, with its constants taken into
    $\lambda$ and $\beta$.

    Statistics are updated with the present sample before they are used, by
    $a = \max(1 / age, 1 / \tau)$ as in [`RunningNorm`][streamhebb.layers.norm.RunningNorm]. At
    the first instant there is nothing to be predicted from, and the first term is 0.

    Args:
        hebbian: $\lambda \ge 0$.
        decorrelation: $\beta \ge 0$; above 0 the rule is not local.
        tau: updates over which mean, variance and covariance remember, at least 1.
        eps: $\epsilon > 0$.
        weight_decay: $\gamma \ge 0$.
        function: $f$ of the layer's competition, which must be the same
            [`Independent`][streamhebb.competition.Independent]: ``"linear"``, ``"relu"``,
            ``"sigmoid"`` or ``"tanh"``.

    Raises:
        ConfigError: for a value out of its range.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, Independent, LPL
        >>> layer = Dense(4, 2, rule=LPL(function="relu"), competition=Independent("relu"))
        >>> _, seen = layer.observe(torch.rand(1, 4))
        >>> layer.learn(seen)

    Reference:
        M. S. Halvagal, F. Zenke, The combination of Hebbian and predictive plasticity learns
        invariant object representations in deep sensory networks, Nature Neuroscience 26, 2023.
        https://doi.org/10.1038/s41593-023-01460-y; corrected in
        https://github.com/fmi-basel/latent-predictive-learning (erratum)
    """

    hebbian: float = 1.0
    decorrelation: float = 0.0
    tau: float = 100.0
    eps: float = 1e-4
    weight_decay: float = 0.0
    function: str = "linear"
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("hebbian", "decorrelation", "weight_decay"):
            require("LPL", name, getattr(self, name), at_least=0)
        require("LPL", "tau", self.tau, at_least=1)
        require("LPL", "eps", self.eps, above=0)
        require_choice("LPL", "function", self.function, ("linear", "relu", "sigmoid", "tanh"))

    @property
    def nonlocal_parts(self) -> tuple[str, ...]:
        """The decorrelation, if there is one."""
        return ("decorrelation",) if self.decorrelation else ()

    def init(self, n_in: int, n_out: int) -> State:
        """Statistics of nothing."""
        state = {"mean": torch.zeros(n_out), "variance": torch.zeros(n_out), "age": newborn()}
        more = {"covariance": torch.zeros(n_out, n_out)} if self.decorrelation else {}
        return state | more

    def rest(self, n_in: int, n_out: int) -> State:
        """No output before, and 0 for not knowing one."""
        return {"previous": torch.zeros(n_out), "known": torch.zeros(n_out)}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``(predictive + Hebbian + decorrelating) f'(u) x - decay w``."""
        post = rows(seen.post)
        statistics = self._statistics(post, state)
        apart = post - statistics["mean"]
        push = self.hebbian * apart / (statistics["variance"] + self.eps)
        if self.decorrelation:
            others = statistics["covariance"].clone().fill_diagonal_(0)
            push = push - self.decorrelation * (apart @ others)
        pull = state["known"] * (seen.post - state["previous"])
        change = (back(push, seen.post) - pull) * self._slope(seen.drive)
        decay = None
        if self.weight_decay:
            decay = seen.post.new_full(seen.post.shape, self.weight_decay)
        traces = {"previous": seen.post, "known": torch.ones_like(seen.post)}
        return LocalUpdate((Outer(change, seen.pre),), decay), statistics | traces

    def _statistics(self, post: Tensor, state: State) -> State:
        """Statistics that include these rows: running, and exact while they are young."""
        age = state["age"] + 1
        a = share(age, self.tau, post)
        present = post.mean(0)
        moved = present - state["mean"]
        spread = post - present
        variance = state["variance"] + a * moved**2
        variance = torch.lerp(variance, spread.square().mean(0), a)
        statistics = {"mean": state["mean"] + a * moved, "variance": variance, "age": age}
        if self.decorrelation:
            covariance = state["covariance"] + a * torch.outer(moved, moved)
            now = spread.mT @ spread / len(post)
            statistics["covariance"] = torch.lerp(covariance, now, a)
        return statistics

    def _slope(self, drive: Tensor) -> Tensor:
        """``f'(u)``."""
        match self.function:
            case "relu":
                return (drive > 0).to(drive.dtype)
            case "sigmoid":
                value = drive.sigmoid()
                return value * (1 - value)
            case "tanh":
                return 1 - drive.tanh() ** 2
        return torch.ones_like(drive)
