"""Tensors that are still to be made are ordinary ones to whoever looks."""

from __future__ import annotations

import copy

import pytest
import torch

from streamhebb.lazy import Lazy, Times, made, times


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Counted(Lazy):
    made_times = 0

    def make(self):
        self.made_times += 1
        return torch.arange(6.0).view(2, 3)


def test_it_is_made_once_and_only_if_somebody_looks():
    value = Counted.like(torch.zeros(2, 3))
    assert (value.shape, value.dtype, value.ndim, len(value)) == ((2, 3), torch.float32, 2, 2)
    assert value.made_times == 0
    assert float(value.sum()) == 15
    assert torch.equal(value + 0, value.made)
    assert torch.equal(value[1], torch.tensor([3.0, 4.0, 5.0]))
    assert torch.equal(torch.cat([value, value])[2:], value.mT.mT + 0)
    assert torch.equal(copy.copy(value.made), value.clone())
    assert value.made_times == 1
    assert made(value) is value.made
    assert made(3) == 3


def test_it_lies_in_memory_as_what_it_is_like():
    like = torch.zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert Times.like(like).stride() == like.stride()
    assert Times.like(like, (7, 2)).shape == (7, 2)


def test_times_is_the_product():
    one, two = draw(4, 5), draw(4, 5, seed=1)
    with torch.no_grad():
        product = times(one, two)
    assert isinstance(product, Times)
    assert torch.equal(product.made, one * two)


def test_where_gradients_are_wanted_it_is_made_at_once():
    one = draw(3).requires_grad_()
    product = times(one, draw(3, seed=1))
    assert not isinstance(product, Lazy)
    product.sum().backward()
    assert one.grad is not None


def test_who_does_not_say_how_it_is_made_is_told():
    with pytest.raises(NotImplementedError):
        _ = Lazy.like(torch.zeros(1)).made
