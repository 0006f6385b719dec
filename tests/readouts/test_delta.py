"""DeltaReadout against scalar loops written from the equations of LMS and NLMS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import streamhebb as sh
from streamhebb.errors import ConfigError, DivergedError

F64 = torch.float64


def oracle(
    batches: Any, n_in: int, lr: float, eps: float | None, with_bias: bool
) -> tuple[list[Any], list[list[float]]]:
    """W <- W + eta / (eps + |x|^2) (target - W x) x^T, mean over a batch; without eps not divided.

    The bias is the last weight of a row, of a feature that is always 1.
    """
    labels: list[Any] = []
    w: list[list[float]] = []
    for batch, targets in batches:
        rows = [([*x, 1.0] if with_bias else x, y) for x, y in zip(batch, targets, strict=True)]
        rows = [(x, y) for x, y in rows if y is not None]
        for _, y in rows:
            if y not in labels:
                labels.append(y)
                w.append([0.0] * (n_in + with_bias))
        delta = [[0.0] * (n_in + with_bias) for _ in labels]
        for x, y in rows:
            energy = 1.0 if eps is None else eps + sum(value * value for value in x)
            for j, label in enumerate(labels):
                out = sum(a * b for a, b in zip(w[j], x, strict=True))
                error = (1.0 if label == y else 0.0) - out
                for i, value in enumerate(x):
                    delta[j][i] += lr / energy * error * value / len(rows)
        w = [[a + b for a, b in zip(*pair, strict=True)] for pair in zip(w, delta, strict=True)]
    return labels, w


def weights_of(readout: sh.DeltaReadout) -> torch.Tensor:
    if readout.bias is None:
        return readout.weight
    return torch.cat([readout.weight, readout.bias[:, None]], 1)


STREAMS = st.lists(
    st.integers(1, 3).flatmap(
        lambda b: st.tuples(
            hnp.arrays(float, (b, 3), elements=st.floats(-3, 3, width=32)),
            st.lists(st.sampled_from(["a", "b", "c", None]), min_size=b, max_size=b),
        )
    ),
    min_size=1,
    max_size=8,
)


@given(STREAMS, st.floats(0, 0.3), st.booleans(), st.booleans())
def test_equals_the_scalar_loops(stream: Any, lr: float, normalise: bool, with_bias: bool) -> None:
    readout = sh.DeltaReadout(3, lr=lr, normalise=normalise, eps=0.01, with_bias=with_bias).double()
    for x, labels in stream:
        readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
    batches = [(x.tolist(), labels) for x, labels in stream]
    labels, w = oracle(batches, 3, lr, 0.01 if normalise else None, with_bias)
    assert list(readout.labels) == labels
    wanted = torch.tensor(w, dtype=F64).reshape(len(labels), 3 + with_bias)
    torch.testing.assert_close(weights_of(readout), wanted, rtol=1e-12, atol=1e-12)


@given(hnp.arrays(float, (5, 4), elements=st.floats(-1e3, 1e3, width=32)), st.floats(0, 2))
def test_a_normalised_step_takes_its_share_off_the_error(x: Any, lr: float) -> None:
    readout = sh.DeltaReadout(4, classes=2, lr=lr, eps=1e-12).double()
    for number, row in enumerate(torch.from_numpy(x)[:, None]):
        label = number % 2
        target = torch.eye(2, dtype=F64)[[label]]
        scores, seen = readout.observe(row)
        readout.learn(seen, [label])
        torch.testing.assert_close(
            target - readout.respond(row), (1 - lr) * (target - scores), rtol=1e-6, atol=1e-6
        )


@given(STREAMS, st.sampled_from([2.0**-40, 2.0**-3, 2.0**5, 2.0**40]))
def test_without_bias_the_normalised_rule_does_not_mind_units(stream: Any, scale: float) -> None:
    plain = sh.DeltaReadout(3, with_bias=False, eps=1e-60).double()
    scaled = sh.DeltaReadout(3, with_bias=False, eps=1e-60).double()
    for x, labels in stream:
        x = np.where(np.abs(x) < 1e-3, 0, x)
        one, other = torch.from_numpy(x), torch.from_numpy(x) * scale
        torch.testing.assert_close(plain.respond(one), scaled.respond(other), atol=1e-9, rtol=1e-9)
        plain.learn(plain.observe(one)[1], labels)
        scaled.learn(scaled.observe(other)[1], labels)


@given(STREAMS)
def test_a_class_that_appears_late_is_learned_as_if_it_had_been_there(stream: Any) -> None:
    grown, known = sh.DeltaReadout(3).double(), sh.DeltaReadout(3, ["c", "b", "a"]).double()
    for x, labels in stream:
        for readout in (grown, known):
            readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
    order = [known.labels.index(label) for label in grown.labels]
    torch.testing.assert_close(grown.weight, known.weight[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_no_size_of_features_leaves_the_finite_numbers(scale: float) -> None:
    readout = sh.DeltaReadout(5, classes=2, lr=1.9, with_bias=scale < 1e3)
    source = torch.Generator().manual_seed(0)
    for number in range(300):
        x = scale * torch.randn(1, 5, generator=source)
        scores, seen = readout.observe(x)
        assert scores.isfinite().all()
        assert scores.abs().max() < 100
        readout.learn(seen, [number % 2])
    assert readout.weight.any()


def test_huge_features_are_learned() -> None:
    readout = sh.DeltaReadout(2, lr=1.0)
    x = torch.tensor([[1e30, 0.0], [0.0, -3e30]])
    for number in range(6):
        row = x[number % 2][None]
        readout.learn(readout.observe(row)[1], [number % 2])
    torch.testing.assert_close(readout.respond(x), torch.eye(2), atol=1e-4, rtol=0)


def test_too_large_a_plain_rate_is_noticed_by_the_net() -> None:
    net = sh.StreamNet(
        sh.ReLU(), readout=sh.DeltaReadout(4, lr=1.0, normalise=False), input_shape=(4,)
    )
    with pytest.raises(DivergedError, match="the readout is no longer finite"):
        for number in range(500):
            net.step(torch.full((4,), 2.0), number % 2)


def test_it_learns_real_digits_in_one_pass() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    readout = sh.DeltaReadout(64)
    right = 0
    for number, (row, label) in enumerate(zip(torch.tensor(x / 16).float(), y, strict=True)):
        scores, seen = readout.observe(row[None])
        if number >= len(x) // 2:
            right += readout.labels[int(scores.argmax())] == label
        readout.learn(seen, [int(label)])
    assert right / (len(x) - len(x) // 2) > 0.85


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": -0.1}, "lr=-0.1"),
        ({"lr": 2.1}, "lr=2.1 is not allowed; it must be a number >= 0 and <= 2"),
        ({"lr": -0.1, "normalise": False}, "lr=-0.1"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"eps": 0.0}, "eps=0.0"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sh.DeltaReadout(3, **settings)
    assert sh.DeltaReadout(3, lr=2.1, normalise=False).lr == 2.1
