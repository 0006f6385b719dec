"""The plain step is the library's, and the library's ways are the plain step."""

from __future__ import annotations

import pytest
import torch

import streamhebb as sh
from streamhebb import kernels
from streamhebb.benchmark.beside import BLOCKS, in_blocks
from streamhebb.benchmark.speed.compare import (
    LANES,
    WAYS,
    compare,
    in_this_way,
    multiplications,
    with_method,
)
from streamhebb.benchmark.speed.plain import plain
from streamhebb.errors import ConfigError


def small(sizes=(6, 10, 12)) -> sh.StreamNet:
    """Three blocks of the published kind."""
    layers: list[sh.Layer] = []
    for n_in, n_out, size, pool in (
        (3, sizes[0], 5, sh.MaxPool2d(4, 2, 1)),
        (sizes[0], sizes[1], 3, sh.MaxPool2d(4, 2, 1)),
        (sizes[1], sizes[2], 3, sh.MaxPool2d(2)),
    ):
        conv = sh.Conv2d(
            n_in,
            n_out,
            size,
            padding=size // 2,
            competition=sh.SoftWTA(0.7, anti_hebbian=True),
            rate=sh.NormRate(0.02),
            scaling=sh.LayerMax(),
        )
        layers += [sh.BatchNorm(n_in), conv, sh.Triangle(), pool, sh.RePU(0.7)]
    return sh.StreamNet(*layers, input_shape=(3, 16, 16), seed=0)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("sizes", [(6, 10, 12), (32, 64, 96)], ids=str)
@pytest.mark.parametrize("method", ["direct", "winograd2", "winograd4"])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-7)])
def test_one_step_agrees(method, dtype, bound, sizes, backend):
    net = with_method(small(sizes).to(dtype), method)
    base = plain(net.layers)
    before = [block.weight.clone() for block in base.blocks]
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    with kernels.use(backend):
        out = net.step(x).scores
    scores = base.step(x)
    top = float(scores.abs().max())
    torch.testing.assert_close(out.flatten(1), scores, rtol=1e-3, atol=1e-4 * max(1, top))
    convs = [layer for layer in net.layers if isinstance(layer, sh.Conv2d)]
    assert [conv.method for conv in convs] == ["direct", method, method]
    for conv, block, first in zip(convs, base.blocks, before, strict=True):
        assert not torch.equal(block.weight, first)
        assert float((conv.kernel - block.weight).norm() / block.weight.norm()) < bound


def test_several_steps_agree_in_double_precision():
    net = with_method(small().double(), "winograd4")
    base = plain(net.layers)
    for seed in range(5):
        x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed)).double()
        net.step(x)
        base.step(x)
    for conv, block in zip(net.layers[1::5], base.blocks, strict=True):
        assert float((conv.kernel - block.weight).norm() / block.weight.norm()) < 1e-12


def test_without_learning_weights_stay():
    base = plain(small().layers)
    before = [block.weight.clone() for block in base.blocks]
    base.step(torch.rand(2, 3, 16, 16), learn=False)
    assert all(torch.equal(b.weight, w) for b, w in zip(base.blocks, before, strict=True))


def test_other_layers_are_refused():
    with pytest.raises(ConfigError, match="published"):
        plain([sh.BatchNorm(3), sh.Dense(3, 4), sh.ReLU(), sh.Flatten()])


def test_the_work_of_a_sample():
    net = small()
    assert multiplications(net, (3, 16, 16)) == 450 * 256 + 540 * 64 + 1080 * 16


def test_all_ways_are_measured():
    found = compare(1, 1, rounds=1, seconds=0.001, make=small, shape=(3, 16, 16))
    assert [(row.way, row.learns) for row in found] == [
        ("plain", True),
        *[(way, learns) for way in WAYS for learns in (True, False)],
    ]
    assert found[0].times == 1
    assert all(row.ms > 0 and row.times > 0 and row.of_floor > 0 for row in found)
    look, learn = found[2], found[1]
    assert look.floor == pytest.approx(learn.floor / 2)


def test_with_more_threads_layers_are_also_measured_in_threads():
    found = compare(2, 2, ways=("direct",), rounds=1, seconds=0.001, make=small, shape=(3, 16, 16))
    assert [(row.way, row.learns) for row in found] == [
        ("plain", True), ("direct", True), ("direct", False), ("direct" + LANES, True),
    ]  # fmt: skip
    assert all(row.threads == 2 for row in found)


def test_in_blocks_if_asked_for():
    ways = "direct, numba" + BLOCKS, "direct"
    found = compare(2, 1, ways=ways, rounds=1, seconds=0.001, make=small, shape=(3, 16, 16))
    assert [(row.way, row.learns) for row in found] == [
        ("plain", True), (ways[0], True), ("direct", True), ("direct", False),
    ]  # fmt: skip
    assert all(row.us_a_sample == pytest.approx(500 * row.ms) for row in found)


def test_a_turn_in_blocks_takes_the_same_steps():
    net, right = small(), small()
    batches = torch.rand(8, 2, 3, 16, 16)
    assert in_blocks(net, batches, 3, "torch") > 0
    taken = [0, 0, 1, 2]  # one comes before, and does not count
    for number in taken:
        right.step(batches[number])
    same = zip(net.buffers(), right.buffers(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_kernels_may_be_chosen_by_measuring():
    x = torch.rand(2, 3, 16, 16)
    net = in_this_way(small(), "chosen, numba, bfloat16", x)
    convolutions = [each for each in net.layers if isinstance(each, sh.Conv2d)]
    assert all(each.precision == "bfloat16" for each in convolutions)
    assert all(each.allows(each.method, each.precision) for each in convolutions)
    (_, learns, looks) = compare(
        2, 1, ways=("chosen, numba",), rounds=1, seconds=0.001, make=small, shape=(3, 16, 16)
    )
    assert (learns.way, looks.learns) == ("chosen, numba", False)
