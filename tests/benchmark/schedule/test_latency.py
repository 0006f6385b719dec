from __future__ import annotations

import torch

from streamhebb import Dense, StreamNet
from streamhebb.benchmark.schedule.latency import learning_speed, measure
from streamhebb.running import POLICIES

MANY = 1e7  # samples a second: nobody waits for the source


def test_every_sample_is_answered_or_counted() -> None:
    net = StreamNet(Dense(4, 3), Dense(3, 3), seed=0)
    before = net.layers[0].weight.clone()
    found = measure(net, list(torch.rand(40, 4)), MANY, deadline=1e-3)
    assert tuple(row.policy for row in found) == POLICIES
    for row in found:
        lost = row.missed.get("dropped", 0) + row.missed.get("overtaken", 0)
        assert row.results + lost == 40
        assert row.learned == row.results - row.missed.get("deadline", 0)
        assert 0 < row.p50 <= row.p99 * 1.01
        assert row.p99 <= row.max * 1.01
        assert row.seconds >= row.late > 0
        assert (row.deadline is None) == (row.policy != "skip_learning")
    assert found[0].missed == {}
    assert found[3].results == 40
    assert torch.equal(net.layers[0].weight, before)
    assert net.counts["samples"] == 0


def test_one_policy_alone() -> None:
    net = StreamNet(Dense(4, 3), seed=0)
    (row,) = measure(net, list(torch.rand(3, 4)), MANY, policies=["latest"], workers=1)
    assert row.policy == "latest"
    assert row.per_second == MANY


def test_the_speed_of_learning_leaves_the_net_as_it_was() -> None:
    net = StreamNet(Dense(4, 3), seed=0)
    assert learning_speed(net, torch.rand(10, 4)) > 0
    assert net.counts["samples"] == 0
