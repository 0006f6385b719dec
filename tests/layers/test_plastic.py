"""The whole step of a plastic layer, in any combination of parts, against plain loops."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from tests import oracles

# Each part of the library beside the loops that say what it should do.
RULES: list[tuple[Any, Callable[..., Any]]] = [
    (sh.Hebb(), oracles.hebb),
    (sh.Oja(), oracles.oja),
    (sh.SoftHebb(), oracles.softhebb),
    (sh.Delta(), oracles.delta_rule),
    (sh.Delta(0.3), lambda x, y, u, w: oracles.delta_rule(x, y, u, w, 0.3)),
]
COMPETITIONS: list[tuple[Any, Callable[..., Any]]] = [
    (sh.Independent(), oracles.independent),
    (sh.Independent("relu"), lambda u: oracles.independent(u, "relu")),
    (sh.Independent("repu"), lambda u: oracles.independent(u, "repu")),
    (sh.Independent("tanh"), lambda u: oracles.independent(u, "tanh")),
    (sh.SoftWTA(0.7), lambda u: oracles.soft(u, 0.7)),
    (sh.SoftWTA(1.3, anti_hebbian=True), lambda u: oracles.soft_anti(u, 1.3)),
    (sh.RankedSoftWTA(1.0, 2, 0.5), lambda u: oracles.soft_ranked(u, 1.0, 2, 0.5, True)),
    (sh.RankedSoftWTA(1.0, 3, 2.0, False), lambda u: oracles.soft_ranked(u, 1.0, 3, 2.0, False)),
    (sh.ShareWTA("relu"), lambda u: oracles.share(u, "relu")),
    (sh.ShareWTA("sigmoid"), lambda u: oracles.share(u, "sigmoid")),
    (sh.HardWTA(), oracles.hard),
]
SCALINGS: list[tuple[Any, Callable[..., Any]]] = [
    (sh.NoScaling(), lambda history, groups: [1.0] * len(history[0])),
    (sh.LayerMax(), lambda history, groups: oracles.layer_max(history[-1], groups)),
    (sh.NeuronRMS(2), lambda history, groups: oracles.neuron_rms(history, 2)),
    (sh.NeuronMax(2), lambda history, groups: oracles.neuron_max(history, 2)),
]
RATES: list[tuple[Any, Callable[..., float]]] = [
    (sh.ConstantRate(0.1), lambda r, s: 0.1),
    (sh.NormRate(0.2), lambda r, s: oracles.norm_rate(0.2, 0.5, r)),
    (sh.NormRate(0.2, 0.75), lambda r, s: oracles.norm_rate(0.2, 0.75, r)),
    (sh.LinearDecay(0.1, 2), lambda r, s: oracles.linear_decay(0.1, 2, s)),
    (sh.ExponentialDecay(0.1, 9), lambda r, s: oracles.exponential_decay(0.1, 9, 7, 96, s)),
]
PRIORS: list[tuple[Any, Any]] = [
    (None, None),
    (None, None),
    (sh.PriorBias(2.0), lambda y, b, n, k: oracles.prior_change(y, b, n, k, 2.0, 0.5, "exp")),
    (
        sh.PriorBias(2.0, 0.3, "relu"),
        lambda y, b, n, k: oracles.prior_change(y, b, n, k, 2.0, 0.3, "relu"),
    ),
]


@st.composite
def parts(draw: Any, n_out: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of a layer, and the same said to the oracle."""
    rule, rule_loop = draw(st.sampled_from(RULES))
    competition, compete = draw(st.sampled_from(COMPETITIONS))
    scaling, scale = draw(st.sampled_from(SCALINGS))
    rate, rate_loop = draw(st.sampled_from(RATES))
    bias, prior = draw(st.sampled_from(PRIORS))
    shared = {
        "pre_triangle": draw(st.booleans()),
        "trained": draw(st.none() | st.integers(1, n_out)),
    }
    p = draw(st.sampled_from([2.0, 2.0, 1.0, 1.5, 3.0]))
    library = {
        "rule": rule,
        "competition": competition,
        "scaling": scaling,
        "rate": rate,
        "bias": bias,
        "norm_p": p,
        "init": sh.Normal(1.0),
    }
    loops = {"rule": rule_loop, "compete": compete, "scale": scale, "prior": prior, "p": p}
    return library | shared, loops | shared | {"rate": rate_loop}


def close(found: Tensor, expected: Any) -> None:
    expected = torch.tensor(expected, dtype=torch.float64).reshape(found.shape)
    size = max(1.0, float(expected.abs().max()))
    assert found.dtype == torch.float64
    assert float((found - expected).abs().max()) <= 1e-12 * size


def run(layer: Any, loops: dict[str, Any], shape: tuple[int, ...], see: Any, seed: int) -> None:
    """Three updates with fresh weights each, so that rounding does not pile up."""
    layer.double()
    chance = torch.Generator().manual_seed(seed)
    rate = loops.pop("rate")
    history: list[Any] = []
    bias = layer.prior.tolist() if layer.bias is not None else None
    for number in range(3):
        x = torch.randn(shape, generator=chance, dtype=torch.float64) / 2
        kernel = torch.randn(layer.kernel.shape, generator=chance, dtype=torch.float64) / 2
        layer.set_weight(kernel)
        if bias is not None:
            layer.prior.copy_(torch.tensor(bias, dtype=torch.float64))
        drive, after, bias = oracles.step(
            [see(sample.tolist()) for sample in x],
            kernel.flatten(1).tolist(),
            bias=bias,
            history=history,
            rate=lambda r, s=number: rate(r, s),
            **loops,
        )
        out, seen = layer.observe(x)
        assert torch.equal(out, layer.respond(x))
        layer.learn(seen)
        close(out.movedim(1, -1), drive)
        close(layer.kernel.flatten(1), after)
        if bias is not None:
            close(layer.prior, bias)
        assert int(layer.updates) == number + 1


@st.composite
def dense_layers(draw: Any) -> tuple[sh.Dense, dict[str, Any], tuple[int, ...]]:
    n_in, n_out = draw(st.integers(2, 6)), draw(st.integers(3, 6))
    library, loops = draw(parts(n_out))
    return sh.Dense(n_in, n_out, **library), loops, (draw(st.integers(1, 4)), n_in)


@st.composite
def conv_layers(draw: Any) -> tuple[sh.Conv2d, dict[str, Any], tuple[int, ...]]:
    groups = draw(st.sampled_from([1, 1, 2]))
    n_in, n_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(3, 4))
    library, loops = draw(parts(n_out))
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, 2))
    smallest = max(padding + 1, dilation * (kernel - 1) + 1 - 2 * padding)
    sides = [draw(st.integers(smallest, smallest + 3)) for _ in range(2)]
    layer = sh.Conv2d(
        n_in,
        n_out,
        kernel,
        stride=draw(st.integers(1, 3)),
        padding=padding,
        padding_mode=draw(st.sampled_from(["reflect", "zeros"])),
        dilation=dilation,
        groups=groups,
        **library,
    )
    return layer, loops | {"groups": groups}, (draw(st.integers(1, 2)), n_in, *sides)


@settings(max_examples=3 * settings().max_examples)
@given(case=dense_layers(), seed=st.integers(0, 2**31))
def test_dense_step_equals_the_oracle(case: Any, seed: int) -> None:
    layer, loops, shape = case
    run(layer, loops, shape, lambda sample: [[sample]], seed)


@settings(max_examples=3 * settings().max_examples)
@given(case=conv_layers(), seed=st.integers(0, 2**31))
def test_conv_step_equals_the_oracle(case: Any, seed: int) -> None:
    layer, loops, shape = case
    each = layer.n_in // layer.groups

    def see(image: Any) -> Any:
        return [
            oracles.patches(
                image[g * each : (g + 1) * each],
                layer.kernel_size,
                layer.stride,
                layer.padding,
                layer.padding_mode,
                layer.dilation,
            )
            for g in range(layer.groups)
        ]

    run(layer, loops, shape, see, seed)
    out = layer.respond(torch.zeros(shape, dtype=torch.float64))
    assert tuple(out.shape[1:]) == layer.shape(shape[1:])


@given(case=dense_layers() | conv_layers(), seed=st.integers(0, 2**31))
def test_a_micro_batch_of_one_equals_a_bare_sample_bit_for_bit(case: Any, seed: int) -> None:
    layer, _, (_, *shape) = case
    nets = [sh.StreamNet(copy.deepcopy(layer), input_shape=shape, seed=seed) for _ in range(2)]
    chance = torch.Generator().manual_seed(seed)
    for _ in range(3):
        x = torch.randn(shape, generator=chance) / 2
        bare, batch = nets[0].step(x), nets[1].step(x[None])
        assert torch.equal(bare.scores, batch.scores[0])
    for (name, left), right in zip(nets[0].named_buffers(), nets[1].buffers(), strict=True):
        assert torch.equal(left, right), name


@given(case=dense_layers() | conv_layers(), seed=st.integers(0, 2**31))
def test_a_convolution_that_sees_everything_at_once_is_a_dense_layer(case: Any, seed: int) -> None:
    dense, _, (batch, *_) = case
    n_in, n_out = 3, dense.synapse.n_out
    config = {name: getattr(dense, name) for name in sh.Dense(1, 1).config() if name != "type"}
    config |= {"n_in": n_in * 4, "n_out": n_out}
    flat = sh.Dense(**config).double()
    conv = sh.Conv2d(**config | {"n_in": n_in, "kernel_size": 2}).double()
    chance = torch.Generator().manual_seed(seed)
    kernel = torch.randn(n_out, n_in, 2, 2, generator=chance, dtype=torch.float64)
    flat.set_weight(kernel.flatten(1))
    conv.set_weight(kernel)
    x = torch.randn(batch, n_in, 2, 2, generator=chance, dtype=torch.float64)
    for layer, image in ((flat, x.flatten(1)), (conv, x)):
        layer.learn(layer.observe(image)[1])
    left, right = flat.kernel, conv.kernel.flatten(1)
    assert float((left - right).abs().max()) <= 1e-12 * max(1.0, float(left.abs().max()))


# ---- the third factor, and what is left alone ------------------------------------------------


def moved(layer: Any, x: Tensor, modulator: float | Tensor) -> Tensor:
    layer = copy.deepcopy(layer)
    before = layer.weight.clone()
    layer.learn(layer.observe(x)[1], modulator)
    return layer.weight - before


@pytest.mark.parametrize("rate", [0.1, sh.NormRate(0.1)], ids=repr)
@pytest.mark.parametrize("scaling", [s for s, _ in SCALINGS], ids=repr)
def test_the_modulator_multiplies_the_step(scaling: Any, rate: Any) -> None:
    layer = sh.Dense(4, 3, scaling=scaling, rate=rate).double()
    x = torch.rand(2, 4, dtype=torch.float64)
    step = moved(layer, x, 1.0)
    assert step.abs().max() > 0
    assert torch.equal(moved(layer, x, 0.0), torch.zeros_like(step))
    for modulator in (-0.5, torch.tensor(-0.5), torch.tensor(-0.5, dtype=torch.float64)):
        torch.testing.assert_close(moved(layer, x, modulator), -0.5 * step)


@pytest.mark.parametrize("scaling", [s for s, _ in SCALINGS], ids=repr)
@pytest.mark.parametrize("rate", [r for r, _ in RATES], ids=repr)
def test_neurons_beyond_trained_keep_their_weights_and_prior(rate: Any, scaling: Any) -> None:
    init = sh.Normal(0.5)
    layer = sh.Dense(4, 5, rate=rate, scaling=scaling, bias=sh.PriorBias(), trained=2, init=init)
    weight, prior = layer.weight.clone(), layer.prior.clone()
    layer.learn(layer.observe(torch.rand(3, 4))[1])
    assert (layer.weight[:2] != weight[:2]).all()
    assert (layer.prior[:2] != prior[:2]).all()
    assert torch.equal(layer.weight[2:], weight[2:])
    assert torch.equal(layer.prior[2:], prior[2:])


def test_neurons_beyond_trained_still_compete_and_enter_the_maximum() -> None:
    x = torch.rand(3, 4)
    layers = [sh.Dense(4, 5, scaling=sh.LayerMax(), rate=0.1, trained=k) for k in (2, None)]
    layers[1].set_weight(layers[0].weight)
    for layer in layers:
        layer.learn(layer.observe(x)[1])
    assert torch.equal(layers[0].weight[:2], layers[1].weight[:2])


def test_the_prior_starts_uniform_over_the_neurons_that_compete() -> None:
    layer = sh.Conv2d(2, 8, 1, groups=2, bias=sh.PriorBias(t=1.0))
    expected = torch.full((8,), oracles.prior_start(4, 1.0))
    torch.testing.assert_close(layer.prior, expected)
    layer.prior.zero_()
    layer.reset()
    torch.testing.assert_close(layer.prior, expected)


def test_a_bare_vector_counts_as_one_sample() -> None:
    layer = sh.Dense(4, 3, bias=sh.PriorBias(function="relu"))
    twin = copy.deepcopy(layer)
    x = torch.rand(4)
    layer.learn(layer.observe(x)[1])
    twin.learn(twin.observe(x[None])[1])
    assert torch.equal(layer.prior, twin.prior)
    assert torch.equal(layer.weight, twin.weight)


def test_state_keeps_its_place_in_memory_while_learning() -> None:
    layer = sh.Conv2d(2, 4, 3, bias=sh.PriorBias(), scaling=sh.NeuronMax())
    places = {name: value.data_ptr() for name, value in layer.named_buffers()}
    for _ in range(3):
        layer.learn(layer.observe(torch.rand(1, 2, 5, 5))[1])
    layer.reset()
    assert {name: value.data_ptr() for name, value in layer.named_buffers()} == places


def test_reset_forgets_all_and_follows_its_generator() -> None:
    layer = sh.Dense(4, 3, bias=sh.PriorBias())
    layer.reset(torch.Generator().manual_seed(1))
    fresh = {name: value.clone() for name, value in layer.named_buffers()}
    layer.learn(layer.observe(torch.rand(2, 4))[1])
    layer.reset(torch.Generator().manual_seed(1))
    assert all(torch.equal(fresh[name], value) for name, value in layer.named_buffers())
    layer.reset(torch.Generator().manual_seed(2))
    assert not torch.equal(fresh["weight"], layer.weight)


def test_defaults_are_those_the_documentation_promises() -> None:
    assert sh.Dense(3, 2).competition == sh.SoftWTA(anti_hebbian=True)
    assert sh.Dense(3, 2, rule=sh.Oja()).competition == sh.Independent()
    assert sh.Dense(3, 2, rate=0.5).rate == sh.ConstantRate(0.5)
    assert sh.Dense(3, 2).nonlocal_parts() == ()


def test_parts_that_are_not_local_are_named_and_shown() -> None:
    layer = sh.Conv2d(3, 2, 1, scaling=sh.LayerMax(), bias=sh.PriorBias())
    assert layer.nonlocal_parts() == ("LayerMax", "PriorBias", "weight sharing")
    assert "not local: LayerMax, PriorBias, weight sharing" in repr(layer)
    assert "not local" not in repr(sh.Dense(3, 2))


def test_weights_of_another_shape_are_refused() -> None:
    layer = sh.Conv2d(2, 4, 3)
    with pytest.raises(ShapeError, match=r"\(4, 18\) given; \(4, 2, 3, 3\) needed"):
        layer.set_weight(torch.zeros(4, 18))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": sh.Oja}, r"rule=Oja is a class; write rule=Oja\(\)"),
        ({"rule": "oja"}, r"rule='oja' is not allowed; it must be a part .* rule=Oja\(\)"),
        ({"competition": sh.HardWTA}, r"competition=HardWTA is a class"),
        ({"competition": "hard"}, r"competition='hard' is not allowed.*competition=HardWTA\(\)"),
        ({"competition": sh.RankedSoftWTA(rank=3)}, r"rank=3 is not allowed with 2 .*at most 2"),
        ({"scaling": sh.LayerMax}, r"scaling=LayerMax is a class"),
        ({"scaling": 0.5}, r"scaling=0.5 is not allowed; .* scaling=LayerMax\(\)"),
        ({"rate": "fast"}, r"rate='fast' is not allowed; .* rate=NormRate\(0.01\) or a number"),
        ({"rate": -1}, r"ConstantRate: lr=-1 is not allowed; it must be a number >= 0"),
        ({"rate": True}, r"ConstantRate: lr=True is not allowed"),
        ({"init": "normal"}, r"init='normal' is not allowed; .* init=Normal\(\)"),
        ({"bias": 0.5}, r"bias=0.5 is not allowed; .* bias=PriorBias\(\)"),
        ({"norm_p": 0.5}, r"norm_p=0.5 is not allowed; it must be a number >= 1"),
        ({"pre_triangle": "yes"}, r"pre_triangle='yes' is not allowed; choose one of True, False"),
        ({"trained": 0}, r"trained=0 is not allowed; .* between 1 and n_out=2, or None for all"),
        ({"trained": 3}, r"trained=3 is not allowed"),
        ({"trained": 1.5}, r"trained=1.5 is not allowed; it must be a whole number"),
        ({"trained": True}, r"trained=True is not allowed"),
    ],
)
def test_bad_parts_are_named_with_the_cure(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sh.Dense(3, 2, **arguments)
