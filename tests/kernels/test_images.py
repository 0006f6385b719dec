"""What stands around convolutions: passes of several steps give what the steps give."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import streamhebb as sh
from streamhebb import kernels
from streamhebb.frames import Frame, Mode
from streamhebb.kernels.images import Pool, Rectified, Scaled
from streamhebb.lazy import made

shapes = st.tuples(
    st.integers(1, 3), st.sampled_from([1, 3, 16, 20, 48]), st.integers(3, 8), st.integers(3, 8)
)


def draw(shape, seed=0, last=False):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    return x.contiguous(memory_format=torch.channels_last) if last else x


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@settings(deadline=None)  # numba compiles
@given(shapes, st.booleans(), st.booleans(), st.integers(0, 9))
def test_moments(shape, last, each, seed):
    x = draw(shape, seed, last)
    dims = (2, 3) if each else (0, 2, 3)
    var, mean = torch.var_mean(x.double(), dims, correction=0)
    for backend in ("torch", "numba"):
        with kernels.use(backend):
            found = kernels.moments(x, each)
        assert found[0].shape == (shape[0] if each else 1, shape[1])
        torch.testing.assert_close(found[0].double(), mean.view(found[0].shape), rtol=0, atol=2e-6)
        torch.testing.assert_close(
            found[1].double(), var.view(found[1].shape), rtol=1e-5, atol=1e-6
        )


@settings(deadline=None)
@given(
    shapes, st.booleans(), st.booleans(), st.integers(0, 2), st.booleans(), st.booleans(),
    st.integers(0, 9),
)  # fmt: skip
def test_normalised_and_padded_in_one_pass(shape, last, each, padding, reflect, scaled, seed):
    x, rows = draw(shape, seed, last), shape[0] if each else 1
    mean, scale = draw((rows, shape[1]), seed + 1), draw((rows, shape[1]), seed + 2)
    plain = (x - mean[..., None, None]) * scale[..., None, None] if scaled else x
    mode = "reflect" if reflect else "constant"
    expected = F.pad(plain, (padding,) * 4, mode=mode) if padding else plain
    for backend in ("torch", "numba"):
        with kernels.use(backend):
            given_ = kernels.scaled(x, mean, scale) if scaled else x
            assert isinstance(given_, Scaled) == (scaled and backend == "numba")
            image = kernels.padded(given_, padding, reflect)
        assert image.is_contiguous()
        assert torch.equal(image.permute(0, 3, 1, 2), expected)
        assert torch.equal(made(given_), plain)


pools = st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)).filter(
    lambda pool: pool[3] <= pool[1] // 2
)


@settings(deadline=None, max_examples=50)
@given(shapes, st.booleans(), pools, st.sampled_from([1.0, 0.7, 2.0]), st.integers(0, 9))
def test_rectified_and_pooled_in_one_pass(shape, last, pool, power, seed):
    x, pool = draw(shape, seed, last), Pool(*pool)
    if min(shape[2:]) + 2 * pool.padding < pool.kernel:
        return
    above = (x - x.mean(1, keepdim=True)).relu() ** power
    expected = pool(above)
    for backend in ("torch", "numba"):
        with kernels.use(backend):
            given_ = kernels.rectified(x, power)
            found = kernels.pooled(given_, pool)
        assert isinstance(given_, Rectified) == (backend == "numba")
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made(given_), above, rtol=1e-5, atol=1e-5)


def test_pieces_of_a_batch_are_the_whole_batch():
    x = draw((40, 64, 30, 30), last=True)
    with kernels.use("numba"):
        rectified = kernels.rectified(x, 1.0)
        whole = kernels.pooled(rectified, Pool(True, 4, 2, 1))
    parts = []
    with kernels.use("numba"):
        for one in x.split(1):
            parts.append(kernels.pooled(kernels.rectified(one, 1.0), Pool(True, 4, 2, 1)))
    assert torch.equal(whole, torch.cat(parts))


@settings(deadline=None)
@given(shapes, st.booleans(), st.sampled_from([0.5, 1.0, 1.4]), st.integers(0, 9))
def test_powers(shape, last, power, seed):
    x = draw(shape, seed, last)
    with kernels.use("numba"):
        found = kernels.powers(x, power)
    torch.testing.assert_close(found, x.relu() ** power, rtol=2e-6, atol=1e-30)
    assert found.stride() == x.stride()


@pytest.mark.parametrize("largest", [True, False])
def test_what_is_not_a_number_is_handed_on(largest):
    x = draw((1, 16, 6, 6), last=True)
    x[0, 3, 2, 2] = torch.nan
    with kernels.use("numba"):
        found = kernels.pooled(kernels.rectified(x, 1.0), Pool(largest, 2, 2, 0))
        assert bool(found[0, :, 1, 1].isnan().all())
        assert not bool(found[0, :, 0, 0].isnan().any())
        assert bool(kernels.powers(x, 2.0)[0, 3, 2, 2].isnan())
        mean, _ = kernels.moments(x, each=False)
        assert mean.isnan().nonzero().tolist() == [[0, 3]]


def test_what_a_recording_hands_over_is_made_each_time():
    """A twin is written again and again; what one frame got must not be what the next one gets."""
    x = draw((2, 16, 6, 6), last=True)
    twin, frames = Frame(x.clone(), 2, [None], [1.0, 1.0]), []
    with kernels.use("numba"):
        twin.out[1] = kernels.rectified(twin.out[0], 1.0)
        twin.out[2] = twin.out[0] * 2  # stands for the end of a recorded task
        for seed in range(2):
            frame = Frame(draw(x.shape, seed, last=True), 2, [None], [1.0, 1.0])
            frame.activity = True
            twin.load(frame)
            twin.hand_over(frame)
            frames.append(frame)
        for frame in frames:
            assert torch.equal(frame.out[1], made(kernels.rectified(frame.out[0], 1.0)))


def test_what_a_stage_hands_on_is_made():
    """Others read it, in other lanes, and a recording must have it in its buffer."""
    net = sh.StreamNet(
        sh.Conv2d(3, 16, 3), sh.Triangle(), sh.RunningNorm(16), input_shape=(3, 6, 6), seed=0
    )
    frame = Frame(draw((2, 3, 6, 6)), 3, [None], [1.0] * 3)
    with kernels.use("numba"):
        for task in net.planner.step(Mode.LEARN).plan:
            task.run(frame)
    assert [type(out) is torch.Tensor for out in frame.out[1:]] == [True, True, True]


def test_where_gradients_are_wanted_every_step_is_made():
    x = draw((2, 16, 4, 4))
    with torch.enable_grad(), kernels.use("numba"):
        assert not kernels.fuses(x)
        x.requires_grad_()
        y = kernels.rectified(kernels.scaled(x, torch.zeros(1, 16), torch.ones(1, 16)), 1.5)
        kernels.pooled(y, Pool(True, 2, 2, 0)).sum().backward()
    assert bool(x.grad.isfinite().all())


def a_net():
    return sh.StreamNet(
        sh.BatchNorm(3), sh.Conv2d(3, 48, 5, padding=2), sh.Triangle(), sh.MaxPool2d(4, 2, 1),
        sh.RePU(0.7), sh.RunningNorm(48), sh.Conv2d(48, 64, 3, padding=1, padding_mode="zeros"),
        sh.Triangle(1.4), sh.AvgPool2d(2), sh.Flatten(), readout=sh.SoftmaxReadout(64 * 16),
        input_shape=(3, 16, 16),
    )  # fmt: skip


def test_a_net_learns_the_same_in_fewer_passes():
    """And asking for what lies between changes nothing."""
    x, nets = draw((5, 3, 16, 16)).split(1), []
    for backend, asked in (("torch", False), ("numba", False), ("numba", True)):
        net = a_net()
        with kernels.use(backend):
            for one in x:
                result = net.step(one, [0], activity=asked)
                assert all(type(out) is torch.Tensor for out in result.activity.values())
        nets.append(net.state_dict())
    for name, plain in nets[0].items():
        if isinstance(plain, torch.Tensor):
            torch.testing.assert_close(nets[1][name], plain, rtol=1e-4, atol=1e-4)
            assert torch.equal(nets[1][name], nets[2][name])
