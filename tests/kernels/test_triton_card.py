"""Triton's kernels on a real card: how exact, always the same bits, in graphs, without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels
from streamhebb.kernels import triton_backend, triton_images, triton_learning
from streamhebb.kernels.at_once import DIVISORS
from streamhebb.kernels.images import Pool
from streamhebb.lazy import times
from streamhebb.schedule import CudaGraphs, Serial
from streamhebb.values import LocalUpdate, Outer

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or not triton_backend._runs(torch.device("cuda")),
    reason="needs a CUDA card of compute capability 8.0 and the extra triton",
)

IMAGES = [(1, 3, 32, 32), (64, 3, 32, 32), (1, 384, 8, 8), (10, 96, 16, 16)]
SHAPES = [(1, 100, 784), (64, 1536, 3456), (640, 384, 864), (10240, 96, 75)]  # n, n_out, n_in


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def drawn(shape: tuple[int, int, int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """``post``, ``pre``, ``weight``."""
    n, n_out, n_in = shape
    chance = torch.Generator().manual_seed(seed)
    shapes = (n, n_out), (n, n_in), (n_out, n_in)
    y, x, w = (torch.randn(each, generator=chance).cuda() for each in shapes)
    return y, x, w


def step(y: Tensor, x: Tensor, w: Tensor, precision: str = "tf32x3") -> list[Tensor]:
    """All that there is."""
    u = triton_backend.drive(x, w, precision=precision)
    share = triton_backend.soft_wta(u, 1.0, True)
    update = LocalUpdate((Outer(y, x),), share)
    change = triton_backend.accumulate(update, w, torch.empty_like(w), precision=precision)
    found = [u, share, change]
    for by in DIVISORS:
        new, mean = w.clone(), w[:, 0].sigmoid().contiguous()
        running = kernels.Running(mean, mean.double().sum(), 100.0, torch.empty_like(mean))
        rates = kernels.rates(kernels.lengths(new), 1e-3, 0.5)
        own = running if by == "squares" else None
        decay: Any = times(y, share)
        triton_learning.learn(y, x, decay, new, rates, by, 1e-30, own, precision)
        found += [new, running.moved] if own else [new]
    return found


def images(shape: tuple[int, ...], seed: int = 0) -> tuple[Tensor]:
    """Channels last, as a layer hands them on, but for the first one."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).cuda()
    return (x if shape[1] == 3 else x.contiguous(memory_format=torch.channels_last),)


def around(x: Tensor) -> list[Tensor]:
    """All that stands around a convolution."""
    mean, scale, var = triton_images.statistics(x, 1e-5)
    past = (*x.new_zeros(2, x.shape[1]), x.new_ones((), dtype=torch.float64))
    running = triton_images.running_moments(x, past, 0.1, 1e-5)
    triton_images.follow(past, *running[:2], 0.1)
    own = mean[0].clone(), var.clone()
    triton_images.move(*own, past[:2], 0.1)
    plain = triton_images.padded(x, None, None, 1, False)
    whole = triton_images.padded(x, mean, scale, 1, True)
    pools = Pool(True, 4, 2, 1), Pool(False, 2, 2, 0)
    each = [triton_images._pooled(x, power, pool, 0.7) for power in (1.0, 1.4) for pool in pools]
    powers = triton_images.powers(x, 0.7)
    return [mean, scale, var, *running, *past, *own, plain, whole, *each, powers]


def around_strided(x: Tensor) -> list[Tensor]:
    """Of that, what takes any strides."""
    mean, scale, var = triton_images.statistics(x, 1e-5)
    whole = triton_images.padded(x, mean, scale, 1, True)
    return [mean, scale, var, whole, triton_images._pooled(x, 1.0, Pool(True, 2, 2, 0))]


Work = Callable[..., list[Tensor]]
works = pytest.mark.parametrize(
    ("work", "inputs", "shape"),
    [(step, drawn, shape) for shape in SHAPES] + [(around, images, shape) for shape in IMAGES],
)


@pytest.mark.parametrize("shape", IMAGES)
def test_what_stands_around_a_convolution_is_as_exact_as_torch(shape: Any) -> None:
    (x,) = images(shape)
    wide = x.double()
    found = around(x)
    var, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
    scale = (var + 1e-5).rsqrt()
    sizes = wide.sub(mean[:, None, None]) * scale[:, None, None]
    above = (wide - wide.mean(1, keepdim=True)).relu()
    pools = Pool(True, 4, 2, 1), Pool(False, 2, 2, 0)
    pooled = [pool(above**power) ** 0.7 for power in (1.0, 1.4) for pool in pools]
    expected = {
        0: mean[None], 1: scale[None], 2: torch.var(wide, (0, 2, 3)),
        13: torch.nn.functional.pad(sizes, (1,) * 4, mode="reflect").permute(0, 2, 3, 1),
        **dict(enumerate(pooled, 14)), 18: wide.relu() ** 0.7,
    }  # fmt: skip
    for place, right in expected.items():
        # What lies near a mean is as exact as the mean; powers below 1 are steep there.
        most = 5e-4 if 14 <= place < 18 else 3e-6
        torch.testing.assert_close(found[place].double(), right, rtol=3e-6, atol=most)
    torch.testing.assert_close(found[18].double(), expected[18], rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("precision", "most", "least"), [("tf32x3", 2e-6, 0), ("ieee", 2e-6, 0), ("bf16", 1e-2, 1e-5)]
)
def test_products_are_as_exact_as_their_names_say(
    shape: Any, precision: str, most: float, least: float
) -> None:
    y, x, w = drawn(shape)
    update = LocalUpdate((Outer(y, x),))
    pairs = [
        (triton_backend.drive(x, w, precision=precision), x, w.mT),
        (triton_backend.accumulate(update, w, torch.empty_like(w), precision=precision), y.mT, x),
    ]
    for found, a, b in pairs:
        error = (found.double() - a.double() @ b.double()).abs()
        worst = float((error / (a.double().abs() @ b.double().abs())).max())
        assert least <= worst <= most


@works
def test_every_run_gives_the_same_bits_on_any_stream(work: Work, inputs: Any, shape: Any) -> None:
    given = inputs(shape)
    first = work(*given)
    torch.cuda.synchronize()
    for _ in range(3):
        with torch.cuda.stream(torch.cuda.Stream()):
            again = work(*given)
            torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@works
def test_a_recorded_graph_gives_the_bits_of_a_plain_call(
    work: Work, inputs: Any, shape: Any
) -> None:
    given = inputs(shape)
    with torch.cuda.stream(torch.cuda.Stream()):
        work(*given)  # compiles
        torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = work(*given)
    for seed in (1, 2):
        fresh = inputs(shape, seed)
        for here, value in zip(given, fresh, strict=True):
            here.copy_(value)
        graph.replay()
        torch.cuda.synchronize()
        expected = work(*fresh)
        assert all(torch.equal(a, b) for a, b in zip(recorded, expected, strict=True))


@pytest.mark.parametrize(
    ("shape", "kernel", "n_out"),
    [((2, 36, 36, 3), 5, 96), ((1, 18, 18, 96), 3, 384), ((1, 10, 10, 384), 3, 1536)],
)
@pytest.mark.parametrize("precision", triton_backend.PRECISIONS)
def test_windows_are_read_where_they_lie(
    shape: Any, kernel: int, n_out: int, precision: str
) -> None:
    chance = torch.Generator().manual_seed(0)
    image = torch.randn(shape, generator=chance).cuda()
    seen = kernels.Patches(image, 0, False, (kernel, kernel))
    y, x, w = drawn((seen.shape[0], n_out, seen.shape[1]))
    x.copy_(seen.make())
    both = step(y, seen, w, precision), step(y, x, w, precision)
    assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


@works
def test_nobody_waits_for_the_card(work: Work, inputs: Any, shape: Any) -> None:
    given = inputs(shape)
    work(*given)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work(*given)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_places_beyond_32_bits() -> None:
    size = (1 << 31) + 64
    if torch.cuda.mem_get_info()[0] < 5 * size:
        pytest.skip("needs 11 GB of the card's memory")
    memory = torch.empty(size, device="cuda")
    far = memory.as_strided((2, 32), (size - 32, 1))  # two rows at both ends
    far.copy_(drawn((2, 1, 32))[1])
    near = far.clone()
    w = drawn((1, 40, 32))[2]
    assert torch.equal(triton_backend.drive(far, w), triton_backend.drive(near, w))
    assert torch.equal(triton_backend.drive(w, far), triton_backend.drive(w, near))
    shares = triton_backend.soft_wta(far, 1.0, True), triton_backend.soft_wta(near, 1.0, True)
    assert torch.equal(*shares)
    y, x, _ = drawn((3, 2, 32))
    for weight in (far, near):
        rates = kernels.rates(kernels.lengths(weight), 0.1, 0.5)
        triton_learning.learn(y, x, None, weight, rates, "largest", 1e-30, None, "tf32x3")
    assert torch.equal(far, near)
    del near, far
    image = memory.as_strided((2, 3, 4, 4), (size - 48, 1, 12, 3))  # two images at both ends
    image.copy_(images((2, 3, 4, 4))[0])
    apart, together = around_strided(image), around_strided(image.clone())
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))


def published(scheduler: Any, backend: str, batches: list[Tensor], block: int = 0) -> list[Tensor]:
    net = sh.build("softhebb-cifar10", input_shape=(3, 32, 32), seed=0).to("cuda")
    net.set_scheduler(scheduler)
    with kernels.use(backend):
        if block:
            net.learn(torch.cat(batches), batch_size=len(batches[0]), block=block)
        for x in () if block else batches:
            net.step(x)
    torch.cuda.synchronize()
    return [layer.weight.clone() for layer in net.layers if isinstance(layer, sh.Conv2d)]


@pytest.fixture
def batches() -> list[Tensor]:
    chance = torch.Generator().manual_seed(0)
    return [torch.rand(4, 3, 32, 32, generator=chance).cuda() for _ in range(6)]


def test_the_published_net_learns_what_it_learns_with_torch(batches: list[Tensor]) -> None:
    found = published(Serial(), "triton", batches[:1])
    expected = published(Serial(), "torch", batches[:1])
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-6


@pytest.mark.parametrize("make", [CudaGraphs, Serial])
def test_a_recorded_net_gives_the_bits_of_serial(
    make: Callable[[], Any], batches: list[Tensor]
) -> None:
    found, expected = (published(s, "triton", batches) for s in (make(), Serial()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_recorded_blocks_give_the_bits_of_steps(backend: str, batches: list[Tensor]) -> None:
    graphs = CudaGraphs(per="wavefront", slots=1, warm_up=1)
    found = published(graphs, backend, batches * 4, block=3)
    expected = published(Serial(), backend, batches * 4)
    assert graphs.counts["played"] > 0
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
