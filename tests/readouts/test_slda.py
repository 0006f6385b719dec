"""SLDAReadout against linear discriminant analysis of everything seen so far, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import streamhebb as sh
from streamhebb.errors import ConfigError

Array = np.ndarray[Any, Any]


def batch_lda(
    x: Array, labels: list[Any], probe: Array, shrinkage: float, toward: str = "identity"
) -> tuple[Array, Array]:
    """Covariance and log probabilities from the equations, in one go; classes as they came."""
    names = list(dict.fromkeys(labels))
    y = np.array([names.index(label) for label in labels])
    mu = np.stack([x[y == k].mean(0) for k in range(len(names))])
    sigma = sum(np.outer(a, a) for a in x - mu[y]) / len(x)
    v = 1.0 if toward == "identity" else np.trace(sigma) / len(sigma)
    inverse = np.linalg.inv((1 - shrinkage) * sigma + shrinkage * v * np.eye(x.shape[1]))
    w = mu @ inverse
    logits = probe @ w.T - 0.5 * (mu * w).sum(1)
    logits -= logits.max(1, keepdims=True)
    return sigma, logits - np.log(np.exp(logits).sum(1, keepdims=True))


def stream(seed: int, n_in: int, steps: int, batch: int) -> Any:
    """Correlated features; a new class every 10 steps."""
    source = np.random.default_rng(seed)
    mix, means = source.normal(size=(n_in, n_in)), source.normal(size=(steps // 10 + 1, n_in))
    for step in range(steps):
        y = source.integers(0, 1 + step // 10, batch)
        yield source.normal(size=(batch, n_in)) @ mix + means[y], y.tolist()


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("toward", ["identity", "variance"])
@pytest.mark.parametrize("shrinkage", [1e-2, 1.0])
def test_equals_the_batch_computation_after_every_sample(
    batch: int, toward: str, shrinkage: float
) -> None:
    readout = sh.SLDAReadout(6, shrinkage=shrinkage, toward=toward, lag=0.0).double()
    seen: list[Array] = []
    labels: list[Any] = []
    probe = np.random.default_rng(9).normal(size=(5, 6))
    for x, y in stream(0, 6, 40, batch):
        readout.learn(readout.observe(torch.from_numpy(x))[1], y)
        seen.append(x)
        labels += y
        if toward == "variance" and len(set(labels)) == len(labels):
            continue  # no variance to shrink toward
        sigma, wanted = batch_lda(np.concatenate(seen), labels, probe, shrinkage, toward)
        np.testing.assert_allclose(readout.covariance().numpy(), sigma, rtol=1e-10, atol=1e-12)
        found = readout.respond(torch.from_numpy(probe)).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert len(readout.labels) > 2  # classes did appear late


def test_shrinking_toward_the_variance_is_scikit_learns() -> None:
    readout = sh.SLDAReadout(5, classes=3, shrinkage=0.1, toward="variance", lag=0.0).double()
    source = np.random.default_rng(3)
    y = source.integers(0, 3, 200)
    x = source.normal(size=(200, 5)) @ source.normal(size=(5, 5)) + source.normal(size=(3, 5))[y]
    readout.learn(readout.observe(torch.from_numpy(x))[1], y.tolist())
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(x, y)
    logits = theirs.decision_function(x) - np.log(theirs.priors_)  # ours: equally likely classes
    wanted = torch.log_softmax(torch.from_numpy(logits), 1)
    torch.testing.assert_close(readout.respond(torch.from_numpy(x)), wanted, rtol=1e-8, atol=1e-8)


@st.composite
def sets(draw: Any) -> Any:
    count = draw(st.integers(1, 90))
    seed = draw(st.integers(0, 2**16))
    source = np.random.default_rng(seed)
    y = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return source.normal(size=(count, 3)) + np.array(y)[:, None], y


@given(sets(), st.randoms(use_true_random=False), st.integers(1, 80))
def test_order_and_batches_do_not_matter(data: Any, chance: Any, batch: int) -> None:
    """Also across the rows that wait before they enter the scatter matrix (room for 64)."""
    x, labels = data
    order = list(range(len(x)))
    chance.shuffle(order)
    one, other = (sh.SLDAReadout(3, 4, shrinkage=0.01, lag=0.2).double() for _ in range(2))
    rows = torch.from_numpy(x)
    for number, label in enumerate(labels):
        one.learn(one.observe(rows[[number]])[1], [label])
    for first in range(0, len(x), batch):
        part = order[first : first + batch]
        other.learn(other.observe(rows[part])[1], [labels[number] for number in part])
    assert torch.equal(one.counts, other.counts)
    torch.testing.assert_close(one.means, other.means, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(one.covariance(), other.covariance(), rtol=1e-10, atol=1e-11)


@given(
    sets(),
    hnp.arrays(float, (3, 3), elements=st.floats(-1, 1, width=16)),
    st.floats(-4, 4).map(lambda power: 10**power),
    st.floats(-100, 100),
)
def test_units_origin_and_rotation_do_not_matter(
    data: Any, mix: Any, scale: float, shift: float
) -> None:
    x, labels = data
    turn, _ = np.linalg.qr(mix + 3 * np.eye(3))
    moved = scale * (x @ turn + shift)
    settings: dict[str, Any] = {"shrinkage": 0.01, "toward": "variance", "lag": 0.0}
    here, there = (sh.SLDAReadout(3, **settings).double() for _ in range(2))
    if len(x) == len(set(labels)):
        return  # no variance to shrink toward
    here.learn(here.observe(torch.from_numpy(x))[1], labels)
    there.learn(there.observe(torch.from_numpy(moved))[1], labels)
    torch.testing.assert_close(
        here.respond(torch.from_numpy(x)),
        there.respond(torch.from_numpy(moved)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_lag_keeps_to_its_share_and_knows_a_new_class_at_once() -> None:
    readout = sh.SLDAReadout(4, lag=0.1)
    factors: set[int] = set()
    source = torch.Generator().manual_seed(0)
    for number in range(400):
        label = 5 if number == 300 else number % 3
        x = torch.randn(1, 4, generator=source) + 20 * (label == 5)
        readout.learn(readout.observe(x)[1], [label])
        total = int(readout.counts.sum())
        assert total - int(readout.factored) <= 0.1 * total
        assert ((readout.counts - readout.solved) <= 0.1 * readout.counts).all()
        factors.add(int(readout.factored))
        if number == 300:
            assert readout.labels[int(readout.respond(x).argmax())] == 5
    assert factors >= set(range(1, 10))  # every sample while they are few
    assert len(factors) < 60  # and rarely later


@pytest.mark.parametrize("toward", ["identity", "variance"])
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e-3, 1.0, 1e6, 1e15, 1e30])
def test_any_size_of_features_and_constant_ones(toward: str, scale: float) -> None:
    readout = sh.SLDAReadout(12, shrinkage=1e-4, toward=toward, lag=0.0)
    source = torch.Generator().manual_seed(0)
    right = 0
    for number in range(60):
        label = number % 3
        x = torch.randn(1, 12, generator=source) + 4 * torch.eye(3, 12)[[label]]
        x[:, 3:6] = 0
        x[:, 6:9] = 1000  # a constant, and far away
        x[:, 9:] = x[:, :3]  # the same once more
        x = scale * x
        scores, seen = readout.observe(x)
        assert scores.isfinite().all()
        shares = readout.probabilities(scores)
        if number:
            torch.testing.assert_close(shares.sum(1), torch.ones(1))
        right += number >= 30 and readout.labels[int(scores.argmax())] == label
        readout.learn(seen, [label])
    if toward == "variance" or scale >= 1e-3:  # else the identity drowns them
        assert right >= 27


def test_one_sample_a_class_is_the_nearest_mean() -> None:
    x = torch.tensor([[0.0, 1.0], [3.0, 3.0], [-4.0, 2.0]])
    for toward in ("identity", "variance"):
        readout = sh.SLDAReadout(2, toward=toward)
        readout.learn(readout.observe(x)[1], ["a", "b", "c"])
        probe = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
        nearest = torch.cdist(probe, x).argmin(1)
        assert torch.equal(readout.respond(probe).argmax(1), nearest)


def test_it_sees_through_correlation_that_the_nearest_mean_does_not() -> None:
    source = torch.Generator().manual_seed(0)
    settings: Any = {sh.SLDAReadout: {"shrinkage": 1e-4}, sh.NCMReadout: {}}
    right = dict.fromkeys(settings, 0)
    readouts = {kind: kind(2, **settings[kind]) for kind in right}
    for number in range(400):
        label = number % 2
        noise = torch.randn(1, 1, generator=source)
        x = 5 * torch.cat([noise, noise], 1) + torch.tensor([[label, -label]])
        x = x + 0.1 * torch.randn(1, 2, generator=source)
        for kind, readout in readouts.items():
            scores, seen = readout.observe(x)
            right[kind] += number >= 200 and readout.labels[int(scores.argmax())] == label
            readout.learn(seen, [label])
    assert right[sh.SLDAReadout] > 195
    assert right[sh.NCMReadout] < 180


def test_sums_do_not_drift_over_a_long_stream_in_float32() -> None:
    readout = sh.SLDAReadout(3, classes=2, shrinkage=1e-3, toward="identity")
    chance = np.random.default_rng(0)
    xs, ys = [], []
    for _ in range(1000):
        x = (100 + chance.normal(size=(100, 3)) * [1, 0.1, 0]).astype(np.float32)
        y = chance.integers(0, 2, 100)
        x[:, 1] += 0.1 * y.astype(np.float32)
        readout.learn(readout.observe(torch.from_numpy(x))[1], y.tolist())
        xs.append(x.astype(float))
        ys += y.tolist()
    both = np.concatenate(xs)
    names = list(dict.fromkeys(ys))
    sigma, _ = batch_lda(both, ys, both[:1], 1e-3)
    assert np.abs(readout.covariance().numpy() - sigma).max() < 1e-9
    probe = both[:200]
    _, wanted = batch_lda(both, ys, probe, 1e-3)
    found = readout.respond(torch.from_numpy(probe).float())[:, names]
    np.testing.assert_allclose(found.numpy(), wanted, atol=0.05)  # lag, and float32 samples


def test_it_learns_real_digits_in_one_pass() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    readout = sh.SLDAReadout(64, lag=0.05)  # pixels that are always 0 among them
    right = 0
    for number, (row, label) in enumerate(zip(torch.tensor(x / 16).float(), y, strict=True)):
        scores, seen = readout.observe(row[None])
        if number >= len(x) // 2:
            right += readout.labels[int(scores.argmax())] == label
        readout.learn(seen, [int(label)])
    assert right / (len(x) - len(x) // 2) > 0.9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shrinkage": 0.0}, "shrinkage=0.0 is not allowed; it must be a number > 0 and <= 1"),
        ({"shrinkage": 1.1}, "shrinkage=1.1"),
        ({"toward": "zero"}, "'identity', 'variance'"),
        ({"lag": -0.1}, "lag=-0.1"),
        ({"lag": 0.6}, "lag=0.6"),
        ({"lag": float("nan")}, "lag=nan"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sh.SLDAReadout(3, **settings)
