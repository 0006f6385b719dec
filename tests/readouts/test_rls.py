"""RLSReadout against ridge regression in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb.errors import ConfigError

Array = np.ndarray[Any, Any]


class Ridge:
    """Solves the regularised normal equations anew after every step; float64."""

    def __init__(self, n_in: int, ridge: float, forget: float = 1.0) -> None:
        size = n_in + 1
        self.a = np.eye(size) * ridge
        self.b: dict[Any, Array] = {}
        self.size, self.ridge, self.forget, self.steps = size, ridge, forget, 0

    def learn(self, x: Array, labels: list[Any]) -> None:
        rows = np.hstack([x, np.ones((len(x), 1))])
        self.a = self.forget * self.a + rows.T @ rows
        for label in labels:
            self.b.setdefault(label, np.zeros(self.size))
        for label in self.b:
            hot = np.array([1.0 if y == label else 0.0 for y in labels])
            self.b[label] = self.forget * self.b[label] + rows.T @ hot
        if self.forget < 1:
            self._give_ridge_back()

    def _give_ridge_back(self) -> None:
        """A few features a step, in turn, each at least once in a memory of 1 / (1 - forget)."""
        many = min(self.size, math.ceil(self.size * (1 - self.forget)))
        rounds = math.ceil(self.size / many)
        for k in range(many):
            feature = ((self.steps % rounds) * many + k) % self.size
            self.a[feature, feature] += self.ridge * (1 - self.forget**rounds)
        self.steps += 1

    def weights(self, labels: Any) -> Array:
        return np.stack([np.linalg.solve(self.a, self.b[label]) for label in labels])


def stream(seed: int, n_in: int, steps: int, batch: int) -> Any:
    """Correlated features; a new class every 10 steps."""
    source = np.random.default_rng(seed)
    mix = source.normal(size=(n_in, n_in))
    for step in range(steps):
        known = 1 + step // 10
        yield source.normal(size=(batch, n_in)) @ mix, source.integers(0, known, batch).tolist()


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_equals_ridge_regression_after_every_sample(batch: int, ridge: float) -> None:
    readout = sh.RLSReadout(6, ridge=ridge).double()
    oracle = Ridge(6, ridge)
    seen_labels: set[int] = set()
    for x, labels in stream(0, 6, 60, batch):
        readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
        oracle.learn(x, labels)
        seen_labels |= set(labels)
        assert np.abs(readout.weight.numpy() - oracle.weights(readout.labels)).max() < 1e-9
    assert len(seen_labels) > 3  # classes did appear late
    assert np.abs(readout.inverse.numpy() - np.linalg.inv(oracle.a)).max() < 1e-9


def test_a_batch_is_its_samples_one_by_one() -> None:
    one, batch = sh.RLSReadout(5).double(), sh.RLSReadout(5).double()
    for x, labels in stream(1, 5, 30, 7):
        rows = torch.from_numpy(x)
        batch.learn(batch.observe(rows)[1], labels)
        for row, label in zip(rows, labels, strict=True):
            one.learn(one.observe(row[None])[1], [label])
    assert one.labels == batch.labels
    torch.testing.assert_close(one.weight, batch.weight, rtol=0, atol=1e-9)
    torch.testing.assert_close(one.inverse, batch.inverse, rtol=0, atol=1e-9)


@pytest.mark.parametrize("forget", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("batch", [1, 3])
def test_forgetting_equals_weighted_ridge_regression(forget: float, batch: int) -> None:
    readout = sh.RLSReadout(6, ridge=0.3, forget=forget).double()
    oracle = Ridge(6, 0.3, forget)
    for x, labels in stream(2, 6, 80, batch):
        readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
        oracle.learn(x, labels)
        assert np.abs(readout.weight.numpy() - oracle.weights(readout.labels)).max() < 1e-9


def test_forgetting_follows_a_change_that_memory_averages_over() -> None:
    right = {1.0: 0, 0.95: 0}
    for forget in right:
        readout = sh.RLSReadout(3, classes=2, forget=forget)
        source = torch.Generator().manual_seed(0)
        for step in range(400):
            x = torch.randn(1, 3, generator=source)
            label = int(x[0, 0] > 0) if step < 250 else int(x[0, 0] <= 0)  # the world turns over
            scores, seen = readout.observe(x)
            if step >= 300:
                right[forget] += int(scores.argmax()) == label
            readout.learn(seen, [label])
    assert right[0.95] > 85
    assert right[1.0] < 50


@pytest.mark.parametrize("forget", [0.9, 0.99])
@pytest.mark.parametrize("features", ["dead", "dependent"])
def test_forgetting_stays_bounded_where_features_say_nothing(forget: float, features: str) -> None:
    """Without care P grows as forget ** -steps here, and its asymmetry does even without this."""
    readout = sh.RLSReadout(6, classes=2, ridge=1.0, forget=forget)
    source = torch.Generator().manual_seed(0)
    mix = torch.randn(2, 6, generator=source)
    right = 0
    steps = round(42 / (1 - forget)) + 300
    for step in range(steps):
        hidden = torch.randn(1, 2, generator=source)
        x = hidden @ mix if features == "dependent" else torch.cat([hidden, torch.zeros(1, 4)], 1)
        label = int(hidden[0, 0] > 0)
        scores, seen = readout.observe(x)
        right += step >= steps - 200 and int(scores.argmax()) == label
        readout.learn(seen, [label])
    assert readout.inverse.abs().max() < 10  # 1 / ridge, up to the fading within one memory
    assert torch.linalg.eigvalsh(readout.inverse)[0] > 0
    assert right > 170


def test_float32_features_stay_close_to_the_exact_answer_over_a_long_stream() -> None:
    readout, exact = sh.RLSReadout(8), sh.RLSReadout(8).double()
    for x, labels in stream(3, 8, 1000, 1):
        kept = labels[0] % 4
        for each, dtype in ((readout, torch.float32), (exact, torch.float64)):
            each.learn(each.observe(torch.from_numpy(x).to(dtype))[1], [kept])
    assert readout.inverse.dtype == torch.float64
    torch.testing.assert_close(readout.weight.double(), exact.weight, rtol=0, atol=1e-4)


def test_scores_are_the_regressions_estimate_and_probabilities_are_positive() -> None:
    readout = sh.RLSReadout(2, classes=2, ridge=1e-6)
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    for _ in range(3):
        readout.learn(readout.observe(x)[1], [0, 1, 0, 1])
    torch.testing.assert_close(
        readout.respond(x), torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]]), atol=1e-3, rtol=0
    )
    assert readout.probabilities(torch.tensor([[-0.5, 1.5]])).min() > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ridge": 0}, "ridge=0"),
        ({"ridge": -1.0}, "ridge=-1.0"),
        ({"forget": 0.0}, "forget=0.0"),
        ({"forget": 1.1}, "forget=1.1"),
        ({"forget": float("nan")}, "forget=nan"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sh.RLSReadout(3, **settings)
