"""Triton's passes over images against torch in float64: on a card, or run as Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import streamhebb as sh
from streamhebb import kernels
from streamhebb.benchmark.speed.on_card import asked
from streamhebb.kernels import triton_backend, triton_images
from streamhebb.kernels._triton import Launch, heard
from streamhebb.kernels.images import Pool, Pooled, Rectified, Scaled
from streamhebb.lazy import made
from streamhebb.schedule import CudaGraphs
from tests.schedule.fake_device import FakeDevice
from tests.schedule.test_blocks import on_device

pytest.importorskip("triton", reason="needs the extra triton")
pytestmark = [
    pytest.mark.skipif(
        not triton_backend._runs(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        reason="needs a card of compute capability 8.0, or none and TRITON_INTERPRET=1",
    ),
    # NumPy warns of NaN, which is what some of these tests are about.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:triton.runtime.interpreter"),
]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
few = settings(max_examples=10)  # the interpreter takes its time


@pytest.fixture(autouse=True)
def _in_use() -> Iterator[None]:
    with torch.no_grad(), kernels.use("triton"):
        yield


def draw(shape: tuple[int, ...], seed: int = 0, kind: int = 0) -> Tensor:
    """Numbers of some order in memory: channels first, last, with gaps, the wrong way round."""
    chance = torch.Generator().manual_seed(seed)
    if kind == 1:
        b, c, h, w = shape
        return draw((b, h, w, c), seed).permute(0, 3, 1, 2)
    if kind == 2:
        return draw((*shape[:-1], 2 * shape[-1]), seed)[..., ::2]
    if kind == 3:
        return draw(shape[::-1], seed).permute(*range(len(shape))[::-1])
    return (torch.randn(*shape, generator=chance) * 3 + 1).to(DEVICE)


kinds, seeds = st.integers(0, 3), st.integers(0, 2**31)
shapes = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 3, 17, 40]), st.integers(1, 7), st.integers(1, 7)
)


def small(patch: pytest.MonkeyPatch, **limits: int) -> None:
    for name, limit in limits.items():
        patch.setattr(triton_images, name, limit)


def launches(work: Callable[[], object]) -> list[str]:
    """Names of the kernels that are launched meanwhile."""
    found: list[Launch] = []
    with heard(found.append):
        work()
    return [launch.name for launch in found]


# -- moments -----------------------------------------------------------------------------------


def right_moments(x: Tensor, each: bool) -> tuple[Tensor, Tensor]:
    dims = (2, 3) if each else (0, 2, 3)
    var, mean = torch.var_mean(x.double(), dims, correction=0)
    return mean.view(-1, x.shape[1]), var.view(-1, x.shape[1])


cuts = pytest.mark.parametrize(
    "limits", [{}, {"PIXELS": 2, "PARTS": 3}, {"PIXELS": 16, "AT_ONCE": 64}], ids=str
)


@cuts
@few
@given(shape=shapes, kind=kinds, each=st.booleans(), seed=seeds)
def test_moments(limits: Any, shape: Any, kind: int, each: bool, seed: int) -> None:
    x = draw(shape, seed, kind)
    with pytest.MonkeyPatch.context() as patch:
        small(patch, **limits)
        mean, var = kernels.moments(x, each)
        again = kernels.moments(x, each)
    expected = right_moments(x, each)
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(var.double(), expected[1], rtol=3e-6, atol=1e-12)
    assert torch.equal(mean, again[0])
    assert torch.equal(var, again[1])


@cuts
def test_far_from_zero_what_sets_numbers_apart_is_kept(limits: Any) -> None:
    """A difference of mean squares would be lost in rounding: 1e6 squared has 12 digits."""
    x = draw((4, 3, 6, 6)) + 1e6
    with pytest.MonkeyPatch.context() as patch:
        small(patch, **limits)
        mean, var = kernels.moments(x, each=False)
        flat = kernels.moments(torch.full_like(x, 0.1), each=False)
    expected = right_moments(x, each=False)
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-7, atol=0)
    torch.testing.assert_close(var.double(), expected[1], rtol=1e-5, atol=0)
    assert bool((flat[0] == x.new_tensor(0.1)).all())
    assert bool((flat[1] == 0).all())


@pytest.mark.parametrize("each", [True, False])
def test_many_pixels_are_cut_and_few_are_not(each: bool) -> None:
    for side, names in ((32, ["moments"]), (64, ["moments", "join"])):
        x = draw((2, 3, side, side if each else side // 2))
        outs: list[Tensor] = []
        assert launches(lambda x=x, outs=outs: outs.extend(kernels.moments(x, each))) == names
        torch.testing.assert_close(outs[1].double(), right_moments(x, each)[1], rtol=1e-6, atol=0)


@cuts
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_moments_of_what_is_not_finite(limits: Any, bad: float) -> None:
    x = draw((2, 3, 5, 4))
    x[1, 1, 2, 3] = bad
    with pytest.MonkeyPatch.context() as patch:
        small(patch, **limits)
        mean, var = kernels.moments(x, each=True)
    expected = right_moments(x, each=True)
    expected[0][1, 1] = bad  # the sum; what torch says of infinity depends on the order
    torch.testing.assert_close(mean.double(), expected[0], rtol=1e-6, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(var.double(), expected[1], rtol=1e-5, atol=1e-6, equal_nan=True)
    assert var.isnan().nonzero().tolist() == [[1, 1]]


@cuts
@few
@given(shape=shapes, kind=kinds, seed=seeds)
def test_statistics_of_a_mini_batch(limits: Any, shape: Any, kind: int, seed: int) -> None:
    x = draw(shape, seed, kind)
    with pytest.MonkeyPatch.context() as patch:
        small(patch, **limits)
        mean, scale, var = kernels.statistics(x, 1e-3)
    expected, spread = right_moments(x, each=False)
    count = x.numel() // x.shape[1]
    torch.testing.assert_close(mean.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(scale.double(), (spread + 1e-3).rsqrt(), rtol=3e-6, atol=0)
    spread = spread[0] * count / max(count - 1, 1)
    torch.testing.assert_close(var.double(), spread, rtol=3e-6, atol=1e-12)


# -- normalisations ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.75])
def test_running_statistics_move_as_torch_moves_them(share: float) -> None:
    for n in (1, 31, 700):
        own = [draw((n,), seed) for seed in range(4)]
        plain = [value.clone() for value in own]
        assert launches(lambda own=own: kernels.move(*own[:2], own[2:], share)) == ["lerp"]
        assert torch.equal(own[2], plain[2])
        for a, b, to in zip(own, plain[:2], plain[2:], strict=False):
            torch.testing.assert_close(a, b.lerp(to, share), rtol=1e-6, atol=1e-6)
            assert a._version == 1
    doubles = [value.double() for value in plain]
    assert launches(lambda: kernels.move(*doubles[:2], doubles[2:], share)) == []


@pytest.mark.parametrize("make", [sh.BatchNorm, lambda n: sh.RunningNorm(n, tau=3)])
@pytest.mark.parametrize("kind", range(4))
@cuts
def test_a_normalisation_learns_what_it_learns_with_torch(
    make: Any, kind: int, limits: Any
) -> None:
    norms = [make(17).to(DEVICE) for _ in range(2)]
    for t in range(5):
        x = draw((1 + t % 3, 17, 5, 3), t, kind)
        found = []
        for norm, backend in zip(norms, ("torch", "triton"), strict=True):
            with pytest.MonkeyPatch.context() as patch, kernels.use(backend):
                small(patch, **limits)
                first = made(norm.respond(x))
                out, seen = norm.observe(x)
                out = made(out)
                norm.learn(seen)
                found.append((first, out, norm.mean, norm.var))
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-6)
    if isinstance(norms[0], sh.RunningNorm):
        assert torch.equal(norms[0].age, norms[1].age)


def test_a_normalisation_of_vectors_goes_on_as_it_did() -> None:
    norms = [sh.RunningNorm(5).to(DEVICE) for _ in range(2)]
    for t in range(3):
        x = draw((1 + t, 5), t)
        for norm, backend in zip(norms, ("torch", "triton"), strict=True):
            with kernels.use(backend):
                norm.learn(norm.observe(x)[1])
    torch.testing.assert_close(norms[0].mean, norms[1].mean)
    torch.testing.assert_close(norms[0].var, norms[1].var)
    assert launches(lambda: norms[1].learn(norms[1].observe(draw((40, 5)))[1])) == ["follow"]


def test_other_numbers_are_left_to_torch() -> None:
    norm, x = sh.RunningNorm(3).double().to(DEVICE), draw((2, 3, 4, 4)).double()
    layer = sh.RunningNorm(3).to(DEVICE)
    layer.double()

    def work() -> None:
        norm.learn(norm.observe(x)[1])
        assert not kernels.fuses(x)
        assert not kernels.fuses(x[0].float())
        assert not kernels.fuses(x[:0].float())
        with torch.enable_grad():
            assert not kernels.fuses(x.float())
        kernels.powers(x, 0.7)
        kernels.powers(x.float()[..., ::2], 0.7)
        kernels.powers(x.float(), 1.0)
        kernels.powers(x.float(), 0.0)

    assert launches(work) == []


# -- padding -----------------------------------------------------------------------------------


@few
@given(
    shape=shapes, kind=kinds, each=st.booleans(), padding=st.integers(0, 3),
    reflect=st.booleans(), scaled=st.booleans(), seed=seeds,
)  # fmt: skip
def test_normalised_and_padded_in_one_launch(
    shape: Any, kind: int, each: bool, padding: int, reflect: bool, scaled: bool, seed: int
) -> None:
    padding = min(padding, min(shape[2:]) - 1) if reflect else padding
    x, rows = draw(shape, seed, kind), shape[0] if each else 1
    mean, scale = draw((rows, shape[1]), seed + 1, 2 * each), draw((rows, shape[1]), seed + 2)
    plain = (x - mean[..., None, None]) * scale[..., None, None] if scaled else x
    mode = "reflect" if reflect else "constant"
    expected = F.pad(plain, (padding,) * 4, mode=mode) if padding else plain
    given_ = kernels.scaled(x, mean, scale) if scaled else x
    assert isinstance(given_, Scaled) == scaled
    images: list[Tensor] = []
    work = lambda: images.append(kernels.padded(given_, padding, reflect))  # noqa: E731
    assert launches(work) == ["padded"]
    assert images[0].is_contiguous()
    torch.testing.assert_close(images[0].permute(0, 3, 1, 2), expected, rtol=1e-6, atol=1e-6)
    found = made(given_)
    torch.testing.assert_close(found, plain, rtol=1e-6, atol=1e-6)
    if kind != 2:  # torch leaves no gaps
        strides = zip(found.stride(), given_.stride(), shape, strict=True)
        assert all(a == b for a, b, side in strides if side > 1)


def test_wide_images_are_padded_in_several_blocks() -> None:
    x = draw((1, 130, 2, 70), 0, 1)
    expected = F.pad(x, (1,) * 4, mode="reflect").permute(0, 2, 3, 1)
    assert torch.equal(kernels.padded(x, 1, reflect=True), expected)


def test_what_is_not_a_number_stays_where_it_is_when_padded() -> None:
    x = draw((1, 2, 3, 3))
    x[0, 1, 1, 1] = math.nan
    found = kernels.padded(kernels.scaled(x, x.new_zeros(1, 2), x.new_ones(1, 2)), 1, reflect=True)
    expected = F.pad(x, (1,) * 4, mode="reflect").permute(0, 2, 3, 1)
    torch.testing.assert_close(found, expected, equal_nan=True)


# -- pooling and powers ------------------------------------------------------------------------

pools = st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)).filter(
    lambda pool: pool[3] <= pool[1] // 2
)
exponents = st.sampled_from([1.0, 0.7, 1.4, 2.0])


@pytest.mark.parametrize("at_once", [triton_images.AT_ONCE, 16])  # 16: in blocks of channels
@few
@given(shape=shapes, kind=kinds, pool=pools, power=exponents, then=exponents, seed=seeds)
def test_rectified_pooled_and_raised_in_one_launch(
    at_once: int, shape: Any, kind: int, pool: Any, power: float, then: float, seed: int
) -> None:
    x, pool = draw(shape, seed, kind), Pool(*pool)
    if min(shape[2:]) + 2 * pool.padding < pool.kernel:
        return
    above = (x.double() - x.double().mean(1, keepdim=True)).relu() ** power
    expected = pool(above)
    outs: list[Tensor] = []

    def work() -> None:
        given_ = kernels.rectified(x, power)
        assert isinstance(given_, Rectified)
        found = kernels.pooled(given_, pool)
        assert isinstance(found, Pooled)
        outs.extend((kernels.powers(found, then), made(found), made(given_)))

    with pytest.MonkeyPatch.context() as patch:
        small(patch, AT_ONCE=at_once)
        names = launches(work)
    assert set(names) == {"pooled"}
    assert outs[1].permute(0, 2, 3, 1).is_contiguous()
    rounding = 1e-5 if power == then == 1 else 4e-4  # near 0 powers below 1 are steep
    for found, right in zip(outs, (expected**then, expected, above), strict=True):
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=rounding)


def test_before_it_is_made_a_pooled_image_says_what_it_will_be() -> None:
    for pool in (Pool(True, 2, 2, 0), Pool(False, 3, 1, 1)):
        found = kernels.pooled(kernels.rectified(draw((2, 5, 6, 4), 0, 1), 1.0), pool)
        said = found.shape, found.stride()
        assert said == (made(found).shape, made(found).stride())
        assert torch.equal(found.flatten(1), made(found).flatten(1))


def test_other_windows_are_pooled_by_torch() -> None:
    x = draw((1, 3, 40, 40))
    for pool in (Pool(True, 33, 1, 0), Pool(False, 33, 3, 0)):
        names = launches(lambda p=pool: kernels.pooled(kernels.rectified(x, 1.0), p))
        assert "pooled" not in names
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        kernels.pooled(kernels.rectified(x, 1.0), Pool(True, 2, 2, 2))
    with pytest.raises(RuntimeError, match="too small|smaller than"):
        kernels.pooled(kernels.rectified(x, 1.0), Pool(True, 41, 2, 0))


@pytest.mark.parametrize("at_once", [triton_images.AT_ONCE, 16])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("power", [1.0, 0.7])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_handed_on_as_torch_does(
    at_once: int, largest: bool, power: float, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, AT_ONCE=at_once)
    x, pool = draw((1, 40, 6, 6), 0, 1), Pool(largest, 4, 2, 1)
    x[0, 35, 2, 2] = bad
    expected = pool((x - x.mean(1, keepdim=True)).relu() ** power)
    found = made(kernels.pooled(kernels.rectified(x, power), pool))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert not bool(found[0, :, 2, 2].isnan().any())


@pytest.mark.parametrize("power", [0.1, 0.5, 0.7, 1.4, 2.0, 3.0, 10.0])
def test_powers_have_six_digits_over_the_whole_range(power: float) -> None:
    bits = torch.arange(0, 0x7F800000, 0x10001, dtype=torch.int32)  # every exponent, subnormal too
    x = bits.view(torch.float32).to(DEVICE)
    expected = (x.double() ** power).float()
    found = kernels.powers(x, power)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-38)
    assert bool((found[expected.isinf()] == math.inf).all())


def test_powers_at_the_edges() -> None:
    x = torch.tensor([0.0, -0.0, -1.0, -math.inf, math.inf, math.nan, 1.0, 5e-324]).to(DEVICE)
    for power in (0.7, 2.0):
        found = kernels.powers(x, power)
        assert found.tolist()[:5] == [0, 0, 0, 0, math.inf]
        assert math.isnan(found[5])
        assert found[6] == 1


@few
@given(shape=shapes, kind=kinds, power=st.sampled_from([0.5, 1.0, 1.4]), seed=seeds)
def test_powers(shape: Any, kind: int, power: float, seed: int) -> None:
    x = draw(shape, seed, kind)
    found = kernels.powers(x, power)
    torch.testing.assert_close(found, x.relu() ** power, rtol=1e-6, atol=0)
    assert found.stride() == x.relu().stride()


# -- nets --------------------------------------------------------------------------------------


def a_net(norm: Any = sh.BatchNorm) -> sh.StreamNet:
    return sh.StreamNet(
        norm(3), sh.Conv2d(3, 20, 3, padding=1), sh.Triangle(0.7), sh.MaxPool2d(4, 2, 1),
        sh.RePU(1.4), norm(20), sh.Conv2d(20, 24, 3, padding=1, padding_mode="zeros"),
        sh.Triangle(), sh.AvgPool2d(2), sh.Flatten(),
        input_shape=(3, 6, 6), seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("norm", [sh.BatchNorm, sh.RunningNorm])
def test_a_net_learns_what_it_learns_with_torch(norm: Any) -> None:
    """And asking for what lies between changes nothing."""
    x, nets, outs = draw((4, 3, 6, 6)).split(2), [], []
    for backend, asks in (("torch", False), ("triton", False), ("triton", True)):
        net = a_net(norm).to(DEVICE)
        with kernels.use(backend):
            for one in x:
                result = net.step(one, activity=asks)
                assert all(type(out) is Tensor for out in result.activity.values())
                outs.append(net.respond(x[0]).prediction)
        nets.append(net.state_dict())
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-4)
    for name, plain in nets[0].items():
        if isinstance(plain, Tensor):
            # Squares of changes, in which much cancels, round more than what changes.
            torch.testing.assert_close(nets[1][name], plain, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(nets[2][name], nets[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(DEVICE != "cpu", reason="a card runs the same itself: test_triton_card.py")
@pytest.mark.parametrize("norm", [sh.BatchNorm, sh.RunningNorm])
def test_blocks_in_any_order_learn_what_steps_do(
    norm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    xs, right = draw((6, 3, 6, 6)), a_net(norm)
    for x in xs:
        right.step(x)
    net, device = a_net(norm), FakeDevice(1)
    graphs = CudaGraphs(per="wavefront", slots=1, warm_up=1, device=device)
    on_device(monkeypatch, net, device, graphs)
    assert net.learn(xs, block=2) == 6
    assert device.played
    for name, value in right.named_buffers():  # to rounding: see test_triton.py
        torch.testing.assert_close(net.get_buffer(name), value, rtol=1e-5, atol=1e-6)


def test_what_is_made_late_was_normalised_by_the_statistics_of_its_time() -> None:
    norm = sh.BatchNorm(3).to(DEVICE)
    x = draw((2, 3, 4, 4))
    before = torch.nn.functional.batch_norm(x, norm.mean.clone(), norm.var.clone(), eps=norm.eps)
    late = norm.respond(x)
    norm.learn(norm.observe(x + 5)[1])
    torch.testing.assert_close(made(late), before, rtol=1e-5, atol=1e-6)


AROUND = ("moments", "padded", "pooled", "powers", "lerp", "follow")


def test_what_stands_around_a_layer_asks_for_few_launches() -> None:
    """Counted without memory; the products of layers are counted elsewhere."""
    found = asked(a_net(), draw((1, 3, 6, 6)))
    for place, name in enumerate(found):
        names = found[name].by_name
        around = {key: names.get(f"triton::{key}", 0) for key in AROUND}
        if name.startswith("respond"):
            assert list(around.values()) == [1, 1, 1, 0, 0, 0], name
            plain = {key for key in names if key.startswith("aten")}
            assert plain <= {"aten::clone", "aten::_unsafe_view"}, (place, plain)
        else:
            assert list(around.values()) == [0, 0, 0, 0, 1, 0], name


def test_a_stream_asks_for_few_launches_too() -> None:
    found = asked(a_net(sh.RunningNorm), draw((1, 3, 6, 6)))
    respond, learn = (found[name].by_name for name in list(found)[:2])
    assert [respond[f"triton::{name}"] for name in AROUND[:3]] == [1, 1, 1]
    assert not {key for key in respond if key.startswith("aten")} - {
        "aten::clone", "aten::_unsafe_view",
    }  # fmt: skip
    assert learn["triton::follow"] == 1


def test_many_pixels_ask_for_one_launch_more() -> None:
    net = sh.StreamNet(sh.BatchNorm(3), sh.Conv2d(3, 8, 3), input_shape=(3, 32, 32), seed=0)
    few_, many = (
        asked(net, torch.empty(size, 3, 32, 32, device="meta"))[
            "respond 0:BatchNorm+1:Conv2d"
        ].by_name
        for size in (1, 64)
    )
    assert "triton::join" not in few_
    assert many["triton::join"] == 1
