"""torch counts writes; what is made of the counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import streamhebb as sh
from streamhebb.versions import Outputs, difference, look, tensors, version


def test_writes_are_counted_whatever_view_or_thread_makes_them() -> None:
    x = torch.zeros(4)
    with torch.no_grad():
        x.add_(1)
        x[1:].mul_(2)
        x.detach()[0] = 3
        torch.add(x, 1, out=x)
    assert version(x) == version(x[:2]) == 4


def test_what_does_not_count_has_version_0() -> None:
    with torch.inference_mode():
        x = torch.zeros(3).add_(1)
    assert version(x) == version(None) == version("spikes") == 0


def test_a_layer_that_learns_is_seen_to_have_written() -> None:
    layer = sh.Dense(3, 2)
    modules = list(layer.modules())
    before = look(modules)
    assert {name for _, name in before} == {name for name, _ in layer.named_buffers()}
    layer.respond(torch.rand(1, 3))
    assert difference(before, look(modules)) is None
    layer.learn(layer.observe(torch.rand(1, 3))[1])
    assert difference(before, look(modules)) is not None


def test_the_first_difference_is_named() -> None:
    module = nn.Module()
    module.register_buffer("a", torch.zeros(2))
    module.register_buffer("b", torch.zeros(2))
    module.register_buffer("none", None)
    before = look([nn.Module(), module])
    assert before.keys() == {(1, "a"), (1, "b")}
    module.b.add_(1)
    assert difference(before, look([nn.Module(), module])) == (
        1,
        "b",
        "has version 1 in place of 0",
    )
    module.a = torch.zeros(2)  # equal, but another
    assert difference(before, look([nn.Module(), module])) == (1, "a", "is another tensor")
    del module.a
    module.b = before[1, "b"][0]
    assert difference({(1, "a"): before[1, "a"]}, {}) == (1, "a", "is gone")
    module.register_buffer("c", torch.zeros(2))
    assert difference({}, look([module])) is not None


def test_parameters_count_as_buffers_do() -> None:
    linear = nn.Linear(2, 2)
    before = look([linear])
    assert before.keys() == {(0, "weight"), (0, "bias")}
    with torch.no_grad():
        linear.bias.zero_()
    found = difference(before, look([linear]))
    assert found is not None
    assert found[:2] == (0, "bias")


def test_tensors_are_found_in_what_layers_keep() -> None:
    a, b, c, d = torch.rand(4, 1)
    assert list(tensors((a, [b, {"c": c}, None, 3], d))) == [a, b, c, d]
    assert list(tensors("none")) == []


def test_outputs_know_what_was_written_to_since_they_came() -> None:
    x = torch.zeros(2)
    first = version(x)
    x.add_(1)
    out = Outputs([x, None, None], first)
    assert out.changed(range(3)) == 0
    out[1] = torch.zeros(2).add_(1)
    out[-1] = out[1][:1]
    assert out.changed((1, 2)) is None
    out[1].mul_(2)
    assert out.changed((2,)) == 2, "a view of what has changed has changed"
    out[1] = torch.zeros(2)
    assert out.changed((1,)) is None
    assert list(out) == [x, out[1], out[2]]


@pytest.mark.parametrize("value", [None, 3, "x"])
def test_outputs_may_be_anything(value: object) -> None:
    assert Outputs([value, value], 0).changed(range(2)) is None
