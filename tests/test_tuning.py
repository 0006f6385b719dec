"""Methods of making products: chosen by measuring, set by hand, kept in snapshots."""

from __future__ import annotations

import copy

import pytest
import torch

import streamhebb as sh
from streamhebb import kernels, tuning
from streamhebb.errors import ConfigError
from streamhebb.kernels.patches import Patches


def make_net(**parts) -> sh.StreamNet:
    return sh.StreamNet(
        sh.Conv2d(2, 5, 3, padding=1, **parts),
        sh.Triangle(),
        sh.Conv2d(5, 6, 3, stride=2),
        sh.Flatten(),
        sh.Dense(54, 4),
        readout=sh.NCMReadout(4),
        input_shape=(2, 8, 8),
        seed=0,
    )


def test_what_cannot_be_chosen_is_direct():
    net = make_net()
    assert net.kernels() == {"0:Conv2d": "direct", "2:Conv2d": "direct", "4:Dense": "direct"}
    for layer in (net.layers[2], net.layers[4]):
        with pytest.raises(ConfigError, match="method"):
            layer.method = "winograd4"
    with pytest.raises(ConfigError, match="winograd2"):
        net.layers[0].method = "fft"


@pytest.mark.parametrize(
    "settings",
    [{"kernel_size": 5}, {"stride": 2}, {"dilation": 2}, {"groups": 2}],
    ids=lambda settings: next(iter(settings)),
)
def test_tiles_are_for_windows_3_by_3_side_by_side(settings):
    layer = sh.Conv2d(4, 6, **({"kernel_size": 3} | settings))
    assert layer.synapse.methods == ("direct",)


@pytest.mark.parametrize("method", ["winograd2", "winograd4"])
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"rule": sh.Oja()},
        {"rule": sh.Hebb(), "scaling": sh.LayerMax()},
        {"rule": sh.BCM(), "bias": None},
        {"norm_p": 3.0},
        {"bias": sh.PriorBias()},
        {"pre_triangle": True},
        {"padding_mode": "zeros"},
        {"trained": 3},
        {"rule": sh.Both(sh.Oja(), sh.Hebb())},
        {"rule": sh.Outstar()},
    ],
    ids=str,
)
def test_every_method_learns_the_same_but_for_rounding(method, parts):
    """Also with rules that look at what neurons see."""
    one = make_net(**parts).double()
    two = copy.deepcopy(one)
    two.layers[0].method = method
    generator = torch.Generator().manual_seed(0)
    for number in range(5):
        x = torch.rand(2, 8, 8, generator=generator, dtype=torch.float64)
        for net in (one, two):
            net.step(x, number % 3)
    torch.testing.assert_close(two.layers[0].weight, one.layers[0].weight)
    torch.testing.assert_close(two.features(x[None]), one.features(x[None]))


def test_the_matrix_is_never_made_for_the_usual_rules():
    layer = make_net().layers[0]
    layer.method = "winograd4"
    with torch.no_grad():
        _, seen = layer.observe(torch.rand(1, 2, 8, 8))
        layer.learn(seen)
    assert isinstance(seen.pre, Patches)
    assert "rows" not in seen.pre.__dict__


def test_a_gradient_reaches_the_image():
    layer = make_net().layers[0]
    x = torch.rand(1, 2, 8, 8, requires_grad=True)
    layer(x).square().sum().backward()
    expected = x.grad.clone()
    x.grad = None
    layer.method = "winograd4"
    layer(x).square().sum().backward()
    torch.testing.assert_close(x.grad, expected)


def test_the_fastest_is_chosen_and_nothing_learned(monkeypatch):
    times = {"direct": 3.0, "winograd2": 1.0, "winograd4": 2.0}
    monkeypatch.setattr(
        tuning, "measure", lambda layer, x, *_: {(name, None): t for name, t in times.items()}
    )
    net = make_net()
    before = {name: value.clone() for name, value in net.named_buffers()}
    found = net.choose_kernels(torch.rand(2, 8, 8))
    assert found == net.kernels() == {
        "0:Conv2d": "winograd2", "2:Conv2d": "direct", "4:Dense": "direct",
    }  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    assert net.counts["samples"] == 0


def test_what_was_measured_is_not_measured_again(monkeypatch):
    layer, x = make_net().layers[0], torch.rand(3, 2, 8, 8)
    first = tuning.measure(layer, x)
    assert set(first) == {(name, None) for name in ("direct", "winograd2", "winograd4")}
    assert all(seconds > 0 for seconds in first.values())
    assert tuning.measure(copy.deepcopy(layer), x) is first
    assert tuning.measure(layer, torch.rand(2, 2, 8, 8)) is not first
    assert layer.method == "direct"
    assert int(layer.updates) == 0


def test_backends_are_tried_where_asked():
    layer, x = make_net().layers[0], torch.rand(2, 2, 8, 8)
    found = tuning.measure(layer, x, ("torch", "numba"))
    assert set(found) == {(m, b) for m in layer.synapse.methods for b in ("torch", "numba")}
    assert layer.backend is None
    only = tuning.measure(layer, x, learning=False)
    assert set(only) != set(found)
    assert int(layer.updates) == 0


def test_a_layer_may_have_a_backend_of_its_own(monkeypatch):
    """Also where it learns in another thread than the choice was made in."""
    net = make_net()
    net.layers[0].backend = "numba"
    assert net.kernels()["0:Conv2d"] == "direct, numba"
    used = []
    for name in ("torch", "numba"):
        module = kernels.load(name, "test")
        plain = module.soft_wta
        monkeypatch.setattr(module, "soft_wta", lambda *a, n=name, f=plain: used.append(n) or f(*a))
    net.scheduler = sh.schedule.Threads(2)
    with net:
        net.step(torch.rand(2, 8, 8))
    assert used.count("torch") >= 2, "of the other layers"
    assert used[0] == "numba"
    assert kernels.backend() == "torch"
    net.choose_kernels(torch.rand(2, 8, 8), backends=("numba",))
    assert all(words.endswith("numba") for words in net.kernels().values())
    twin = make_net()
    twin.load_state_dict(net.state_dict())
    assert twin.kernels() == net.kernels()


def test_a_backend_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="Dense: backend: there is no backend 'jax'"):
        sh.Dense(2, 3).backend = "jax"
    with pytest.raises(ConfigError, match="'jax'"):
        make_net().choose_kernels(torch.rand(2, 8, 8), backends=("jax",))


def test_a_run_goes_on_bit_for_bit_with_the_same_method(tmp_path):
    whole, path = make_net(), tmp_path / "net.safetensors"
    whole.layers[0].method = "winograd4"
    xs = torch.rand(10, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for number, x in enumerate(xs):
        if number == 4:
            whole.save(path)
        whole.step(x)
    twin = make_net()
    twin.load(path)
    assert twin.kernels()["0:Conv2d"] == "winograd4"
    for x in xs[4:]:
        twin.step(x)
    assert torch.equal(twin.layers[0].weight, whole.layers[0].weight)


@pytest.mark.parametrize("scheduler", [sh.Serial, lambda: sh.Threads(2)])
def test_every_scheduler_has_the_bits_of_a_method(scheduler):
    xs = torch.rand(12, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = []
    for make in (sh.Serial, scheduler):
        net = make_net()
        net.scheduler = make()
        net.layers[0].method = "winograd2"
        with net:
            list(net.run(xs))
        weights.append(net.layers[0].weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "bf16"}, "bfloat16"),
        ({"precision": "bfloat16", "backends": ("cuda",)}, "cuda"),
        ({"backends": "numba"}, r"\('numba',\)"),
    ],
)
def test_a_choice_that_is_refused_changes_nothing(given, message):
    net = make_net()
    net.layers[0].method = "winograd4"
    before = net.kernels()
    with pytest.raises(ConfigError, match=message):
        net.choose_kernels(torch.rand(2, 8, 8), **given)
    assert net.kernels() == before


def test_layers_that_learn_otherwise_are_measured_again(monkeypatch):
    monkeypatch.setattr(tuning, "_known", {})
    x = torch.rand(1, 2, 8, 8)
    for scaling in (sh.LayerMax(), sh.NeuronRMS(), sh.LayerMax()):
        tuning.measure(sh.Conv2d(2, 5, 3, scaling=scaling), x)
    assert len(tuning._known) == 2
