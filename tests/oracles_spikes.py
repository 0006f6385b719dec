"""Spike-timing rules once more, from spike times instead of traces, as plain loops.

Written from the papers' equations, with lists and ``math`` only. Nothing here may import
streamhebb or torch. Trains are ``x[t][i]``, ``y[t][j]`` for one sample: 0 or 1 for each time step.
Every function returns the changes of each step, ``dw[t][j][i]``, as sums over spikes of the past.
"""

from __future__ import annotations

import math

Train = list[list[float]]
Changes = list[list[list[float]]]


def blank(x: Train, y: Train) -> Changes:
    return [[[0.0] * len(x[0]) for _ in y[0]] for _ in x]


def echo(
    train: Train, unit: int, now: int, tau: float, dt: float, with_now: bool, nearest: bool
) -> float:
    """Sum over earlier spikes of exp(-(now - then) dt / tau); or of the last one only."""
    total = 0.0
    for then in range(now if with_now else now - 1, -1, -1):
        if train[then][unit]:
            total += train[then][unit] * math.exp(-(now - then) * dt / tau)
            if nearest:
                break
    return total


def room(distance: float, mu: float) -> float:
    return 1.0 if mu == 0 else max(0.0, distance) ** mu


def pair_stdp(
    x: Train, y: Train, w: list[list[float]], dt: float,
    a_plus: float, a_minus: float, tau_plus: float, tau_minus: float,
    mu_plus: float = 0.0, mu_minus: float = 0.0, w_min: float = 0.0, w_max: float = 1.0,
    nearest: bool = False, simultaneous: str = "potentiate",
) -> Changes:  # fmt: skip
    """Song et al. 2000; bounds of van Rossum et al. 2000 and Gütig et al. 2003."""
    dw = blank(x, y)
    for t in range(len(x)):
        for j in range(len(y[0])):
            for i in range(len(x[0])):
                change = 0.0
                if y[t][j]:
                    heard = echo(x, i, t, tau_plus, dt, simultaneous != "ignore", nearest)
                    change += a_plus * room(w_max - w[j][i], mu_plus) * heard * y[t][j]
                if x[t][i]:
                    heard = echo(y, j, t, tau_minus, dt, simultaneous == "both", nearest)
                    change -= a_minus * room(w[j][i] - w_min, mu_minus) * heard * x[t][i]
                dw[t][j][i] = change
    return dw


def post_stdp(
    x: Train, y: Train, w: list[list[float]], dt: float,
    tau: float, target: float, mu: float, w_max: float, nearest: bool = False,
) -> Changes:  # fmt: skip
    """Diehl and Cook 2015, equation 2: at each postsynaptic spike."""
    dw = blank(x, y)
    for t in range(len(x)):
        for j in range(len(y[0])):
            if not y[t][j]:
                continue
            for i in range(len(x[0])):
                trace = echo(x, i, t, tau, dt, True, nearest)
                dw[t][j][i] = y[t][j] * (trace - target) * room(w_max - w[j][i], mu)
    return dw


def triplet_stdp(
    x: Train, y: Train, dt: float,
    a2_plus: float, a3_plus: float, a2_minus: float, a3_minus: float,
    tau_plus: float, tau_minus: float, tau_x: float, tau_y: float,
    nearest: bool = False, simultaneous: str = "potentiate",
) -> Changes:  # fmt: skip
    """Pfister and Gerstner 2006, equations 3 and 4."""
    dw = blank(x, y)
    for t in range(len(x)):
        for j in range(len(y[0])):
            for i in range(len(x[0])):
                change = 0.0
                if y[t][j]:
                    r1 = echo(x, i, t, tau_plus, dt, simultaneous != "ignore", nearest)
                    o2 = echo(y, j, t, tau_y, dt, False, nearest)
                    change += y[t][j] * r1 * (a2_plus + a3_plus * o2)
                if x[t][i]:
                    o1 = echo(y, j, t, tau_minus, dt, simultaneous == "both", nearest)
                    r2 = echo(x, i, t, tau_x, dt, False, nearest)
                    change -= x[t][i] * o1 * (a2_minus + a3_minus * r2)
                dw[t][j][i] = change
    return dw


def eprop(
    x: Train, v: Train, feedback: list[float], dt: float, threshold: float, gamma: float,
    tau: float,
) -> Changes:  # fmt: skip
    """Bellec et al. 2020, LIF: B_j psi_j(t) times the low-pass filtered input."""
    dw = blank(x, v)
    for t in range(len(x)):
        for j in range(len(v[0])):
            psi = gamma / threshold * max(0.0, 1 - abs((v[t][j] - threshold) / threshold))
            for i in range(len(x[0])):
                trace = 0.0
                for s in range(t + 1):
                    trace += x[s][i] * math.exp(-(t - s) * dt / tau)
                dw[t][j][i] = feedback[j] * psi * trace
    return dw


def three_factor(dw: Changes, modulator: list[float], tau: float) -> list[list[float]]:
    """Izhikevich 2007: over steps, the sum of M(t) times the changes before, fading with tau."""
    total = [[0.0] * len(dw[0][0]) for _ in dw[0]]
    for t, factor in enumerate(modulator):
        for j in range(len(dw[0])):
            for i in range(len(dw[0][0])):
                for s in range(t + 1):
                    total[j][i] += factor * math.exp(-(t - s) / tau) * dw[s][j][i]
    return total
