from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from tests import oracles

POOLS = [(sh.MaxPool2d, "max"), (sh.AvgPool2d, "avg")]


@given(
    pair=st.sampled_from(POOLS),
    kernel=st.integers(1, 4),
    stride=st.none() | st.integers(1, 3),
    padding=st.integers(0, 2),
    sides=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_pools_equal_the_oracle(
    pair: Any, kernel: int, stride: int | None, padding: int, sides: tuple[int, int]
) -> None:
    kind, name = pair
    padding = min(padding, kernel // 2)
    layer = kind(kernel, stride, padding)
    if min(sides) + 2 * padding < kernel:
        with pytest.raises(ShapeError, match=f"a window of {kernel} does not fit into an image"):
            layer.shape((2, *sides))
        return
    x = torch.randn(2, 2, *sides, dtype=torch.float64)
    out = layer.respond(x)
    expected = [oracles.pool(image, kernel, layer.stride, padding, name) for image in x.tolist()]
    torch.testing.assert_close(out, torch.tensor(expected, dtype=torch.float64))
    assert tuple(out.shape[1:]) == layer.shape((2, *sides))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "kernel_size=0 is not allowed; it must be a whole number >= 1"),
        ((2.5,), "kernel_size=2.5 is not allowed; it must be a whole number >= 1"),
        ((2, 0), "stride=0 is not allowed; it must be a whole number >= 1"),
        ((2, None, -1), "padding=-1 is not allowed; it must be a whole number >= 0"),
        ((3, None, 2), "padding=2 is not allowed; it must be at most half of kernel_size=3"),
    ],
)
@pytest.mark.parametrize("kind", [sh.MaxPool2d, sh.AvgPool2d])
def test_bad_windows_are_named(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__}: {message}"):
        kind(*arguments)


@pytest.mark.parametrize("shape", [(), (8,), (8, 8), (1, 2, 8, 8)])
def test_pools_need_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"MaxPool2d got samples of shape .*needs \(channels, H"):
        sh.MaxPool2d(2).shape(shape)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 5)])
def test_flatten_keeps_the_order_of_torch(shape: tuple[int, ...]) -> None:
    x = torch.randn(2, *shape)
    out = sh.Flatten().respond(x)
    assert tuple(out.shape[1:]) == sh.Flatten().shape(shape)
    assert torch.equal(out[1], x[1].reshape(-1))
