"""PESReadout against scalar loops, and beside the delta rule that it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import streamhebb as sh
from streamhebb.errors import ConfigError

BATCHES = st.lists(
    st.integers(1, 3).flatmap(
        lambda b: st.tuples(
            hnp.arrays(float, (b, 4), elements=st.floats(0, 2, width=32)),
            st.lists(st.sampled_from([0, 1, 2, None]), min_size=b, max_size=b),
        )
    ),
    min_size=1,
    max_size=8,
)


@given(BATCHES, st.floats(0, 1))
def test_equals_the_scalar_loops(stream: Any, kappa: float) -> None:
    """Nengo: decoders change by -kappa / n error activity, where error = actual - target."""
    readout = sh.PESReadout(4, classes=3, lr=kappa).double()
    d = [[0.0] * 4 for _ in range(3)]
    for x, labels in stream:
        readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
        rows = [(a, y) for a, y in zip(x.tolist(), labels, strict=True) if y is not None]
        change = [[0.0] * 4 for _ in range(3)]
        for a, y in rows:
            for k in range(3):
                actual = sum(d[k][i] * a[i] for i in range(4))
                error = actual - (1.0 if k == y else 0.0)
                for i in range(4):
                    change[k][i] += -kappa / 4 * error * a[i] / len(rows)
        d = [[d[k][i] + change[k][i] for i in range(4)] for k in range(3)]
    wanted = torch.tensor(d, dtype=torch.float64)
    torch.testing.assert_close(readout.weight, wanted, rtol=1e-12, atol=1e-12)


@given(BATCHES, st.floats(0, 1))
def test_it_is_the_delta_rule(stream: Any, kappa: float) -> None:
    pes = sh.PESReadout(4, lr=kappa).double()
    delta = sh.DeltaReadout(4, lr=kappa / 4, normalise=False, with_bias=False).double()
    for x, labels in stream:
        for readout in (pes, delta):
            readout.learn(readout.observe(torch.from_numpy(x))[1], labels)
    assert pes.labels == delta.labels
    torch.testing.assert_close(pes.weight, delta.weight, rtol=1e-12, atol=1e-12)


def test_one_rate_suits_populations_of_any_size() -> None:
    """Twice every neuron: decoders are halved, and the decoded values stay what they were."""
    small, large = sh.PESReadout(6, lr=0.5).double(), sh.PESReadout(12, lr=0.5).double()
    source = torch.Generator().manual_seed(0)
    for number in range(50):
        a = torch.rand(1, 6, generator=source, dtype=torch.float64)
        twice = torch.cat([a, a], 1)
        torch.testing.assert_close(small.respond(a), large.respond(twice))
        small.learn(small.observe(a)[1], [number % 3])
        large.learn(large.observe(twice)[1], [number % 3])
    assert small.weight.abs().max() > 0.05


@pytest.mark.parametrize(("share", "stays"), [(0.95, True), (1.05, False)])
def test_the_limit_of_the_rate_is_where_the_docstring_says(share: float, stays: bool) -> None:
    a = torch.rand(1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    readout = sh.PESReadout(8, classes=2, lr=share * 2 / float(a.square().mean())).double()
    for _ in range(300):
        readout.learn(readout.observe(a)[1], [1])
    error = readout.respond(a) - torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert bool(error.abs().max() < 1e-3) == stays


@pytest.mark.parametrize("lr", [-1.0, float("inf"), "fast", None])
def test_settings_out_of_range(lr: Any) -> None:
    with pytest.raises(ConfigError, match="PESReadout: lr=.* must be a number >= 0"):
        sh.PESReadout(3, lr=lr)
