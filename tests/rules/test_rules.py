"""Every rule through the kernel against its oracle, and what each is known for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels
from tests import oracles

F64 = torch.float64
RULES: list[tuple[Any, Any]] = [
    (sh.Hebb(), oracles.hebb),
    (sh.Oja(), oracles.oja),
    (sh.SoftHebb(), oracles.softhebb),
    (sh.Delta(), oracles.delta_rule),
    (sh.Delta(0.2), lambda x, y, u, w: oracles.delta_rule(x, y, u, w, 0.2)),
]


def change(rule: Any, seen: sh.Activity) -> Tensor:
    update, state = rule.terms(seen, {})
    assert state == {}
    return kernels.accumulate(update, seen.weight, torch.empty_like(seen.weight))


@given(
    pair=st.sampled_from(RULES),
    n=st.integers(1, 5),
    n_in=st.integers(1, 5),
    n_out=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_equals_the_oracle(pair: Any, n: int, n_in: int, n_out: int, seed: int) -> None:
    rule, oracle = pair
    chance = torch.Generator().manual_seed(seed)
    sizes = ((n, n_in), (n, n_out), (n, n_out), (n_out, n_in))
    x, y, u, w = (torch.randn(*size, generator=chance, dtype=F64) for size in sizes)
    expected = oracle(x.tolist(), y.tolist(), u.tolist(), w.tolist())
    found = change(rule, sh.Activity(x, y, u, w))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=F64), rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**31))
def test_softhebb_without_competition_is_oja(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    layers = [
        sh.Dense(4, 3, rule=rule, competition=sh.Independent(), rate=0.01).double()
        for rule in (sh.SoftHebb(), sh.Oja())
    ]
    layers[1].set_weight(layers[0].weight)
    for _ in range(5):
        x = torch.randn(2, 4, generator=chance, dtype=F64)
        for layer in layers:
            layer.learn(layer.observe(x)[1])
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_oja_finds_the_first_principal_component() -> None:
    chance = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=chance, dtype=F64) * torch.tensor([3.0, 1, 1, 0.5, 0.5, 1])
    data = torch.randn(4000, 6, generator=chance, dtype=F64) @ mixing.T
    first = torch.linalg.eigh(data.T @ data).eigenvectors[:, -1]
    layer = sh.Dense(
        6, 1, rule=sh.Oja(), rate=sh.LinearDecay(0.005, 4000), scaling=sh.NoScaling(),
        init=sh.Normal(0.5),
    )  # fmt: skip
    layer.reset(torch.Generator().manual_seed(1))
    layer.double()
    start = abs(float(layer.weight[0] @ first) / float(layer.radius()))
    for x in data:
        layer.learn(layer.observe(x[None])[1])
    assert start < 0.9, "the test begins too close to its answer"
    assert abs(float(layer.weight[0] @ first)) > 0.999
    assert float(layer.radius()) == pytest.approx(1, abs=0.02)


def test_softhebb_with_hard_competition_moves_the_winner_onto_its_cluster() -> None:
    chance = torch.Generator().manual_seed(0)
    centres = torch.eye(4)[:2]
    layer = sh.Dense(
        4, 2, competition=sh.HardWTA(), rate=0.05, scaling=sh.NoScaling(), init=sh.Positive(1.0)
    )
    layer.set_weight(torch.tensor([[0.6, 0.4, 0.5, 0.5], [0.4, 0.6, 0.5, 0.5]]))
    for t in range(600):
        x = centres[t % 2] + 0.05 * torch.randn(4, generator=chance)
        layer.learn(layer.observe(x[None])[1])
    torch.testing.assert_close(layer.weight, centres, atol=0.1, rtol=0)


def test_anti_hebbian_losers_are_pushed_away_from_what_they_see() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64)
    x = torch.tensor([[1.0, 0.2]], dtype=F64)
    u = x @ weight.T
    for anti, sign in ((False, 1), (True, -1)):
        y = sh.SoftWTA(anti_hebbian=anti)(u)
        dw = change(sh.SoftHebb(), sh.Activity(x, y, u, weight))
        assert float(dw[1, 0]) * sign > 0


def test_hebb_stores_a_pattern_in_one_shot() -> None:
    x, y = torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0]])
    dw = change(sh.Hebb(), sh.Activity(x, y, torch.zeros(1, 2), torch.zeros(2, 3)))
    assert dw.tolist() == [[0, 0, 0], [1, 0, 1]]


def test_the_delta_rule_reaches_its_target() -> None:
    weight = torch.zeros(1, 2, dtype=F64)
    x, target = torch.tensor([[1.0, 2.0]], dtype=F64), 3.0
    for _ in range(200):
        u = x @ weight.T
        weight += 0.05 * change(sh.Delta(), sh.Activity(x, target - u, u, weight))
    assert float(x @ weight.T) == pytest.approx(target)


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES], ids=repr)
def test_a_batch_is_the_sum_of_its_samples(rule: Any) -> None:
    seen = sh.Activity(
        torch.randn(4, 3, dtype=F64), torch.randn(4, 2, dtype=F64), torch.randn(4, 2, dtype=F64),
        torch.randn(2, 3, dtype=F64),
    )  # fmt: skip
    alone = [
        change(rule, sh.Activity(*(v[n : n + 1] for v in seen[:3]), seen.weight)) for n in range(4)
    ]
    torch.testing.assert_close(change(rule, seen), sum(alone))
