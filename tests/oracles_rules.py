"""More rules as plain loops over plain numbers, written from the papers' equations.

As in ``oracles.py``: lists and ``math`` only, and nothing here imports streamhebb or torch.
``x[n][i]`` is what competition ``n`` sees, ``w[j][i]`` weights, ``u[n][j]`` drive, ``y[n][j]``
postsynaptic factor. Rules with memory take and return it as a dictionary of lists.
"""

from __future__ import annotations

import math
from typing import Any

from tests.oracles import Matrix, Vector, function, logistic, zeros


def outer(change: Matrix, x: Matrix, w: Matrix) -> Matrix:
    """dw_ji = sum_n change_nj x_ni."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += change[n][j] * x[n][i]
    return dw


def sanger(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Sanger 1989: dw_ji = sum_n y_nj (x_ni - sum_{k<=j} y_nk w_ki)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                explained = 0.0
                for k in range(j + 1):
                    explained += y[n][k] * w[k][i]
                dw[j][i] += y[n][j] * (x[n][i] - explained)
    return dw


def instar(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Grossberg 1976: dw_ji = sum_n y_nj (x_ni - w_ji)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += y[n][j] * (x[n][i] - w[j][i])
    return dw


def outstar(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Grossberg 1968: dw_ji = sum_n x_ni (y_nj - w_ji)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += x[n][i] * (y[n][j] - w[j][i])
    return dw


def forward_forward(
    x: Matrix, y: Matrix, u: Matrix, w: Matrix, theta: float, goodness: str, m: float
) -> Matrix:
    """Hinton 2022: ascent on log sigmoid(m (g - theta)), g the sum or the mean of y_j^2."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        each = 1 / len(w) if goodness == "mean" else 1.0
        g = each * sum(value**2 for value in y[n])
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += m * logistic(m * (theta - g)) * 2 * each * y[n][j] * x[n][i]
    return dw


# ---- rules with memory: one step, and what is remembered afterwards --------------------------


def running(old: float, present: float, age: int, tau: float) -> float:
    """A mean: plain while it is younger than tau updates, then exponential."""
    a = max(1 / age, 1 / tau)
    return old + a * (present - old)


def bcm(y: Matrix, memory: dict[str, Any], tau: float, form: str) -> tuple[Matrix, dict[str, Any]]:
    """Intrator, Cooper 1992: change_nj = y_nj (y_nj - theta_j); Law, Cooper 1994: over theta_j."""
    age = memory.get("age", 0) + 1
    old = memory.get("threshold", [0.0] * len(y[0]))
    threshold: Vector = []
    for j in range(len(y[0])):
        power = sum(row[j] ** 2 for row in y) / len(y)
        threshold.append(running(old[j], power, age, tau))
    change = zeros(len(y), len(y[0]))
    for n in range(len(y)):
        for j, theta in enumerate(threshold):
            change[n][j] = y[n][j] * (y[n][j] - theta)
            if form == "law" and theta != 0:
                change[n][j] /= theta
    return change, {"age": age, "threshold": threshold}


def slope(name: str, u: float) -> float:
    """f'(u)."""
    if name == "linear":
        return 1.0
    if name == "relu":
        return 1.0 if u > 0 else 0.0
    if name == "sigmoid":
        return function(name, u) * (1 - function(name, u))
    if name == "tanh":
        return 1 / math.cosh(u) ** 2
    raise KeyError(name)


def lpl(
    y: Matrix,
    u: Matrix,
    memory: dict[str, Any],
    *,
    hebbian: float,
    decorrelation: float,
    tau: float,
    eps: float,
    name: str,
) -> tuple[Matrix, dict[str, Any]]:
    """Halvagal, Zenke 2023, with the correction of their eq. 7.

    change_nj = (-(y_nj - y'_nj) + hebbian (y_nj - mean_j) / (var_j + eps)
      - decorrelation sum_{k != j} (y_nk - mean_k) C_jk) f'(u_nj).

    Statistics are those of the rows pooled with what is remembered: with m the mean before,
    mean' = (1-a) m + a mu and C'_jk = (1-a) (C_jk + a d_j d_k) + a S_jk, d = mu - m.
    """
    count, rows = len(y[0]), len(y)
    age = memory.get("age", 0) + 1
    a = max(1 / age, 1 / tau)
    before = memory.get("mean", [0.0] * count)
    cov = memory.get("covariance", zeros(count, count))
    mu = [sum(row[j] for row in y) / rows for j in range(count)]
    mean = [(1 - a) * before[j] + a * mu[j] for j in range(count)]
    now = zeros(count, count)
    for j in range(count):
        for k in range(count):
            s = sum((row[j] - mu[j]) * (row[k] - mu[k]) for row in y) / rows
            d = (mu[j] - before[j]) * (mu[k] - before[k])
            now[j][k] = (1 - a) * (cov[j][k] + a * d) + a * s
    change = zeros(rows, count)
    for n in range(rows):
        for j in range(count):
            total = hebbian * (y[n][j] - mean[j]) / (now[j][j] + eps)
            if "previous" in memory:
                total -= y[n][j] - memory["previous"][n][j]
            for k in range(count):
                if k != j:
                    total -= decorrelation * (y[n][k] - mean[k]) * now[j][k]
            change[n][j] = total * slope(name, u[n][j])
    return change, {"age": age, "mean": mean, "covariance": now, "previous": y}
