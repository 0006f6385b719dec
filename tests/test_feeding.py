from __future__ import annotations

import pytest
import torch

from streamhebb.errors import DTypeError
from streamhebb.feeding import Feed
from tests.schedule.fake_device import FakeDevice


@pytest.mark.parametrize("seed", range(5))
def test_samples_arrive_whole_and_in_the_precision_of_the_net(seed: int) -> None:
    device = FakeDevice(seed)
    feed = Feed(2, torch.float64, device)
    xs = [torch.full((3,), float(t)) for t in range(10)]
    found = []
    for x in xs:
        there = feed(x)
        x.add_(100)  # the caller's memory is its own again at once
        found.append(there)
    assert [value.dtype for value in found] == [torch.float64] * len(xs)
    assert all(value.shape == (3,) for value in found)


def test_what_is_bad_goes_on_to_where_it_is_refused() -> None:
    feed = Feed(2, torch.float32, FakeDevice(0))
    bad = torch.tensor([1.0, float("nan")])
    assert feed(bad) is bad
    with pytest.raises(DTypeError):
        feed(torch.tensor([1, 2]))
