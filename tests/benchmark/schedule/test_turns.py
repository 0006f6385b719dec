from __future__ import annotations

import torch

from streamhebb import Dense, StreamNet
from streamhebb.benchmark.schedule.turns import in_flight, ratio, take_turns, threads


def test_everybody_begins_a_round_in_turn() -> None:
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    took = take_turns({name: lambda name=name: side(name) for name in "abc"}, range(3))
    assert "".join(calls) == "abcbcacab"
    assert took == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_the_ratio_is_that_of_the_rounds_not_of_the_medians() -> None:
    assert ratio([1.0, 10.0, 100.0], [2.0, 5.0, 400.0]) == 0.5


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()
    try:
        with threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyError
    except KeyError:
        pass
    assert torch.get_num_threads() == before


def test_the_first_sample_in_flight_is_learned_but_not_timed() -> None:
    net = StreamNet(Dense(4, 3), seed=0)
    assert in_flight(net, list(torch.rand(5, 4)), None) > 0
    assert net.counts["learned"] == 5
