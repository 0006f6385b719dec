"""Products in bfloat16: those of rounded numbers, with or without instructions for it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb import kernels
from streamhebb.errors import ConfigError
from streamhebb.kernels import coarse
from streamhebb.values import LocalUpdate, Outer


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_hand(x):
    """To 8 significant bits, ties to even, from the definition of the format."""
    mantissa, exponent = torch.frexp(x.double())
    return (torch.round(mantissa * 2**8) * 2.0 ** (exponent - 8)).to(x.dtype)


@pytest.fixture(params=["emulated", "native"])
def processor(request, monkeypatch):
    """This one, and one with instructions for bfloat16 (torch multiplies it anywhere, slowly)."""
    native = request.param == "native"
    monkeypatch.setattr(coarse, "multiplies", lambda device: native)
    return native


@given(st.integers(1, 50), st.integers(0, 99))
def test_rounding_is_that_of_the_format(count, seed):
    x = draw(count, seed=seed)
    assert torch.equal(kernels.rounded(x).float(), by_hand(x))


def test_the_drive_is_that_of_rounded_numbers(processor):
    pre, weight = draw(6, 40), draw(9, 40, seed=1)
    expected = by_hand(pre).double() @ by_hand(weight).double().mT
    with torch.no_grad():
        found = kernels.drive(pre, weight, coarse=True)
    assert found.dtype == torch.float32
    bound = 2**-8 if processor else 1e-5  # such instructions round what they return
    torch.testing.assert_close(found.double(), expected, rtol=bound, atol=1e-4)
    if not processor:
        assert not torch.allclose(found, kernels.drive(pre, weight), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_a_change_is_that_of_rounded_numbers(processor, backend):
    post, pre, weight = draw(7, 9), draw(7, 40, seed=1), draw(9, 40, seed=2)
    decay = draw(7, 9, seed=3)
    update = LocalUpdate((Outer(post, pre),), decay)
    expected = by_hand(post).mT @ by_hand(pre) - decay.sum(0)[:, None] * weight
    bound = 0.05 if processor else 1e-4
    with kernels.use(backend), torch.no_grad():
        found = kernels.accumulate(update, weight, torch.empty_like(weight), coarse=True)
        after = weight.clone()
        kernels.change(update, after, torch.ones(9, 1), coarse=True)
        top = kernels.largest_change(update, weight, weight.abs().amax(1), coarse=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)
    torch.testing.assert_close(after - weight, expected, rtol=0, atol=bound)
    assert float(top) == pytest.approx(float(expected.abs().max()), abs=bound)


@pytest.mark.parametrize("method", ["direct", "winograd2"])
def test_a_convolution_learns_nearly_the_same(processor, method):
    layer = sh.Conv2d(8, 16, 3, padding=1, rate=0.1)
    layer.reset(torch.Generator().manual_seed(0))
    fine = sh.Conv2d(8, 16, 3, padding=1, rate=0.1)
    fine.set_weight(layer.kernel)
    start = layer.weight.clone()
    layer.method, layer.precision = method, "bfloat16"
    x = draw(2, 8, 10, 10)
    with torch.no_grad():
        outs = []
        for each in (layer, fine):
            out, seen = each.observe(x)
            each.learn(seen)
            outs.append(out)
    assert layer.weight.dtype == outs[0].dtype == torch.float32
    apart = float((outs[0] - outs[1]).norm() / outs[1].norm())
    assert 1e-4 < apart < 0.02
    moved = float((layer.weight - fine.weight).norm() / (fine.weight - start).norm())
    assert moved < 0.2


def test_groups_and_sparse_synapses_round_too(processor):
    for layer in (sh.Conv2d(4, 8, 3, groups=2), sh.Sparse(16, 8, fan_in=4)):
        x = draw(2, 4, 6, 6) if isinstance(layer, sh.Conv2d) else draw(3, 16)
        with torch.no_grad():
            fine = layer.respond(x)
            layer.precision = "bfloat16"
            found, seen = layer.observe(x)
            layer.learn(seen)
        assert found.dtype == torch.float32
        assert not torch.equal(found, fine)
        assert float((found - fine).norm() / fine.norm()) < 0.02


class TestTheSetting:
    def test_it_is_refused_by_another_name(self):
        with pytest.raises(ConfigError, match="precision='half'"):
            sh.Dense(2, 3).precision = "half"

    @pytest.mark.parametrize("first", ["method", "precision"])
    def test_large_tiles_need_more(self, first):
        layer = sh.Conv2d(2, 3, 3)
        wishes = {"method": "winograd4", "precision": "bfloat16"}
        setattr(layer, first, wishes.pop(first))
        with pytest.raises(ConfigError, match="winograd2"):
            setattr(layer, *next(iter(wishes.items())))

    def test_it_is_in_snapshots(self):
        net = sh.StreamNet(sh.Conv2d(2, 4, 3), seed=0)
        net.choose_kernels(torch.rand(2, 2, 6, 6), precision="bfloat16")
        assert next(iter(net.kernels().values())).endswith(", bfloat16")
        twin = sh.StreamNet(sh.Conv2d(2, 4, 3), seed=1)
        twin.respond(torch.rand(1, 2, 6, 6))
        twin.load_state_dict(net.state_dict())
        assert twin.kernels() == net.kernels()
        net.choose_kernels(torch.rand(2, 2, 6, 6), precision="full")
        assert not next(iter(net.kernels().values())).endswith("bfloat16")


def test_this_machine_is_asked():
    assert kernels.multiplies("cpu") in (True, False)
    assert kernels.multiplies("cuda") in ((True, False) if torch.cuda.is_available() else (False,))
    assert kernels.multiplies("meta") is False
