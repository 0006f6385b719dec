"""Samples come when they are due, late ones at once, and none is lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError, InputError, SourceError
from streamhebb.sources import ArraySource, Paced
from streamhebb.values import Sample


def arrays(n=5):
    return ArraySource(np.arange(2 * n, dtype=np.float32).reshape(n, 2), [i % 2 for i in range(n)])


class Opened:
    """A source that tells what is done to it; its iteration can break."""

    name, shape, classes = "fake", (2,), None

    def __init__(self, fail_at=None):
        self.counts = {"dropped": 0}
        self.told = []
        self.fail_at = fail_at

    def __iter__(self):
        try:
            for n in range(4):
                if n == self.fail_at:
                    raise SourceError("unplugged")
                self.counts["dropped"] += 1
                self.told.append(n)
                yield Sample(torch.zeros(2), t=n / 7, id=10 + n)
        finally:
            self.told.append("left")

    def __enter__(self):
        self.told.append("enter")
        return self

    def __exit__(self, kind, error, trace):
        self.told.append(kind)

    def close(self):
        self.told.append("close")


def test_a_quick_net_gets_each_sample_when_it_is_due():
    clock = VirtualClock(100.0)
    stream = iter(Paced(arrays(), per_second=4, clock=clock))
    clock.advance(1.0)  # the start is when the first is asked for
    came = []
    for _ in stream:
        came.append(clock.now())
        clock.advance(0.1)
    assert came == pytest.approx([101.0, 101.25, 101.5, 101.75, 102.0])
    assert clock.now() == pytest.approx(102.1), "no wait after the last"


@given(st.floats(0.01, 1000), st.lists(st.floats(0, 10), max_size=20), st.floats(0, 1e6))
def test_a_sample_comes_when_it_is_due_or_at_once_if_that_is_past(rate, works, start):
    clock = VirtualClock(start)
    asked = start
    seen = []
    for n, sample in enumerate(Paced(torch.zeros(len(works) or 1, 1), rate, clock=clock)):
        due = start + n / rate
        assert clock.now() == pytest.approx(max(asked, due), abs=1e-6)
        seen.append(sample.id)
        clock.advance(works[n] if works else 0.0)
        asked = clock.now()
    assert seen == list(range(len(works) or 1))


def test_a_slow_net_gets_all_and_catches_up():
    clock = VirtualClock()
    came = []
    for sample in Paced(arrays(6), per_second=1, clock=clock):
        came.append((sample.id, clock.now()))
        clock.advance(2.5 if sample.id == 0 else 0.0)
    assert came == [(0, 0.0), (1, 2.5), (2, 2.5), (3, 3.0), (4, 4.0), (5, 5.0)]


def test_reading_takes_none_of_the_time_between():
    clock = VirtualClock()

    def slow():
        for n in range(3):
            clock.advance(0.4)
            yield torch.full((1,), float(n))

    came = [clock.now() for _ in Paced(slow(), per_second=1, clock=clock)]
    assert came == pytest.approx([0.4, 1.0, 2.0])


def test_each_pass_has_its_own_start():
    clock = VirtualClock()
    paced = Paced(arrays(2), per_second=1, clock=clock)
    assert [clock.now() for _ in paced] == [0.0, 1.0]
    clock.advance(9.0)
    assert [clock.now() for _ in paced] == [10.0, 11.0]


def test_samples_come_as_they_are():
    source = arrays()
    paced = list(Paced(source, clock=VirtualClock()))
    for got, wanted in zip(paced, source, strict=True):
        assert torch.equal(got.x, wanted.x)
        assert (got.target, got.id, got.t) == (wanted.target, wanted.id, wanted.t)
    assert [s.t for s in Paced(Opened(), clock=VirtualClock())] == [0, 1 / 7, 2 / 7, 3 / 7]


def test_it_is_what_it_wraps():
    source = arrays()
    paced = Paced(source, clock=VirtualClock())
    assert (paced.name, paced.shape, paced.classes) == ("arrays", (2,), (0, 1))
    assert paced.counts is source.counts
    assert len(paced) == 5
    assert paced.per_second == 30.0
    assert paced.source is source


@pytest.mark.parametrize("array", [torch.zeros(3, 2, 4), np.zeros((3, 2, 4), np.float32)])
def test_an_array_is_read_row_by_row(array):
    paced = Paced(array, clock=VirtualClock())
    assert (tuple(paced.shape), len(paced), paced.name) == ((2, 4), 3, type(array).__name__)
    assert all(s.x.shape == (2, 4) for s in paced)


def test_a_generator_tells_nothing_but_can_be_paced():
    paced = Paced((torch.zeros(1) for _ in range(2)), clock=VirtualClock())
    assert (paced.name, paced.classes, paced.counts) == ("generator", None, {})
    assert not hasattr(paced, "shape")
    with pytest.raises(TypeError, match="generator does not say how many"):
        len(paced)
    with paced:
        assert len(list(paced)) == 2
    assert list(paced) == []
    paced.close()


def test_with_goes_through():
    source = Opened()
    with Paced(source, clock=VirtualClock()) as paced:
        assert isinstance(paced, Paced)
        list(paced)
    assert source.told == ["enter", 0, 1, 2, 3, "left", None]
    assert paced.counts == {"dropped": 4}
    with pytest.raises(KeyError), paced:
        raise KeyError
    assert source.told[-1] is KeyError


def test_close_goes_through():
    source = Opened()
    Paced(source, clock=VirtualClock()).close()
    assert source.told == ["close"]
    Paced([torch.zeros(1)], clock=VirtualClock()).close()


def test_leaving_early_leaves_the_wrapped_iteration_at_once():
    source = Opened()
    stream = iter(Paced(source, clock=VirtualClock()))
    next(stream)
    stream.close()
    assert source.told == [0, "left"]


def test_an_error_of_the_source_comes_through_after_what_came_before():
    clock, got = VirtualClock(), []
    with pytest.raises(SourceError, match="unplugged"):
        for sample in Paced(Opened(fail_at=2), per_second=1, clock=clock):
            got.append(sample.id)
    assert got == [10, 11]


def test_what_is_no_source_is_refused_when_it_is_read():
    with pytest.raises(InputError, match="is text"):
        next(iter(Paced("digits", clock=VirtualClock())))


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan, "30", None, True])
def test_a_rate_that_is_none(rate):
    with pytest.raises(ConfigError, match=r"per_second=.* is not a rate"):
        Paced(arrays(), per_second=rate)
