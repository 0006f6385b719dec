from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles

F64 = torch.float64
SCALINGS: list[tuple[Any, Any]] = [
    (sh.NoScaling(), lambda history, groups: [1.0] * len(history[0])),
    (sh.LayerMax(), lambda history, groups: oracles.layer_max(history[-1], groups)),
    *((sh.NeuronRMS(m), lambda h, groups, m=m: oracles.neuron_rms(h, m)) for m in (1, 3, 100)),
    *((sh.NeuronMax(m), lambda h, groups, m=m: oracles.neuron_max(h, m)) for m in (1, 3, 100)),
]
local = pytest.mark.parametrize("scaling", [sh.NeuronRMS(5), sh.NeuronMax(5)], ids=repr)


def divisors(scaling: Any, deltas: Tensor) -> list[Tensor]:
    """The divisor of every step, one per neuron."""
    state, found = scaling.init(deltas.shape[1]), []
    for delta in deltas:
        divisor, state = scaling.divisor(delta, 1, state)
        found.append(divisor[:, 0])
    return found


@given(
    pair=st.sampled_from(SCALINGS),
    groups=st.sampled_from([1, 2, 4]),
    steps=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(pair: Any, groups: int, steps: int, seed: int) -> None:
    scaling, oracle = pair
    deltas = torch.randn(steps, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
    scaling64 = copy.deepcopy(scaling)
    state = {k: v.double() for k, v in scaling64.init(4).items()}
    history: list[Any] = []
    for delta in deltas:
        history.append(delta.tolist())
        before = {name: value.clone() for name, value in state.items()}
        divisor, after = scaling64.divisor(delta, groups, state)
        assert all(torch.equal(before[name], state[name]) for name in state), "state is read only"
        state = after
        step = delta if divisor is None else delta / divisor
        expected = delta / torch.tensor(oracle(history, groups), dtype=F64)[:, None]
        torch.testing.assert_close(step, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(5), sh.NeuronMax(5)], ids=repr)
def test_no_change_gives_no_step_and_no_nan(scaling: Any) -> None:
    delta = torch.zeros(4, 3)
    divisor, _ = scaling.divisor(delta, 2, scaling.init(4))
    assert torch.equal(delta / divisor, delta)


@pytest.mark.parametrize("groups", [1, 2])
def test_layer_max_makes_the_largest_step_one_per_group(groups: int) -> None:
    delta = torch.randn(4, 3) * torch.tensor([1.0, 10.0, 0.1, 0.3])[:, None]
    divisor, _ = sh.LayerMax().divisor(delta, groups, {})
    step = (delta / divisor).abs().view(groups, -1).amax(1)
    torch.testing.assert_close(step, torch.ones(groups))


def step_of(scaling: Any, rate: Any, x: Tensor, factor: float) -> Tensor:
    """Weight change of a layer whose raw change is ``factor`` times as large."""
    layer = sh.Dense(4, 3, rule=sh.Hebb(), scaling=scaling, rate=rate, init=sh.Normal(2.0))
    layer.reset(torch.Generator().manual_seed(0))
    layer.double()
    before = layer.weight.clone()
    for number in range(1, 4):  # a memory must be in the same units as what it divides
        _, seen = layer.observe(x * number)
        layer.learn(seen._replace(pre=seen.pre * factor))
    return layer.weight - before


@pytest.mark.parametrize("rate", [0.1, sh.NormRate(0.1)], ids=repr)
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(5), sh.NeuronMax(5)], ids=repr)
def test_the_size_of_the_raw_change_does_not_matter(scaling: Any, rate: Any) -> None:
    x = torch.rand(2, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    torch.testing.assert_close(step_of(scaling, rate, x, 1.0), step_of(scaling, rate, x, 1000.0))


def test_without_scaling_it_does() -> None:
    x = torch.rand(2, 4, dtype=F64)
    small = step_of(sh.NoScaling(), 1e-6, x, 1.0)
    torch.testing.assert_close(
        step_of(sh.NoScaling(), 1e-6, x, 10.0), 10 * small, rtol=0.05, atol=0
    )


@local
def test_a_local_scaling_never_looks_at_another_neuron(scaling: Any) -> None:
    assert scaling.local
    deltas = torch.randn(4, 3, 5)
    loud = deltas.clone()
    loud[:, 1] *= 1e4
    for one, other in zip(divisors(scaling, deltas), divisors(scaling, loud), strict=True):
        assert torch.equal(one[[0, 2]], other[[0, 2]])
        assert one[1] != other[1]


def test_layer_max_does_and_says_so() -> None:
    assert not sh.LayerMax().local
    delta = torch.randn(3, 5)
    quiet, _ = sh.LayerMax().divisor(delta, 1, {})
    delta[1] *= 1e4
    loud, _ = sh.LayerMax().divisor(delta, 1, {})
    assert loud > 100 * quiet


@local
def test_the_first_step_is_scaled_by_itself(scaling: Any) -> None:
    delta = torch.tensor([[3.0, -3.0], [0.5, 0.5]])
    assert divisors(scaling, delta[None])[0].tolist() == pytest.approx([3.0, 0.5])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS(), sh.NeuronMax()], ids=repr)
@pytest.mark.parametrize("power", [*range(-45, 18, 3), -300])
def test_a_first_step_is_never_large_however_small_the_change(
    scaling: Any, dtype: torch.dtype, power: int
) -> None:
    # Losers of a soft competition change by any amount down to the smallest number there is.
    delta = torch.tensor([[1.0, -0.5, 0.0], [0.3, 0.1, 0.2]], dtype=dtype) * 10.0**power
    divisor, _ = scaling.divisor(delta, 1, {k: v.to(dtype) for k, v in scaling.init(2).items()})
    assert float((delta / divisor).abs().max()) <= 3**0.5


def test_losers_with_the_smallest_shares_do_not_fling_their_weights() -> None:
    layer = sh.Dense(784, 200, init=sh.Normal(25.0))
    layer.reset(torch.Generator().manual_seed(0))
    chance = torch.Generator().manual_seed(1)
    for _ in range(20):
        layer.learn(layer.observe(4 * torch.rand(1, 784, generator=chance))[1])
    assert float(layer.radius().max()) < 50


@pytest.mark.parametrize("kind", [sh.NeuronRMS, sh.NeuronMax])
@pytest.mark.parametrize("memory", [0, 0.5, -1, float("inf"), "long"])
def test_bad_memory_is_named(kind: Any, memory: object) -> None:
    message = rf"{kind.__name__}: memory={memory!r} is not allowed; it must be a number >= 1"
    with pytest.raises(ConfigError, match=message):
        kind(memory)
