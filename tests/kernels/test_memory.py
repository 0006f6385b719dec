"""Memory comes back when nobody holds it, and not before."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb import kernels
from streamhebb.kernels import memory
from streamhebb.kernels.memory import KEPT, SMALL, Memory, fresh

BIG = (64, 128)


def test_a_view_holds_it():
    mine = Memory()
    whole = mine.fresh(BIG, torch.float32)
    address = whole.data_ptr()
    for view in (lambda t: t[3:], lambda t: t.mT, lambda t: t.numpy(), lambda t: t.view(-1)[5:6],
                 lambda t: t.view(torch.int32), lambda t: t.numpy().reshape(-1)[::2]):  # fmt: skip
        held = view(whole)
        del whole
        gc.collect()
        other = mine.fresh(BIG, torch.float32)
        assert other.data_ptr() != address, view
        del held, other
        whole = mine.fresh(BIG, torch.float32)
        assert whole.data_ptr() == address


def test_it_begins_where_vectors_do():
    mine = Memory()
    kept = [mine.fresh((SMALL + n,), torch.uint8) for n in range(5)]
    assert all(each.data_ptr() % 64 == 0 for each in kept)


def test_types_share_it_and_sizes_do_not():
    mine = Memory()
    address = mine.fresh(BIG, torch.float32).data_ptr()
    assert mine.fresh(BIG, torch.int32).data_ptr() == address
    assert mine.fresh((32, 128), torch.float64).data_ptr() == address
    assert mine.fresh((63, 128), torch.float32).data_ptr() != address
    held = mine.fresh(BIG, torch.bfloat16)  # which numpy does not know
    assert held.dtype == torch.bfloat16
    assert held.shape == BIG
    assert mine.fresh((2, *BIG), torch.uint8).data_ptr() != held.data_ptr()


def test_what_was_not_used_for_long_is_given_back():
    mine = Memory()
    mine.fresh(BIG, torch.float32)
    held = mine.fresh((99, 128), torch.float32).fill_(3)
    for _ in range(2 * KEPT):
        mine.fresh((65, 128), torch.float32)
    assert list(mine._of_size) == [65 * 128 * 4]
    assert bool((held == 3).all())  # whoever holds it keeps it


def test_threads_never_get_the_same():
    mine, wrong = Memory(), []

    def work(number):
        for _ in range(300):
            own = mine.fresh(BIG, torch.float32).fill_(number)
            if not bool((own == number).all()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_little_is_asked_for_each_time():
    assert fresh((2, 3), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    before = dict(memory._memory._of_size)
    fresh((4, 4), torch.zeros(1))
    assert memory._memory._of_size == before
    assert np.shares_memory((one := fresh(BIG, torch.zeros(1))).numpy(), one.numpy())


def test_another_device_has_memory_of_its_own():
    assert fresh(BIG, torch.empty(0, device="meta")).device.type == "meta"


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
@pytest.mark.parametrize("method", ["direct", "winograd2", "winograd4"])
@pytest.mark.parametrize("scaling", [sh.LayerMax(), sh.NeuronRMS()], ids=repr)
def test_a_step_gives_back_all_that_it_took(scaling, method, precision):
    """Also if nobody looks for circles, which is done by the number of objects, not their size."""
    layer = sh.Conv2d(32, 48, 3, scaling=scaling)
    if not layer.allows(method, precision):
        pytest.skip("not together")
    net = sh.StreamNet(layer, sh.Triangle(), sh.MaxPool2d(2), seed=0)
    layer.method, layer.precision = method, precision

    def pieces():
        return sum(map(len, memory._memory._of_size.values()))

    with kernels.use("numba"):
        net.step(torch.rand(2, 32, 20, 20))
        gc.collect()
        gc.disable()
        try:
            net.step(torch.rand(2, 32, 20, 20))
            before = pieces()
            for _ in range(5):
                net.step(torch.rand(2, 32, 20, 20))
            assert pieces() == before
        finally:
            gc.enable()
