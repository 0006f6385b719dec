from __future__ import annotations

import pytest
import torch
from hypothesis import given

import streamhebb as sh
from streamhebb.errors import ConfigError
from tests import oracles_rules as oracles
from tests.rules.helpers import F64, activities, change, close, grouped


@given(seen=activities())
def test_equals_the_oracle(seen: list[sh.Activity]) -> None:
    found, state = change(sh.Sanger(), seen[0])
    close(found, [row for group in grouped(seen[0]) for row in oracles.sanger(*group)])
    assert state == {}


@given(seen=activities())
def test_the_first_neuron_of_each_group_learns_by_oja(seen: list[sh.Activity]) -> None:
    each = seen[0].post.shape[-1]
    sanger, oja = (change(rule, seen[0])[0][::each] for rule in (sh.Sanger(), sh.Oja()))
    torch.testing.assert_close(sanger, oja, rtol=1e-12, atol=1e-12)


def test_finds_the_first_principal_components_in_order() -> None:
    chance = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(8, 8, generator=chance, dtype=F64))[0]
    scale = torch.tensor([3.0, 2.2, 1.5, 1.0, 0.4, 0.3, 0.2, 0.1], dtype=F64)
    data = torch.randn(4000, 8, generator=chance, dtype=F64) * scale @ axes.T
    wanted = torch.linalg.svd(data, full_matrices=False).Vh[:4]
    layer = sh.Dense(
        8, 4, rule=sh.Sanger(), rate=sh.LinearDecay(0.01, 4000), scaling=sh.NoScaling(),
        init=sh.Normal(0.5),
    )  # fmt: skip
    layer.reset(torch.Generator().manual_seed(1))
    layer.double()
    start = (layer.weight * wanted).sum(1).abs() / layer.radius()
    for x in data:
        layer.learn(layer.observe(x[None])[1])
    assert float(start.min()) < 0.5, "the test begins too close to its answer"
    assert float((layer.weight * wanted).sum(1).abs().min()) > 0.99
    torch.testing.assert_close(layer.radius(), torch.ones(4, dtype=F64), atol=0.05, rtol=0)


def test_its_look_at_other_neurons_is_named() -> None:
    assert "outputs of earlier neurons" in sh.Sanger().nonlocal_parts
    weight, x = torch.randn(3, 4, dtype=F64), torch.randn(1, 4, dtype=F64)
    y = x @ weight.T
    before, _ = change(sh.Sanger(), sh.Activity(x, y, y, weight))
    y[0, 1] += 1
    after, _ = change(sh.Sanger(), sh.Activity(x, y, y, weight))
    assert torch.equal(before[0], after[0]), "later neurons do not matter to earlier ones"
    assert not torch.equal(before[2], after[2]), "earlier ones do matter to later ones"


def test_neurons_with_inputs_of_their_own_are_refused() -> None:
    seen = sh.Activity(torch.ones(1, 6), torch.ones(1, 2), torch.ones(1, 2), torch.ones(2, 3))
    with pytest.raises(ConfigError, match=r"Sanger: neurons that see 3 of 6 inputs .*rule=Oja"):
        sh.Sanger().terms(seen, {})
    layer = sh.Sparse(6, 2, 3, rule=sh.Sanger())
    with pytest.raises(ConfigError, match="Sanger: neurons that see 3 of 6 inputs"):
        layer.learn(layer.observe(torch.ones(1, 6))[1])
