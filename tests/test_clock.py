"""Clocks go forward, and the virtual one only when told to."""

import pytest

from streamhebb.clock import VirtualClock, WallClock


def test_wall_clock_never_goes_back():
    clock = WallClock()
    times = [clock.now() for _ in range(100)]
    assert times == sorted(times)


def test_virtual_clock_moves_only_when_told_to():
    clock = VirtualClock(start=2.0)
    assert clock.now() == clock.now() == 2.0
    clock.advance(0.5)
    clock.advance(0)
    assert clock.now() == 2.5


def test_virtual_clock_refuses_to_go_back():
    clock = VirtualClock()
    with pytest.raises(ValueError, match=r"advance\(-1\)"):
        clock.advance(-1)
    assert clock.now() == 0.0


def test_sleeping_moves_the_virtual_clock_and_takes_no_time():
    clock = VirtualClock(1.0)
    clock.sleep(3600)
    assert clock.now() == 3601.0
    clock.sleep(0)
    clock.sleep(-5)
    assert clock.now() == 3601.0


def test_the_wall_clock_sleeps_as_long_as_it_is_told(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    for seconds in (0.25, 0, -1):
        WallClock().sleep(seconds)
    assert slept == [0.25]
