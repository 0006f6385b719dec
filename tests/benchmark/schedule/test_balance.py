from __future__ import annotations

import pytest
import torch

from streamhebb import sharing
from streamhebb.benchmark.schedule.balance import WithoutHelp, compare, make_net
from streamhebb.schedule import Serial, Task, Threads, make_plan


def test_both_kinds_learn_the_same() -> None:
    found = compare(8, batch=2, rounds=2, steps=3)
    assert [row.shared for row in found] == [False, True]
    for row in found:
        assert row.same_bits
        assert row.pieces == 1
        assert len(row.layers) == 3
        assert 0 < row.bound <= row.serial
        assert row.reached > 0
        assert row.apart > 0
        assert row.of_apart > 0
        assert row.times > 0


def test_the_bound_is_an_equal_share_of_equal_layers() -> None:
    row = compare(8, batch=2, workers=1, rounds=1, steps=2)[0]
    assert row.bound == pytest.approx(sum(row.layers))


def test_wide_layers_are_cut() -> None:
    assert len(sharing.cut(1500, 32 * 1500**2)) == 4
    assert len(sharing.cut(900, 32 * 900**2)) == 1


def test_layers_weigh_the_same_and_nothing_grows() -> None:
    net = make_net(6)
    assert len(net.planner.stages) == 3
    for _ in range(20):
        net.step(torch.rand(2, 6))
    assert net.features(torch.rand(1, 6)).norm() == pytest.approx(1, abs=1e-4)


def test_without_help_a_worker_does_all_pieces() -> None:
    class Nobody:
        def share(self, piece, count):
            raise RuntimeError("asked for help")

    done: list[int] = []
    plan = make_plan([Task("cut", 0, (), lambda frame: sharing.in_pieces(done.append, 3))])
    with sharing.crew(Nobody()):
        with pytest.raises(RuntimeError, match="asked for help"):
            Serial().submit(plan, None)
        alone = WithoutHelp(Serial())
        alone.submit(plan, None).wait()
        alone.submit(plan, None).wait()
    assert done == [0, 1, 2] * 2
    threads = WithoutHelp(Threads(2))
    threads.submit(plan, None)
    threads.join()
    threads.clear()
    threads.close()
    assert done == [0, 1, 2] * 3
