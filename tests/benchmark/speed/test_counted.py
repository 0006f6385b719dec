"""Work that may not grow unnoticed: what a step asks of torch is counted, not timed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba.core.dispatcher import Dispatcher

import streamhebb as sh
from streamhebb import kernels
from streamhebb.benchmark.speed.compare import with_method
from streamhebb.benchmark.speed.counted import count
from streamhebb.kernels import (
    changing,
    few_loops,
    image_loops,
    row_loops,
    soft_loops,
    tile_loops,
    window_loops,
)
from streamhebb.kernels.tile_loops import TileLoops

SIZES, SIDE, BATCH = (16, 24, 32), 16, 4  # neurons of three layers, side of the images


def a_net(sizes=SIZES):
    """The published net, smaller."""
    layers, n_in = [], 3
    for number, n in enumerate(sizes):
        k = 5 if number == 0 else 3
        layers += [sh.BatchNorm(n_in), sh.Conv2d(n_in, n, k, padding=k // 2, scaling=sh.LayerMax())]
        layers += [sh.Triangle(), sh.MaxPool2d(4, stride=2, padding=1)]
        n_in = n
    return sh.StreamNet(*layers, seed=0)


def counts_of(method, work="step"):
    net = with_method(a_net(), method)
    x = torch.rand(BATCH, 3, SIDE, SIDE)
    net.step(x)
    net.step(x)  # buffers are there
    return count(lambda: getattr(net, work)(x))


def products():
    """Multiplications and additions of all windows with all neurons, by layer."""
    side, n_in, found = SIDE, 3, []
    for number, n in enumerate(SIZES):
        found.append(2 * BATCH * side**2 * n * n_in * (25 if number == 0 else 9))
        side, n_in = side // 2, n
    return found


def test_a_direct_step_multiplies_each_window_twice():
    assert counts_of("direct", "respond").flops == sum(products())
    assert counts_of("direct").flops == 2 * sum(products())


@pytest.mark.parametrize(("side", "positions"), [(2, 16), (4, 36)])
def test_tiles_multiply_less_and_map_what_they_must(side, positions):
    """(m + 2)^2 products for m^2 outputs; maps of tiles, weights and outputs on both sides."""
    expected, length, n_in = products()[0], SIDE, 3
    for number, n in enumerate(SIZES):
        if number:
            tiles = BATCH * (length // side) ** 2
            expected += 2 * positions * tiles * n_in * n  # products
            expected += 2 * positions * positions * tiles * n_in  # inputs
            expected += 2 * positions * 9 * n_in * n  # weights
            expected += 2 * side**2 * positions * tiles * n  # outputs
        length, n_in = length // 2, n
    assert counts_of(f"winograd{side}", "respond").flops == expected


@pytest.fixture(params=["whole", "by rows"])
def way(request, monkeypatch):
    """Layers changed by the whole matrix, or a few neurons at a time as large ones are."""
    if request.param == "by rows":
        monkeypatch.setattr(changing, "LARGE", 1)
    return request.param


# What a step took when this was written. Less is welcome: lower the number. More needs a reason.
STEPS = {
    # launches, bytes, allocations, bytes allocated
    ("direct", "whole"): (116, 5715952, 84, 1139776),
    ("winograd2", "whole"): (138, 6490352, 94, 1265728),
    ("winograd4", "whole"): (138, 6333616, 94, 1186880),
    ("direct", "by rows"): (197, 7133246, 138, 1353355),
    ("winograd2", "by rows"): (229, 7983550, 155, 1529739),
    ("winograd4", "by rows"): (229, 7808286, 153, 1426827),
}


@pytest.mark.parametrize("method", ["direct", "winograd2", "winograd4"])
def test_a_step_asks_no_more_than_it_did(method, way):
    found = counts_of(method)
    launches, size, allocations, allocated = STEPS[method, way]
    assert found.launches <= launches, found.by_name
    assert found.bytes <= size
    assert found.allocations <= allocations
    assert found.allocated <= allocated


class Calls:
    """Counts how often compiled loops are called, by what name, and the arrays they are given."""

    def __init__(self, monkeypatch):
        self.by_name, self.bytes = {}, 0
        for module in (few_loops, image_loops, row_loops, soft_loops, window_loops):
            for name, value in vars(module).items():
                if isinstance(value, Dispatcher):
                    monkeypatch.setattr(module, name, self.counting(name, value))
        loops = {
            key: TileLoops(*(self.counting(f"tiles {n}", f) for n, f in each._asdict().items()))
            for key, each in tile_loops.LOOPS.items()
        }
        monkeypatch.setattr(tile_loops, "LOOPS", loops)

    def counting(self, name, function):
        def counted(*args):
            self.by_name[name] = self.by_name.get(name, 0) + 1
            self.bytes += sum(each.nbytes for each in args if isinstance(each, np.ndarray))
            return function(*args)

        return counted

    @property
    def total(self):
        return sum(self.by_name.values())


@pytest.mark.parametrize(
    ("method", "launches", "calls", "size"),
    [
        ("direct", 45, 30, 28993636),
        ("winograd2", 54, 31, 65524896),
        ("winograd4", 54, 31, 49000608),
    ],
)
def test_compiled_loops_are_few_and_memory_comes_back(method, launches, calls, size, monkeypatch):
    """What loops do is not seen by torch, but how often they are asked, and for what memory."""
    monkeypatch.setattr(changing, "LARGE", 1 << 13)
    net, x = with_method(a_net((32, 64, 64)), method), torch.rand(16, 3, 32, 32)
    with kernels.use("numba"):
        net.step(x)
        net.step(x)  # memory is there
        counted = Calls(monkeypatch)
        found = count(lambda: net.step(x))
    assert [layer.unforeseen for layer in net.layers if isinstance(layer, sh.Conv2d)] == [0, 0, 0]
    assert found.launches <= launches, found.by_name
    assert counted.total <= calls, counted.by_name
    assert counted.bytes <= 1.1 * size  # each array once for each loop; vectors differ in length
    largest = 16 * 32 * 32 * 32 * 4  # what the first layer says
    assert found.allocated < largest / 4


@pytest.mark.parametrize(
    ("backend", "passes", "launches"),
    # Drive; product, decay (2), adding (3), length. The search takes rows out of the weights, which
    # counts as a pass for each try. With numba all but the drive is one pass that is not seen.
    [("torch", 10.2, 63), ("numba", 1.1, 15)],
)
def test_passes_of_a_dense_step_of_one_sample(backend, passes, launches):
    layer = sh.Dense(1024, 1024, rate=sh.NormRate(0.01), scaling=sh.LayerMax())
    net, x = sh.StreamNet(layer, seed=0), torch.rand(3, 1024)
    with kernels.use(backend):
        net.step(x[0])
        net.step(x[1])  # memory is there
        found = count(lambda: net.step(x[2]))
    size = layer.weight.numel() * layer.weight.element_size()
    assert layer.unforeseen == 0
    assert found.bytes <= passes * size
    assert found.allocated < size / 20
    assert found.launches <= launches, found.by_name
