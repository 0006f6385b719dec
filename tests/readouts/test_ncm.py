"""NCMReadout against means taken over everything seen so far."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import streamhebb as sh
from streamhebb.errors import ConfigError

F64 = torch.float64


def oracle(
    samples: list[list[float]], labels: list[int], x: list[float], metric: str
) -> tuple[dict[int, float], float]:
    """Minus the distance to each class's mean, and the variance of a feature within a class."""

    def prepared(row: list[float]) -> list[float]:
        length = math.sqrt(sum(value * value for value in row))
        return [value / length if length else 0.0 for value in row] if metric == "cosine" else row

    n, within, scores, degrees = len(x), 0.0, {}, len(samples)
    for label in dict.fromkeys(labels):
        rows = [prepared(row) for row, y in zip(samples, labels, strict=True) if y == label]
        mean = [sum(row[i] for row in rows) / len(rows) for i in range(n)]
        within += sum((row[i] - mean[i]) ** 2 for row in rows for i in range(n))
        degrees -= 1
        direction, me = prepared(mean), prepared(x)
        scores[label] = -math.sqrt(sum((a - b) ** 2 for a, b in zip(me, direction, strict=True)))
    return scores, within / (degrees * n) if within else 1.0


@st.composite
def sets(draw: Any) -> Any:
    count = draw(st.integers(1, 12))
    whole = st.integers(-8, 8).map(float)
    x = draw(hnp.arrays(float, (count, 3), elements=whole))
    return x, draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))


@given(sets(), st.sampled_from(["euclidean", "cosine"]), st.integers(1, 5))
def test_equals_means_over_all_so_far(data: Any, metric: str, batch: int) -> None:
    x, labels = data
    readout = sh.NCMReadout(3, metric=metric).double()
    rows = torch.from_numpy(x)
    probe = torch.tensor([[1.0, -2.0, 0.5]], dtype=F64)
    for first in range(0, len(x), batch):
        last = min(first + batch, len(x))
        readout.learn(readout.observe(rows[first:last])[1], labels[first:last])
        scores, variance = oracle(x[:last].tolist(), labels[:last], probe[0].tolist(), metric)
        assert list(readout.labels) == list(scores)
        found = readout.respond(probe)[0]
        # A mean of directions that cancel has no direction of its own but that of rounding.
        lengths = readout.means.norm(dim=1)
        clear = lengths > 1e-6 if metric == "cosine" else lengths >= 0
        wanted = torch.tensor(list(scores.values()), dtype=F64)
        torch.testing.assert_close(found[clear], wanted[clear], rtol=1e-9, atol=1e-12)
        density = torch.softmax(-0.5 * wanted**2 / max(variance, 1e-12), 0)
        if clear.all() and (variance > 1e-9):
            shares = readout.probabilities(found[None])[0]
            torch.testing.assert_close(shares, density, rtol=1e-6, atol=1e-9)


@given(sets(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_and_batches_do_not_matter(data: Any, chance: Any, batch: int) -> None:
    x, labels = data
    order = list(range(len(x)))
    chance.shuffle(order)
    one, other = sh.NCMReadout(3, 4).double(), sh.NCMReadout(3, 4).double()
    rows = torch.from_numpy(x)
    for number, label in enumerate(labels):
        one.learn(one.observe(rows[[number]])[1], [label])
    for first in range(0, len(x), batch):
        part = order[first : first + batch]
        other.learn(other.observe(rows[part])[1], [labels[number] for number in part])
    for name, value in one.named_buffers():
        torch.testing.assert_close(value, getattr(other, name), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1.0, 1e10, 1e30])
def test_units_do_not_matter(metric: str, scale: float) -> None:
    plain, scaled = sh.NCMReadout(4, metric=metric), sh.NCMReadout(4, metric=metric)
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0)) + torch.eye(4).repeat(10, 1)
    for number, row in enumerate(x[:, None]):
        plain.learn(plain.observe(row)[1], [number % 4])
        scaled.learn(scaled.observe(scale * row)[1], [number % 4])
    here, there = plain.respond(x), scaled.respond(scale * x)
    assert there.isfinite().all()
    assert torch.equal(here.argmax(1), there.argmax(1))
    torch.testing.assert_close(
        scaled.probabilities(there), plain.probabilities(here), rtol=1e-3, atol=1e-5
    )


def test_one_sample_a_class_and_features_that_never_change() -> None:
    readout = sh.NCMReadout(3)
    x = torch.tensor([[7.0, 0.0, 1.0], [7.0, 0.0, 2.0], [7.0, 0.0, 4.0]])
    readout.learn(readout.observe(x)[1], [0, 1, 2])
    assert readout.respond(x).argmax(1).tolist() == [0, 1, 2]
    shares = readout.probabilities(readout.respond(x))
    torch.testing.assert_close(shares, torch.softmax(-0.5 * torch.cdist(x, x) ** 2, 1))
    for _ in range(3):  # and the same again: still no variance
        readout.learn(readout.observe(x)[1], [0, 1, 2])
    assert readout.probabilities(readout.respond(x)).isfinite().all()


def test_silence_has_no_direction() -> None:
    readout = sh.NCMReadout(3, metric="cosine")
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    readout.learn(readout.observe(x)[1], ["none", "a", "b"])
    scores = readout.respond(x)
    assert scores.isfinite().all()
    assert [readout.labels[i] for i in scores.argmax(1)] == ["none", "a", "b"]


def test_means_do_not_drift_over_a_long_stream_far_from_the_origin() -> None:
    readout = sh.NCMReadout(2, classes=2)
    chance = np.random.default_rng(0)
    total, seen = np.zeros((2, 2)), np.zeros(2)
    for _ in range(1000):
        x = (1000 + chance.normal(size=(100, 2))).astype(np.float32)
        y = chance.integers(0, 2, 100)
        x[:, 0] += 0.01 * y.astype(np.float32)
        readout.learn(readout.observe(torch.from_numpy(x))[1], y.tolist())
        for label in (0, 1):
            total[label] += x[y == label].astype(float).sum(0)
            seen[label] += (y == label).sum()
    assert readout.counts.tolist() == seen.tolist()
    assert np.abs(readout.means.numpy() - total / seen[:, None]).max() < 1e-9
    assert float(readout.width) == pytest.approx(1.0, rel=0.01)


def test_a_metric_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"metric='manhattan'.*'euclidean', 'cosine'"):
        sh.NCMReadout(3, metric="manhattan")
