"""SoftmaxReadout against scalar loops written from its equations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError


class Oracle:
    """The delta rule, one synapse at a time, in Python's float64."""

    def __init__(self, n_in: int, lr: float, adam: bool, betas: Any, eps: float) -> None:
        self.n_in, self.lr, self.adam, self.betas, self.eps = n_in, lr, adam, betas, eps
        self.labels: list[Any] = []
        self.w: list[list[float]] = []  # the last entry of a row is the bias
        self.m: list[list[float]] = []
        self.v: list[list[float]] = []
        self.updates = 0

    def scores(self, x: list[float]) -> list[float]:
        return [sum(w * i for w, i in zip(row, [*x, 1.0], strict=True)) for row in self.w]

    def learn(self, batch: list[list[float]], labels: list[Any]) -> None:
        for label in labels:
            if label is not None and label not in self.labels:
                self.labels.append(label)
                for table in (self.w, self.m, self.v):
                    table.append([0.0] * (self.n_in + 1))
        rows = [(x, y) for x, y in zip(batch, labels, strict=True) if y is not None]
        delta = [[0.0] * (self.n_in + 1) for _ in self.labels]
        for x, y in rows:
            scores = self.scores(x)
            top = max(scores)
            total = sum(math.exp(s - top) for s in scores)
            for j, label in enumerate(self.labels):
                error = (1.0 if label == y else 0.0) - math.exp(scores[j] - top) / total
                for i, value in enumerate([*x, 1.0]):
                    delta[j][i] += error * value / len(rows)
        self.updates += 1
        for j, row in enumerate(delta):
            for i, d in enumerate(row):
                self._move(j, i, d)

    def _move(self, j: int, i: int, d: float) -> None:
        if not self.adam:
            self.w[j][i] += self.lr * d
            return
        first, second = self.betas
        self.m[j][i] = first * self.m[j][i] + (1 - first) * d
        self.v[j][i] = second * self.v[j][i] + (1 - second) * d * d
        mean = self.m[j][i] / (1 - first**self.updates)
        square = self.v[j][i] / (1 - second**self.updates)
        self.w[j][i] += self.lr * mean / (math.sqrt(square) + self.eps)


@pytest.mark.parametrize("step", ["adam", "plain"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
def test_equals_the_scalar_loops(
    step: str, batch: int, dtype: torch.dtype, tolerance: float
) -> None:
    lr = 0.05
    readout = sh.SoftmaxReadout(3, lr=lr, step=step, betas=(0.8, 0.95), eps=1e-6).to(dtype)
    oracle = Oracle(3, lr, step == "adam", (0.8, 0.95), 1e-6)
    source = torch.Generator().manual_seed(0)
    # classes appear late, and some samples have no label
    stream: list[Any] = ["a", "b", "a", None, "c", "b", "a", "c", None, "d", "a", "b"] * 4
    for start in range(0, len(stream), batch):
        labels = stream[start : start + batch]
        x = torch.randn(batch, 3, generator=source, dtype=dtype)
        scores, seen = readout.observe(x)
        for row, values in zip(scores.tolist(), x.tolist(), strict=True):
            assert row == pytest.approx(oracle.scores(values), rel=tolerance, abs=tolerance)
        if any(label is not None for label in labels):
            oracle.learn(x.tolist(), labels)
            readout.learn(seen, labels)
    assert list(readout.labels) == oracle.labels == ["a", "b", "c", "d"]
    found = torch.cat([readout.weight, readout.bias[:, None]], 1)
    wanted = torch.tensor(oracle.w, dtype=dtype)
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    assert found.abs().max() > 0.1  # it has moved


def test_adam_equals_torchs_adam_on_the_cross_entropy() -> None:
    readout = sh.SoftmaxReadout(4, classes=3, lr=0.01).double()
    linear = torch.nn.Linear(4, 3, dtype=torch.float64)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    adam = torch.optim.Adam(linear.parameters(), lr=0.01)
    source = torch.Generator().manual_seed(1)
    for _ in range(50):
        x = torch.randn(5, 4, generator=source, dtype=torch.float64)
        y = torch.randint(3, (5,), generator=source)
        adam.zero_grad()
        torch.nn.functional.cross_entropy(linear(x), y).backward()
        adam.step()
        readout.learn(readout.observe(x)[1], y.tolist())
    torch.testing.assert_close(readout.weight, linear.weight.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(readout.bias, linear.bias.detach(), rtol=1e-9, atol=1e-9)


def test_it_learns_real_digits_in_one_pass() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    readout = sh.SoftmaxReadout(64, lr=0.01)
    right = 0
    for number, (row, label) in enumerate(zip(torch.tensor(x / 16).float(), y, strict=True)):
        scores, seen = readout.observe(row[None])
        if number >= len(x) // 2:
            right += readout.labels[int(scores.argmax())] == label
        readout.learn(seen, [int(label)])
    assert right / (len(x) - len(x) // 2) > 0.85


def test_without_moments_nothing_is_kept_for_them() -> None:
    readout = sh.SoftmaxReadout(3, classes=2, step="plain")
    assert {name for name, _ in readout.named_buffers()} == {"weight", "bias", "updates"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": -0.1}, "lr=-0.1"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"step": "sgd"}, "'adam', 'plain'"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\]=1.0"),
        ({"betas": (0.9, -0.1)}, r"betas\[1\]=-0.1"),
        ({"eps": 0}, "eps=0"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sh.SoftmaxReadout(3, **settings)
