"""The cost of recorded steps on the host: what is measured is what would be played."""

from __future__ import annotations

import torch

import streamhebb as sh
from streamhebb.benchmark.schedule.host import Idle, compare
from streamhebb.schedule import CudaGraphs
from streamhebb.schedule.ring import InputRing


def small() -> sh.StreamNet:
    layers = sh.Flatten(), sh.Dense(12, 4), sh.Dense(4, 3)
    return sh.StreamNet(*layers, input_shape=(3, 2, 2), seed=0)


def test_both_ways_are_measured_at_both_sizes() -> None:
    for batch in (1, 3):
        found = compare(batch, together=4, rounds=3, turn=2, make=small, shape=(3, 2, 2))
        assert [row.way for row in found] == ["net.learn", "net.run"]
        assert all(0 < row.lowest <= row.us <= row.highest for row in found)
        assert [(row.batch, row.together) for row in found] == [(batch, 4)] * 2


def test_a_device_that_does_nothing_plays_blocks_back() -> None:
    device, net = Idle(), small()
    net.scheduler = CudaGraphs(per="wavefront", slots=1, warm_up=1, device=device)
    net.learn(torch.rand(40, 3, 2, 2), block=4)
    assert device.played == 9
    assert int(net.layers[1].updates) == 4 + 4  # the first block, and the one that was recorded
    assert net.counts["learned"] == 40


def test_it_has_all_that_a_ring_asks_for() -> None:
    device = Idle()
    ring = InputRing(2, device)
    there, ready = ring.put(torch.ones(3))
    assert torch.equal(there, torch.ones(3))
    assert device.query(ready)
    assert device.seconds(ready, ready) == 0
