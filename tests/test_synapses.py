from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.synapses import ConvSynapse, DenseSynapse
from tests import oracles


@st.composite
def wirings(draw: Any) -> tuple[ConvSynapse, tuple[int, int]]:
    groups = draw(st.integers(1, 3))
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 3))
    smallest = max(padding + 1, dilation * (kernel - 1) + 1 - 2 * padding)
    sides = draw(st.tuples(*[st.integers(smallest, smallest + 4)] * 2))
    synapse = ConvSynapse(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        kernel,
        draw(st.integers(1, 3)),
        padding,
        draw(st.sampled_from(["reflect", "zeros"])),
        dilation,
        groups,
    )
    return synapse, sides


@settings(max_examples=2 * settings().max_examples)
@given(case=wirings(), batch=st.integers(1, 2))
def test_conv_rows_equal_the_patches_of_the_oracle(case: Any, batch: int) -> None:
    s, sides = case
    x = torch.randn(batch, s.n_in, *sides)
    rows = s.see(x).reshape(s.groups, batch, -1, s.kernel_size**2, s.n_in // s.groups)
    each = s.n_in // s.groups
    for g in range(s.groups):
        for b in range(batch):
            image = x[b, g * each : (g + 1) * each].tolist()
            patches = oracles.patches(
                image, s.kernel_size, s.stride, s.padding, s.padding_mode, s.dilation
            )
            # The rows hold channels last, the oracle channels first.
            assert rows[g, b].transpose(1, 2).flatten(1).tolist() == patches


@given(case=wirings())
def test_conv_output_equals_torch_and_shape_tells_the_truth(case: Any) -> None:
    s, sides = case
    layer = sh.Conv2d(
        s.n_in,
        s.n_out,
        s.kernel_size,
        stride=s.stride,
        padding=s.padding,
        padding_mode=s.padding_mode,
        dilation=s.dilation,
        groups=s.groups,
    ).double()
    x = torch.randn(2, s.n_in, *sides, dtype=torch.float64)
    mode = "constant" if s.padding_mode == "zeros" else s.padding_mode
    padded = F.pad(x, [s.padding] * 4, mode=mode)
    expected = F.conv2d(padded, layer.kernel, None, s.stride, 0, s.dilation, s.groups)
    out = layer.respond(x)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-11)
    assert tuple(out.shape[1:]) == s.shape((s.n_in, *sides))


@given(case=wirings())
def test_flat_and_shown_are_inverse(case: Any) -> None:
    s, _ = case
    weight = torch.randn(s.weight_shape)
    assert torch.equal(s.shown(s.flat(weight).clone()), weight)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_window_of_one_pixel_may_take_strides(groups: int) -> None:
    layer = sh.Conv2d(2, 4, 1, stride=2, groups=groups)
    x = torch.rand(1, 2, 5, 5)
    torch.testing.assert_close(layer.respond(x), F.conv2d(x, layer.kernel, stride=2, groups=groups))


def test_images_in_any_memory_layout_give_the_same() -> None:
    layer = sh.Conv2d(3, 4, 3, padding=1)
    x = torch.rand(2, 3, 6, 7)
    odd = x.transpose(2, 3).contiguous().transpose(2, 3)
    for image in (x.to(memory_format=torch.channels_last), odd):
        assert torch.equal(layer.respond(image), layer.respond(x))


def test_dense_takes_leading_dimensions() -> None:
    layer = sh.Dense(4, 3)
    x = torch.rand(2, 5, 4)
    assert layer.respond(x).shape == (2, 5, 3)
    torch.testing.assert_close(layer.respond(x)[1, 2], layer.weight @ x[1, 2])
    assert layer.shape((5, 4)) == (5, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_in": 0}, "n_in=0 is not allowed; it must be a whole number >= 1"),
        ({"n_in": 2.5}, "n_in=2.5 is not allowed; it must be a whole number >= 1"),
        ({"n_in": "3"}, "n_in='3' is not allowed"),
        ({"n_out": -1}, "n_out=-1 is not allowed"),
        ({"n_out": True}, "n_out=True is not allowed"),
    ],
)
def test_bad_dense_wiring_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Dense: {message}"):
        DenseSynapse(**{"n_in": 3, "n_out": 2} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_in": 0}, "n_in=0 is not allowed; it must be a whole number >= 1"),
        ({"n_out": 0}, "n_out=0 is not allowed"),
        ({"kernel_size": 0}, "kernel_size=0 is not allowed"),
        ({"kernel_size": (3, 3)}, r"kernel_size=\(3, 3\) is not allowed; .* whole number >= 1"),
        ({"stride": 0}, "stride=0 is not allowed"),
        ({"stride": 1.5}, "stride=1.5 is not allowed"),
        ({"dilation": 0}, "dilation=0 is not allowed"),
        ({"padding": -1}, "padding=-1 is not allowed; it must be a whole number >= 0"),
        ({"padding_mode": "circular"}, "padding_mode='circular' .* one of 'reflect', 'zeros'"),
        ({"groups": 0}, "groups=0 is not allowed"),
        ({"groups": 2, "n_in": 3}, "groups=2 must divide both n_in=3 and n_out=4"),
        ({"groups": 2, "n_out": 3}, "groups=2 must divide both n_in=2 and n_out=3"),
    ],
)
def test_bad_conv_wiring_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"Conv2d: {message}"):
        ConvSynapse(**{"n_in": 2, "n_out": 4, "kernel_size": 3} | arguments)


@pytest.mark.parametrize("shape", [(), (3,), (5, 3)])
def test_dense_refuses_samples_it_cannot_take(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError) as caught:
        DenseSynapse(4, 2).shape(shape)
    message = str(caught.value)
    assert f"Dense(4, 2) got samples of shape {shape}; it needs (..., 4)" in message
    assert "Put Flatten() before it" in message


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8), r"Conv2d\(2, 4\) got samples of shape \(8, 8\); it needs \(2, height, width\)"),
        ((3, 8, 8), r"got samples of shape \(3, 8, 8\); it needs \(2, height, width\)"),
        ((2, 8, 1), r"padding=1 reflects beyond an image of \(8, 1\); .*padding_mode='zeros'"),
        ((2, 2, 8), r"a window of 3 with dilation 2 does not fit into an image of \(2, 8\)"),
    ],
)
def test_conv_refuses_samples_it_cannot_take(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        ConvSynapse(2, 4, 3, padding=1, dilation=2).shape(shape)
