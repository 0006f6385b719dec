"""BCM: a threshold that slides with a neuron's own activity makes it selective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from streamhebb.parts import State, require, require_choice
from streamhebb.rules.slow import back, newborn, rows, share
from streamhebb.values import Activity, LocalUpdate, Outer


@dataclass(frozen=True)
class BCM:
    r"""Bienenstock-Cooper-Munro rule with a sliding threshold.

    $$\Delta w_{ji} = y_j\,(y_j - \theta_j)\,x_i \quad\text{(intrator)}, \qquad
      \Delta w_{ji} = \frac{y_j\,(y_j - \theta_j)}{\theta_j}\,x_i \quad\text{(law)}$$

    $$\theta_j \leftarrow \theta_j + a\,\big(\langle y_j^2 \rangle - \theta_j\big), \qquad
      a = \max(1 / age, 1 / \tau)$$

    Activity above the threshold strengthens the weights, activity below it weakens them. The
    threshold includes the present sample (mean over its pixels, or over a mini-batch); it is a
    plain mean while younger than ``tau``. Where $\theta_j = 0$ the neuron was never active, and
    nothing changes.

    The threshold must slide faster than the weights grow, else they run away: keep ``tau`` well
    below 1 / rate. Law and Cooper's form divides by the threshold, so it learns fast from weak
    activity and cautiously from strong.

    Args:
        tau: updates over which the threshold remembers, at least 1.
        form: ``"law"`` (Law, Cooper 1994) or ``"intrator"`` (Intrator, Cooper 1992).

    Raises:
        ConfigError: for a ``tau`` below 1 or another form.

    Example:
        >>> import torch
        >>> from streamhebb import BCM, Dense, Independent
        >>> layer = Dense(4, 2, rule=BCM(tau=50), competition=Independent("relu"), rate=0.001)
        >>> _, seen = layer.observe(torch.rand(1, 4))
        >>> layer.learn(seen)

    Reference:
        E. L. Bienenstock, L. N. Cooper, P. W. Munro, J. Neuroscience 2, 1982.
        https://doi.org/10.1523/JNEUROSCI.02-01-00032.1982; N. Intrator, L. N. Cooper, Neural
        Networks 5, 1992. https://doi.org/10.1016/S0893-6080(05)80003-6; C. C. Law, L. N. Cooper,
        PNAS 91, 1994. https://doi.org/10.1073/pnas.91.16.7797
    """

    tau: float = 100.0
    form: str = "law"
    competes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require("BCM", "tau", self.tau, at_least=1)
        require_choice("BCM", "form", self.form, ("law", "intrator"))

    def init(self, n_in: int, n_out: int) -> State:
        """Threshold 0, age 0."""
        return {"threshold": torch.zeros(n_out), "age": newborn()}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        """Return ``y (y - threshold) x``, and the threshold that was used."""
        post, age = rows(seen.post), state["age"] + 1
        power = post.square().mean(0)
        threshold = torch.lerp(state["threshold"], power, share(age, self.tau, power))
        change = post * (post - threshold)
        if self.form == "law":
            change = change / threshold.masked_fill(threshold == 0, 1)
        update = LocalUpdate((Outer(back(change, seen.post), seen.pre),))
        return update, {"threshold": threshold, "age": age}
