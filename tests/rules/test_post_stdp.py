from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_spikes
from tests.spike_runs import F64, changes, close, normal, summed, trains


@given(
    n=st.integers(1, 3),
    n_in=st.integers(1, 4),
    n_out=st.integers(1, 3),
    nearest=st.booleans(),
    mu=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(
    n: int, n_in: int, n_out: int, nearest: bool, mu: float, seed: int
) -> None:
    x, y = trains(seed, 12, n, n_in), trains(seed + 1, 12, n, n_out)
    w = 0.5 + normal(seed + 2, n_out, n_in)
    options: dict[str, Any] = {
        "tau": 0.015, "target": 0.3, "mu": mu, "w_max": 1.2, "nearest": nearest, "dt": 0.002,
    }  # fmt: skip
    found = changes(sh.PostSTDP(**options), x, y, w)
    close(found, summed(oracles_spikes.post_stdp, x, y, w=w.tolist(), **options))


def test_only_a_spike_of_the_neuron_changes_anything() -> None:
    x, y = trains(1, 20, 1, 4), torch.zeros(20, 1, 2, dtype=F64)
    y[10, 0, 1] = 1
    dw = changes(sh.PostSTDP(), x, y, torch.full((2, 4), 0.5, dtype=F64))
    assert not dw[:10].any()
    assert not dw[11:].any()
    assert not dw[10, 0].any()
    assert dw[10, 1].all()


def test_weights_settle_where_the_trace_at_spikes_is_the_target() -> None:
    """Inputs seen before each spike grow to the upper bound, quiet ones fall."""
    x, y = torch.zeros(400, 1, 2, dtype=F64), torch.zeros(400, 1, 1, dtype=F64)
    x[::4, 0, 0] = y[1::4] = 1
    rule = sh.PostSTDP(tau=0.004, target=0.2, w_max=1.0)
    w = torch.full((1, 2), 0.5, dtype=F64)
    w = w + 0.1 * changes(rule, x, y, w, follow=False).sum(0) / 100
    assert float(w[0, 0]) > 0.5 > float(w[0, 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [("tau", 0), ("target", -1), ("mu", -1), ("w_max", None), ("nearest", 2), ("dt", -1e-3)],
)
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"PostSTDP: {name}="):
        sh.PostSTDP(**{name: value})
