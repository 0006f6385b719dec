"""The window of pair STDP, measured from the running rule.

One neuron spikes once. One input for each lag spikes once, so many steps before or after it. What
the rule has changed at each synapse by the end is the window, to which two exponentials are fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.rules import STDP
from streamhebb.values import Activity


@dataclass(frozen=True)
class Window:
    """The measured window and what was fitted to it.

    Args:
        lag: seconds from the input's spike to the neuron's.
        change: of the weight, for each lag.
        tau_plus: fitted time constant of potentiation, seconds.
        tau_minus: of depression.
        a_plus: fitted change at lag 0.
        a_minus: fitted change, with its sign reversed, as the lag goes to 0 from below.
        apart: largest distance between the window and its fit, as a share of the largest change.
    """

    lag: tuple[float, ...]
    change: tuple[float, ...]
    tau_plus: float
    tau_minus: float
    a_plus: float
    a_minus: float
    apart: float


def measure(rule: STDP, reach: float = 0.1) -> Window:
    """Run one pair of spikes for each lag of up to ``reach`` seconds, and fit the window.

    Args:
        rule: additive or weight-dependent; weights start in the middle of its range.
        reach: largest lag, seconds.

    Raises:
        ConfigError: if fewer than two steps fit into ``reach``, or the rule changes nothing on
            one side.

    Example:
        >>> window = measure(STDP(tau_plus=0.015, tau_minus=0.03))
        >>> round(window.tau_plus, 6), round(window.tau_minus, 6)
        (0.015, 0.03)
    """
    steps = round(reach / rule.dt)
    if steps < 2:
        raise ConfigError(f"reach={reach!r} is not allowed; it must be at least {2 * rule.dt:g} s")
    lags = torch.arange(-steps, steps + 1)
    n_in = len(lags)
    weight = torch.full((1, n_in), (rule.w_min + rule.w_max) / 2, dtype=torch.float64)
    state = {k: v.double().expand(1, -1) for k, v in rule.rest(n_in, 1).items()}
    total, out = torch.zeros_like(weight), torch.empty_like(weight)
    for now in range(2 * steps + 1):
        pre = (steps - lags == now).double()[None]
        post = torch.full((1, 1), float(now == steps), dtype=torch.float64)
        update, state = rule.terms(Activity(pre, post, post, weight), state)
        total += kernels.accumulate(update, weight, out)
    change, seconds = total[0], lags.double() * rule.dt
    before, after = lags > 0, lags < 0  # lag 0 belongs to neither fit: a choice of the rule
    tau_plus, a_plus = _fit(seconds[before], change[before])
    tau_minus, a_minus = _fit(-seconds[after], -change[after])
    fitted = torch.where(
        before, a_plus * (-seconds / tau_plus).exp(), -a_minus * (seconds / tau_minus).exp()
    )
    apart = (fitted - change)[lags != 0].abs().max() / change.abs().max()
    return Window(
        tuple(seconds.tolist()),
        tuple(change.tolist()),
        tau_plus,
        tau_minus,
        a_plus,
        a_minus,
        float(apart),
    )


def _fit(distance: Tensor, size: Tensor) -> tuple[float, float]:
    """Time constant and height of an exponential, from a line through the logarithms."""
    seen = size > 0
    if int(seen.sum()) < 2:
        raise ConfigError("the rule changes nothing on one side of the window; give it an a > 0")
    line = torch.stack([distance[seen], torch.ones_like(distance[seen])], 1)
    slope, height = torch.linalg.lstsq(line, size[seen].log()[:, None]).solution[:, 0].tolist()
    return -1 / slope, math.exp(height)


def draw(window: Window, path: Path) -> Path:
    """Draw the window and its fit as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    # Matplotlib is slow to import.
    from streamhebb.pictures.style import BLUE, MUTED, ORANGE, new_figure, save, tidy

    note = "Change of a weight by one pair of spikes. Dots: the running rule. Lines: the fit."
    figure = new_figure(6.4, 4.2, "Window of pair STDP", note)
    axes = figure.add_subplot()
    lag, change = (torch.tensor(v, dtype=torch.float64) for v in (window.lag, window.change))
    for side, colour, tau, height in (
        (lag > 0, BLUE, window.tau_plus, window.a_plus),
        (lag < 0, ORANGE, window.tau_minus, -window.a_minus),
    ):
        x = lag[side]
        axes.plot(1000 * x, change[side], ".", color=colour, markersize=4)
        name = f"{height:+.3g} · exp(−|Δt| / {1000 * tau:.3g} ms)"
        axes.plot(1000 * x, height * (-x.abs() / tau).exp(), color=colour, linewidth=1, label=name)
    axes.plot([0], change[lag == 0], ".", color=MUTED, markersize=6, label="same step")
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlabel("Δt = t post − t pre, milliseconds")
    axes.set_ylabel("change of the weight")
    tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    return save(figure, path)
