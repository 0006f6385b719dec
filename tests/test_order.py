"""Orders that do not keep step: how far behind they are, what they say of it, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.flow import Flow
from streamhebb.order import Hogwild, InOrder, Multirate, Stale, Staleness
from streamhebb.schedule import Serial, Shuffled, Threads
from tests.schedule.random_nets import differences, learned
from tests.stream_toys import SCHEDULERS, Toy, sample, toy_net

ways = st.sampled_from(sorted(SCHEDULERS))
COUNT = 20


FIRST, SECOND = "0:Witness", "1:Witness"


class Witness(Toy):
    """Sees for itself how many samples it has not learned from when it responds."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.behind: dict[int, int] = {}

    def respond(self, x):
        number = round(float(x.reshape(-1)[0]))
        self.behind[number] = number - len(self.numbers)
        return super().respond(x)


def run(order, scheduler, depth=8, count=COUNT):
    a, b = Witness("a"), Witness("b")
    net = toy_net(a, b, scheduler=scheduler)
    with net:
        found = net.run([sample(number) for number in range(count)], order=order, depth=depth)
        results = list(found)
    assert [result.sample for result in results] == list(range(count))
    return net, found.report.staleness


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 9))
def test_stale_is_never_more_than_k_updates_behind_and_says_how_many(seed, k, depth):
    net, staleness = run(Stale(k), Shuffled(seed, 6), depth)
    for name, layer in zip(net.names, net.layers, strict=True):
        assert max(layer.behind.values()) <= k
        seen = [layer.behind[number] for number in range(COUNT)]
        assert dict(staleness[name]) == {n: seen.count(n) for n in set(seen)}
        assert layer.numbers == list(range(COUNT)), "updates come one after the other"


def test_stale_does_make_use_of_its_freedom():
    found = [max(run(Stale(3), Shuffled(seed, 6))[1][SECOND]) for seed in range(20)]
    assert max(found) == 3


@given(st.integers(0, 10**6), st.integers(2, 4))
def test_hogwild_learns_from_all_and_no_more_are_in_a_layer_than_workers(seed, workers):
    net, staleness = run(Hogwild(workers), Shuffled(seed, 6))
    for name, layer in zip(net.names, net.layers, strict=True):
        assert sorted(layer.numbers) == list(range(COUNT))
        assert sum(staleness[name].values()) == COUNT
        assert max(staleness[name]) <= workers - 1


@pytest.mark.parametrize("order", [Stale(2), Hogwild(2)], ids=str)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_in_threads_all_is_learned_and_counted(order, workers):
    net, staleness = run(order, Threads(workers), count=200)
    for name, layer in zip(net.names, net.layers, strict=True):
        assert sorted(layer.numbers) == list(range(200))
        assert sum(staleness[name].values()) == 200
        assert max(staleness[name]) <= order.lag


@given(ways, st.integers(1, 6), st.integers(0, 25))
def test_multirate_learns_from_exactly_every_nth(way, n, count):
    net, staleness = run(Multirate(n), SCHEDULERS[way](), count=count)
    a, b = net.layers
    assert a.numbers == list(range(count)), "the first layer learns from all"
    assert b.numbers == list(range(0, count, n))
    assert sorted(b.behind) == list(range(count)), "all respond to all"
    expected = [(number - 1) % n if number else 0 for number in range(count)]
    assert dict(staleness[SECOND]) == {n: expected.count(n) for n in set(expected)}
    assert net.counts["learned"] == count


@given(ways, st.integers(1, 5), st.integers(1, 5))
def test_multirate_by_the_names_of_layers(way, first, second):
    net, _ = run(Multirate({FIRST: first, SECOND: second}), SCHEDULERS[way]())
    a, b = net.layers
    assert a.numbers == list(range(0, COUNT, first))
    assert b.numbers == list(range(0, COUNT, second))


def test_multirate_has_the_same_bits_whatever_the_scheduler():
    ends = [learned(run(Multirate(3), make())[0]) for make in SCHEDULERS.values()]
    assert all(differences(end, ends[0]) == [] for end in ends)


def test_multirate_learns_more_where_the_net_is_idle():
    net, _ = run(Multirate(4, when_idle=True), Serial())
    assert net.layers[1].numbers == list(range(COUNT)), "one at a time, it is always idle"
    flow = Flow(toy_net(), order=Multirate(4, when_idle=True))
    flow.waiting = lambda: 1
    for number in range(COUNT):
        flow.push(sh.Sample(sample(number)))
    flow.drain()
    assert flow.net.layers[1].numbers == list(range(0, COUNT, 4))


def test_in_order_says_nothing_of_staleness():
    assert run(InOrder(), Serial())[1] == {}


@pytest.mark.parametrize("seed", range(30))
def test_a_step_after_a_loose_start_waits_until_all_has_been_learned(seed):
    """Learning has a lane of its own there, which a plan in order must wait for too."""
    net, events = toy_net(scheduler=Shuffled(seed, 4)), []
    for layer in net.layers:
        layer.hooks = {
            verb: lambda n, name=layer.name, verb=verb: events.append((name, verb, n))
            for verb in ("respond", "learn")
        }
    flow = Flow(net, order=Stale(2), depth=3)
    flow.push(sh.Sample(sample(0)))
    flow.push(sh.Sample(sample(1)))
    net.step(sample(2))
    flow.drain()
    for name in ("a", "b"):
        own = [(verb, n) for who, verb, n in events if who == name]
        assert own.index(("respond", 2)) > own.index(("learn", 0))
        assert own.index(("respond", 2)) > own.index(("learn", 1))


def test_a_run_begins_to_count_anew():
    net, staleness = run(Stale(1), Shuffled(0, 3))
    again = net.run([sample(n) for n in range(5)], order=Stale(1))
    list(again)
    for found, count in ((staleness, COUNT), (again.report.staleness, 5)):
        assert {name: sum(counts.values()) for name, counts in found.items()} == {
            FIRST: count, SECOND: count,
        }  # fmt: skip


def test_samples_that_nobody_learns_from_make_nobody_stale():
    net = toy_net()
    found = net.run([sample(n) for n in range(5)], order=Stale(3), learn=False)
    list(found)
    assert found.report.staleness == {"0:Toy": {0: 5}, "1:Toy": {0: 5}}


@given(st.lists(st.sampled_from(["teach", "rest", "pass"]), max_size=20))
def test_staleness_counts_what_was_left_out_until_the_next_update(moves):
    ledger, missing, expected = Staleness(), 0, []
    for turn, move in enumerate(moves):
        ledger.respond(turn, teaches=move == "teach", rests=move == "rest", overtaking=False)
        expected.append(missing)
        if move == "teach":
            ledger.learn()
            missing = 0
        missing += move == "rest"
    assert dict(ledger.behind) == {n: expected.count(n) for n in set(expected)}


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [Stale(1), Hogwild(2)], ids=str)
@pytest.mark.parametrize("learn", [True, False])
def test_state_that_goes_on_cannot_be_overtaken(order, learn):
    net = toy_net(Toy("a"), Toy("b", carries=True))
    with pytest.raises(ConfigError, match=r"1:Toy.*InOrder"):
        list(net.run([sample(0)], order=order, learn=learn))
    assert net.counts["samples"] == 0
    assert list(net.run([sample(0)], order=Multirate(2)))


def test_news_cannot_be_overtaken():
    net = toy_net(wake=sh.OnChange())
    with pytest.raises(ConfigError, match="wake"):
        list(net.run([sample(0)], order=Hogwild(2)))
    assert [r.sample for r in net.run([sample(0)], order=Stale(2))] == [0]


def test_a_deadline_and_several_writers_are_refused():
    with pytest.raises(ConfigError, match="deadline"):
        toy_net().run([], policy="skip_learning", deadline=5, order=Hogwild(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Stale(0),
        lambda: Stale(1.5),
        lambda: Hogwild(1),
        lambda: Hogwild("2"),
        lambda: Multirate(0),
        lambda: Multirate({"0:Toy": 0}),
        lambda: Multirate(True),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_names_of_layers_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match=r"Toy9.*0:Toy, 1:Toy"):
        toy_net().run([], order=Multirate({"Toy9": 2}))
