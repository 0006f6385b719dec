"""A stream through a net: nothing lost without being counted, and clean ends of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError, NonFiniteError, ShapeError
from streamhebb.running import POLICIES
from streamhebb.schedule import Threads
from tests.schedule.random_nets import differences, learned, said
from tests.stream_toys import (
    PATIENT,
    SCHEDULERS,
    Broken,
    Closing,
    Rush,
    Toy,
    fails_at,
    numbers,
    sample,
    toy_net,
)

ways = st.sampled_from(sorted(SCHEDULERS))
every_way = pytest.mark.parametrize("way", sorted(SCHEDULERS))
LOSSLESS = [{}, {"policy": "skip_learning", "deadline": 1e9, "waiting": 3}]


def samples(count: int):
    return [sample(number) for number in range(count)]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith(("asyncio", "ThreadPool")):
            thread.join(PATIENT)
            assert not thread.is_alive(), f"{thread.name} is left"


# -- policies --------------------------------------------------------------------------------------


def rush(policy: str, count: int, scheduler=None, learn=None, **wishes):
    """All but the first sample come while the first is in the net."""
    source = Rush(count)
    net = toy_net(
        Toy("a", respond=source.hold, learn=learn),
        Toy("b"),
        scheduler=scheduler,
        clock=wishes.pop("clock", None),
    )
    with net, net.run(source, policy=policy, **wishes) as run:
        return net, list(run), run.report


def test_drop_oldest_keeps_the_newest_that_may_wait():
    net, results, report = rush("drop_oldest", 10, waiting=3)
    assert [round(float(result.given.x[0])) for result in results] == [0, 7, 8, 9]
    assert [dict(result.missed) for result in results] == [{}, {"dropped": 6}, {}, {}]
    assert net.counts["dropped"] == report.missed["dropped"] == 6
    assert net.counts["samples"] == 4


def test_latest_keeps_the_newest_alone():
    net, results, report = rush("latest", 10, waiting=5)
    assert [round(float(result.given.x[0])) for result in results] == [0, 9]
    assert results[1].missed == {"overtaken": 8}
    assert net.counts["overtaken"] == report.missed["overtaken"] == 8


def test_skip_learning_predicts_all_and_learns_when_there_is_time():
    clock = VirtualClock()
    learn = lambda number: clock.advance(0.1)  # noqa: E731
    net, results, report = rush(
        "skip_learning", 10, learn=learn, waiting=10, deadline=250, clock=clock
    )
    assert numbers(results) == list(range(10))
    assert all(result.scores is not None for result in results)
    assert net.layers[0].numbers == [0, 1, 9], "1 is through at 0.2 s; 9 finds the net idle"
    assert report.missed["deadline"] == net.counts["deadline"] == 7
    assert report.learned == 3


@given(
    st.sampled_from(["drop_oldest", "latest"]),
    ways,
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_every_sample_is_answered_or_counted(policy, way, count, waiting, depth):
    net, results, report = rush(policy, count, SCHEDULERS[way](), waiting=waiting, depth=depth)
    came = [round(float(result.given.x[0])) for result in results]
    assert came == sorted(set(came))
    assert came[0] == 0
    assert came[-1] == count - 1, "the newest is never lost"
    lost = sum(sum(result.missed.values()) for result in results)
    assert lost == sum(report.missed.values()) == count - len(results)
    assert net.layers[0].numbers == net.layers[1].numbers == came


@given(st.sampled_from(LOSSLESS), ways, st.integers(0, 15), st.integers(1, 5))
def test_where_nothing_may_be_lost_nothing_is(wishes, way, count, depth):
    net, twin = toy_net(scheduler=SCHEDULERS[way]()), toy_net()
    expected = [said(twin.step(x)) for x in samples(count)]
    with net, net.run(samples(count), depth=depth, **wishes) as run:
        results = [said(result) for result in run]
    assert len(results) == count
    assert all(not differences(a, b) for a, b in zip(results, expected, strict=True))
    assert differences(learned(net), learned(twin)) == []


def test_losses_after_the_last_sample_that_got_through_are_counted():
    """The source goes on and ends while the run is being stopped."""
    source, seen = Rush(6), []
    net = toy_net(Toy("a", respond=source.hold))
    run = net.run(source, policy="latest")
    for result in run:
        seen.append(result)
    assert sum(run.report.missed.values()) + len(seen) == 6


# -- what a source brings --------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_not_finite_is_counted_in_its_place(way, policy):
    net = toy_net(scheduler=SCHEDULERS[way](), on_bad="skip")
    stream = samples(6)
    stream[3] = torch.full((3,), float("nan"))
    wishes = {"deadline": 1e9} if policy == "skip_learning" else {}
    with net, net.run(stream, policy=policy, waiting=6, **wishes) as run:
        results = list(run)
    if policy != "latest":
        assert [result.skipped for result in results] == [None] * 3 + ["non-finite"] + [None] * 2
        assert net.layers[1].numbers == [0, 1, 2, 4, 5]
        assert run.report.missed["non-finite"] == net.counts["non-finite"] == 1
    assert not torch.isnan(net.layers[1].learned)


@every_way
@pytest.mark.parametrize("wishes", LOSSLESS, ids=["pulled", "received"])
@pytest.mark.parametrize(
    ("bad", "error"),
    [(torch.full((3,), float("inf")), NonFiniteError), (torch.ones(4, 4, 4), ShapeError)],
    ids=["not finite", "shape"],
)
def test_a_sample_that_is_refused_ends_the_run_after_those_before_it(way, wishes, bad, error):
    net, results = toy_net(scheduler=SCHEDULERS[way]()), []
    source = Closing([*samples(4), bad, *samples(2)])
    with net:
        net.step(sample(0))
        with pytest.raises(error):
            results.extend(iter_into(results, net.run(source, **wishes)))
        assert numbers(results) == [1, 2, 3, 4]
        assert net.layers[1].numbers == [0, 0, 1, 2, 3]
        assert source.closed.wait(PATIENT)
        assert net.step(sample(7)).scores is not None


def iter_into(results, run):
    """Keep what came before an error."""
    for result in run:
        results.append(result)
    return ()


@every_way
@pytest.mark.parametrize("wishes", LOSSLESS, ids=["pulled", "received"])
def test_a_source_that_breaks_ends_the_run_after_what_it_gave(way, wishes):
    def source():
        yield from samples(4)
        raise Broken("the cable")

    net, results = toy_net(scheduler=SCHEDULERS[way]()), []
    with net:
        with pytest.raises(Broken, match="the cable"):
            iter_into(results, net.run(source(), **wishes))
        assert numbers(results) == [0, 1, 2, 3]
        assert net.layers[1].numbers == [0, 1, 2, 3]


# -- a layer that fails ----------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("verb", ["respond", "learn"])
@pytest.mark.parametrize("wishes", LOSSLESS, ids=["pulled", "received"])
def test_an_error_in_a_layer_stops_the_run_and_says_where(way, layer, verb, wishes, tmp_path):
    layers = [Toy("a"), Toy("b")]
    layers[layer].hooks[verb] = fails_at(5)
    net, results = toy_net(*layers, scheduler=SCHEDULERS[way]()), []
    source = Closing(samples(12))
    path = tmp_path / "net.safetensors"
    with net:
        with pytest.raises(Broken) as caught:
            iter_into(results, net.run(source, depth=4, **wishes))
        [note] = caught.value.__notes__
        assert note == f"in '{verb} {layer}:Toy' of sample 5"
        assert numbers(results) == list(range(len(results)))
        assert 5 <= len(results) <= 6
        assert source.closed.wait(PATIENT)
        assert net.counts["samples"] == 5, "how many of the stream are known"
        assert layers[1].numbers[:5] == [0, 1, 2, 3, 4]
        net.save(path)
        net.layers[layer].hooks = {"respond": None, "learn": None}
        again = list(net.run(samples(12)[5:]))
        assert numbers(again) == list(range(5, 12))
    twin = toy_net()
    twin.load(path)
    assert twin.counts["samples"] == 5
    assert numbers(twin.run(samples(12)[5:])) == list(range(5, 12))


@every_way
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_any_kind_of_error_in_a_layer_is_handed_on(way, kind):
    net = toy_net(Toy("a", learn=fails_at(3, error=kind)), scheduler=SCHEDULERS[way]())
    with net, pytest.raises(kind):
        list(net.run(samples(8)))
    net.layers[0].hooks["learn"] = None
    net.step(sample(9))
    assert net.layers[0].numbers[-1] == 9


@every_way
def test_the_error_of_the_oldest_sample_is_the_one(way):
    net = toy_net(
        Toy("a", respond=fails_at(6)), Toy("b", learn=fails_at(5)), scheduler=SCHEDULERS[way]()
    )
    with net, pytest.raises(Broken, match=r"at [56]") as caught:
        list(net.run(samples(12), depth=6))
    if way in ("serial", "shuffled"):
        assert "5" in str(caught.value) or way == "shuffled"


# -- leaving early ---------------------------------------------------------------------------------


def leave_by_break(run):
    for result in run:
        if result.sample == 3:
            break
    assert list(run) == [], "it is over"


def leave_by_with(run):
    with run:
        for result in run:
            if result.sample == 3:
                return


def leave_by_close(run):
    results = iter(run)
    for _ in range(4):
        next(results)
    run.close()
    assert run.report.samples == 4


def leave_by_error(run):
    with contextlib.suppress(Broken), run:
        for result in run:
            if result.sample == 3:
                raise Broken


def leave_by_stop(run):
    count = 0
    for result in run:
        if result.sample == 3:
            run.stop()
        count += 1
    assert count == run.report.samples


LEAVE = [leave_by_break, leave_by_with, leave_by_close, leave_by_error, leave_by_stop]


@every_way
@pytest.mark.parametrize("leave", LEAVE, ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("wishes", LOSSLESS, ids=["pulled", "received"])
def test_leaving_lets_what_is_in_flight_be_learned_from(way, leave, wishes):
    net = toy_net(scheduler=SCHEDULERS[way]())
    source = Closing(sample(number) for number in itertools.count())
    with net:
        run = net.run(source, depth=4, **wishes)
        leave(run)
        run.close()
        count = net.counts["samples"]
        assert count >= 4
        for layer in net.layers:
            assert layer.numbers == list(range(count))
        assert source.closed.wait(PATIENT)
        twin = toy_net()
        for x in samples(count):
            twin.step(x)
        assert differences(learned(net), learned(twin)) == []
        assert net.step(sample(count)).sample == count


def test_stop_from_another_thread_while_the_source_is_silent():
    """A camera that sends nothing."""
    silent, asked = threading.Event(), threading.Event()

    def source():
        yield from samples(2)
        asked.set()
        silent.wait(PATIENT)

    net = toy_net()
    run = net.run(source(), policy="drop_oldest", waiting=2)

    def stop():
        assert asked.wait(PATIENT)
        run.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert numbers(run) == [0, 1]
    stopper.join(PATIENT)
    silent.set()


@every_way
def test_a_run_that_nobody_holds_any_more_is_over(way):
    net = toy_net(scheduler=SCHEDULERS[way]())
    source = Closing(samples(50))
    with net:
        results = iter(net.run(source, depth=3))
        next(results)
        del results
        gc.collect()
        assert source.closed.is_set()
        count = net.counts["samples"]
        assert net.layers[1].numbers == list(range(count))


def test_a_run_may_be_collected_in_the_middle_of_a_task_of_its_own():
    """Garbage is collected in any thread; a worker that waited there would wait for itself."""
    held, ready = [], threading.Event()

    def let_go(number):
        if number == 0:
            assert ready.wait(PATIENT)
            held.clear()

    net = toy_net(Toy("a", learn=let_go), scheduler=Threads(1))
    source = Closing(samples(50))
    with net:
        results = iter(net.run(source, depth=6))
        next(results)
        held.append(results)
        del results
        ready.set()
        assert source.closed.wait(PATIENT)
        net.scheduler.join()
        assert net.layers[0].numbers == list(range(net.counts["samples"]))


@every_way
@pytest.mark.parametrize("policy", ["drop_oldest", "latest"])
def test_letting_go_of_a_run_ends_the_thread_that_reads(way, policy):
    net = toy_net(scheduler=SCHEDULERS[way]())
    source = Closing(sample(number) for number in itertools.count())
    with net:
        for result in net.run(source, policy=policy):
            if result.sample == 2:
                break
        assert source.closed.wait(PATIENT)


@every_way
def test_two_runs_of_one_net_take_turns(way):
    net = toy_net(scheduler=SCHEDULERS[way]())
    with net:
        one, two = iter(net.run(samples(10), depth=3)), iter(net.run(samples(10), depth=2))
        found = [(next(one), next(two)) for _ in range(10)]
        assert list(one) == list(two) == []
    for results in zip(*found, strict=True):
        assert list(numbers(results)) == sorted(numbers(results))
        assert [round(float(result.given.x[0])) for result in results] == list(range(10))
    assert net.counts["samples"] == 20
    assert sorted(net.layers[1].numbers) == sorted([*range(10), *range(10)])
    assert net.layers[0].numbers == net.layers[1].numbers


@every_way
def test_a_step_in_the_middle_of_a_run_comes_after_what_is_in_flight(way):
    net = toy_net(scheduler=SCHEDULERS[way]())
    with net:
        for result in net.run(samples(6), depth=3):
            if result.sample == 2:
                net.step(sample(99))
    one, two = net.layers
    assert one.numbers == two.numbers
    assert sorted(one.numbers) == [0, 1, 2, 3, 4, 5, 99]
    assert one.numbers.index(99) > one.numbers.index(2)


@every_way
def test_saved_in_the_middle_a_net_knows_exactly_what_it_says(way, tmp_path):
    net, whole, path = toy_net(scheduler=SCHEDULERS[way]()), toy_net(), tmp_path / "net.safetensors"
    for x in samples(12):
        whole.step(x)
    with net:
        for result in net.run(samples(12), depth=4):
            if result.sample == 5:
                net.save(path)
    twin = toy_net()
    twin.load(path)
    known = twin.counts["samples"]
    assert 6 <= known <= 10
    for x in samples(12)[known:]:
        twin.step(x)
    assert differences(learned(twin), learned(whole)) == []
    assert differences(learned(net), learned(whole)) == []


def test_nothing_of_a_run_is_kept_alive():
    net = toy_net()
    run = net.run(samples(3))
    list(run)
    watched = weakref.ref(run.flow)
    del run
    gc.collect()
    assert watched() is None


# -- async -----------------------------------------------------------------------------------------


async def gather(run):
    return [result async for result in run]


async def later(items, closed=None):
    try:
        for item in items:
            await asyncio.sleep(0)
            yield item
    finally:
        if closed is not None:
            closed.set()


@every_way
@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("wishes", LOSSLESS, ids=["pulled", "received"])
def test_async_for_gives_the_same(way, asynchronous, wishes):
    net, twin = toy_net(scheduler=SCHEDULERS[way]()), toy_net()
    source = later(samples(10)) if asynchronous else samples(10)
    with net:
        results = asyncio.run(gather(net.run(source, depth=3, **wishes)))
    expected = [said(twin.step(x)) for x in samples(10)]
    assert all(not differences(said(a), b) for a, b in zip(results, expected, strict=True))
    assert differences(learned(net), learned(twin)) == []


def test_the_event_loop_goes_on_while_a_layer_works():
    going_on = threading.Event()
    net = toy_net(Toy("a", respond=lambda n: going_on.wait(PATIENT)))

    async def main():
        ask = asyncio.ensure_future(gather(net.run(samples(2))))
        await asyncio.sleep(0)
        going_on.set()  # would never be reached if the loop were blocked
        return await ask

    assert numbers(asyncio.run(main())) == [0, 1]


@every_way
@pytest.mark.parametrize("asynchronous", [True, False])
def test_cancelling_ends_a_run(way, asynchronous):
    net, closed, seen = toy_net(scheduler=SCHEDULERS[way]()), threading.Event(), []
    endless = (sample(number) for number in itertools.count())
    source = later(endless, closed) if asynchronous else Closing(endless)
    closed = closed if asynchronous else source.closed

    async def consume():
        async for result in net.run(source, depth=3):
            seen.append(result)

    async def main():
        task = asyncio.ensure_future(consume())
        while len(seen) < 3:
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    with net:
        asyncio.run(main())
        assert closed.wait(PATIENT)
        count = net.counts["samples"]
        assert net.layers[0].numbers == net.layers[1].numbers == list(range(count))
        assert net.step(sample(count)).sample == count


@every_way
def test_breaking_out_of_async_for_ends_the_run(way):
    net, closed = toy_net(scheduler=SCHEDULERS[way]()), threading.Event()
    endless = (sample(number) for number in itertools.count())

    async def main():
        run = net.run(later(endless, closed), depth=3)
        results = aiter(run)
        async for result in results:
            if result.sample == 4:
                break
        await results.aclose()

    with net:
        asyncio.run(main())
        assert closed.wait(PATIENT)
        count = net.counts["samples"]
        assert net.layers[1].numbers == list(range(count))


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_error_comes_out_of_async_for(asynchronous):
    async def broken():
        for x in samples(3):
            yield x
        raise Broken("the cable")

    def broken_too():
        yield from samples(3)
        raise Broken("the cable")

    net, seen = toy_net(), []

    async def main():
        async for result in net.run(broken() if asynchronous else broken_too()):
            seen.append(result)

    with pytest.raises(Broken, match="the cable"):
        asyncio.run(main())
    assert numbers(seen) == [0, 1, 2]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"policy": "drop"}, "policy"),
        ({"policy": None}, "policy"),
        ({"policy": "latest", "waiting": 0}, "waiting"),
        ({"policy": "latest", "waiting": 2.5}, "waiting"),
        ({"policy": "skip_learning"}, "deadline"),
        ({"policy": "block", "deadline": 5}, "deadline"),
        ({"depth": 0}, "depth"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_at_once(wishes, words):
    with pytest.raises(ConfigError, match=words):
        toy_net().run(samples(1), **wishes)


def test_an_asynchronous_source_in_a_plain_loop_is_refused():
    """It would wait for ever."""
    with pytest.raises(ConfigError, match="async for"):
        list(toy_net().run(later(samples(2))))
