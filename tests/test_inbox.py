"""Every item is handed out once, in order, or counted; nobody waits for ever."""

from __future__ import annotations

import signal
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError
from streamhebb.inbox import CAUSES, Arrived, Inbox

LOSSY = {"drop_oldest": "dropped", "latest": "overtaken"}
PATIENT = 20.0
"""Seconds after which a test fails instead of waiting; none is ever waited for."""


class Waits(threading.Condition):
    """Tells when somebody waits: the lock is held until then, so whoever takes it comes after."""

    def __init__(self):
        super().__init__()
        self.somebody = threading.Event()

    def wait(self, timeout=None):
        self.somebody.set()
        return super().wait(timeout)


class Doing:
    """A call in another thread, and what came of it."""

    def __init__(self, call, *args):
        self.result = self.error = None
        self.thread = threading.Thread(target=self._run, args=(call, *args), daemon=True)
        self.thread.start()

    def _run(self, call, *args):
        try:
            self.result = call(*args)
        except BaseException as error:  # noqa: BLE001 - raised again by join
            self.error = error

    def join(self):
        self.thread.join(PATIENT)
        assert not self.thread.is_alive(), "it still waits"
        if self.error is not None:
            raise self.error
        return self.result


def inbox(policy="block", size=2, items=""):
    box = Inbox(policy, size, VirtualClock())
    box._changed = Waits()
    for item in items:
        assert box.put(item)
    return box


def drained(box):
    box.close()
    return "".join(arrived.item for arrived in iter(box.get, None))


# ------------------------------------------------------------------------------------ policies


@given(
    st.sampled_from(sorted(CAUSES)),
    st.integers(1, 4),
    st.lists(st.sampled_from(["put", "put", "get", "tick"]), max_size=60),
)
def test_every_item_is_handed_out_once_or_counted(policy, size, moves):
    clock = VirtualClock()
    box = Inbox(policy, size, clock)
    room = 1 if policy == "latest" else size
    sent, got, missed, arrivals = 0, [], Counter(), {}

    def take(arrived):
        got.append(arrived.item)
        missed.update(arrived.missed)
        assert arrived.at == arrivals[arrived.item]

    for move in moves:
        if move == "tick":
            clock.advance(1.0)
        elif move == "get":
            if len(box):
                take(box.get())
            else:
                with pytest.raises(TimeoutError):
                    box.get(timeout=0)
        elif policy in LOSSY or len(box) < room:  # else it would wait for ever
            arrivals[sent] = clock.now()
            assert box.put(sent)
            sent += 1
        assert len(box) <= room
        lost = sum(box.counts.values())
        assert sent == len(got) + len(box) + lost
        assert lost == sum(missed.values()) + sum(box.missed.values())
    box.close()
    while (arrived := box.get()) is not None:
        take(arrived)
    assert got == sorted(set(got))
    assert sent == len(got) + sum(box.counts.values())
    assert dict(missed) == {cause: n for cause, n in box.counts.items() if n}
    if policy not in LOSSY:
        assert got == list(range(sent))
        assert box.counts == {}
    elif sent:
        assert set(box.counts) == {LOSSY[policy]}
        assert got[-1] == sent - 1, "the newest is never the one that is lost"


def test_drop_oldest_makes_room_for_the_newest():
    box = inbox("drop_oldest", 3, "abcde")
    assert box.counts == box.missed == {"dropped": 2}
    assert box.get() == Arrived("c", 0.0, {"dropped": 2})
    assert box.missed == {}
    box.put("f")
    assert box.get() == Arrived("d", 0.0, {})
    assert drained(box) == "ef"
    assert box.counts == {"dropped": 2}


def test_latest_keeps_one_whatever_the_size():
    box = inbox("latest", 100, "abc")
    assert (len(box), box.size) == (1, 1)
    assert box.get() == Arrived("c", 0.0, {"overtaken": 2})
    assert box.counts == {"overtaken": 2}


def test_missed_belongs_to_its_receiver():
    box = inbox("latest", 1, "ab")
    box.get().missed["overtaken"] = 7
    box.counts["overtaken"] = 7
    assert box.counts == {"overtaken": 1}
    assert box.missed == {}


def test_losses_since_the_last_item_handed_out_can_be_read():
    box = inbox("drop_oldest", 1, "a")
    box.get()
    box.put("b")
    box.put("c")
    assert (box.missed, box.counts, len(box)) == ({"dropped": 1}, {"dropped": 1}, 1)


@pytest.mark.parametrize("policy", ["block", "skip_learning"])
def test_put_waits_for_room_and_keeps_its_time_of_arrival(policy):
    box = inbox(policy, 1, "a")
    putting = Doing(box.put, "b")
    assert box._changed.somebody.wait(PATIENT)
    assert len(box) == 1
    box._clock.advance(3.0)
    assert box.get() == Arrived("a", 0.0, {})
    assert putting.join() is True
    assert box.get() == Arrived("b", 0.0, {})


def test_get_waits_for_an_item():
    box = inbox()
    getting = Doing(box.get)
    assert box._changed.somebody.wait(PATIENT)
    box.put("a")
    assert getting.join() == Arrived("a", 0.0, {})


def test_an_item_may_be_none():
    box = inbox()
    box.put(None)
    assert box.get() == Arrived(None, 0.0, {})


# ------------------------------------------------------------------------------------- timeout


def test_a_timeout_is_not_the_end():
    box = inbox()
    for timeout in (0, -1, 0.001):
        with pytest.raises(TimeoutError, match=f"within {timeout} s"):
            box.get(timeout=timeout)
    box.put("a")
    assert box.get(timeout=0) == Arrived("a", 0.0, {})
    box.close()
    assert box.get(timeout=0) is None


# --------------------------------------------------------------------------------------- close


@pytest.mark.parametrize("policy", sorted(CAUSES))
def test_after_closing_what_waits_is_handed_out_and_nothing_is_taken(policy):
    box = inbox(policy, 3, "a")
    assert not box.closed
    box.close()
    assert box.closed
    assert box.put("b") is False
    assert box.get() == Arrived("a", 0.0, {})
    assert box.get() is None
    assert box.get() is None
    assert sum(box.counts.values()) == 0


def test_closing_lets_a_waiting_put_go():
    box = inbox("block", 1, "a")
    putting = [Doing(box.put, item) for item in "bc"]
    assert box._changed.somebody.wait(PATIENT)
    box.close()
    assert [one.join() for one in putting] == [False, False]
    assert drained(box) == "a"


@pytest.mark.parametrize("error", [None, OSError("unplugged")])
def test_closing_lets_a_waiting_get_go(error):
    box = inbox()
    getting = Doing(box.get)
    assert box._changed.somebody.wait(PATIENT)
    box.close(error)
    if error is None:
        assert getting.join() is None
    else:
        with pytest.raises(OSError, match="unplugged"):
            getting.join()


def test_the_error_comes_after_the_last_item_each_time():
    box = inbox("block", 3, "ab")
    error = OSError("unplugged")
    box.close(error)
    assert [box.get().item, box.get().item] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(OSError, match="unplugged") as caught:
            box.get(timeout=0)
        assert caught.value is error


def test_only_the_first_close_counts():
    box = inbox()
    box.close()
    box.close(OSError("too late"))
    assert box.get() is None
    box = inbox()
    box.close(OSError("first"))
    box.close()
    with pytest.raises(OSError, match="first"):
        box.get()


# ------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("policy", sorted(CAUSES))
@pytest.mark.parametrize("size", [1, 7])
def test_a_thousand_items_between_two_threads(policy, size):
    box = inbox(policy, size)
    total = 1000

    def produce():
        for item in range(total):
            assert box.put(item)
        box.close(OSError("the end"))

    producing = Doing(produce)
    got, missed = [], Counter()
    with pytest.raises(OSError, match="the end"):
        while True:
            arrived = box.get(PATIENT)
            # What was lost before this one lies exactly between it and the one before.
            before = got[-1] if got else -1
            assert arrived.item - before - 1 == sum(arrived.missed.values())
            got.append(arrived.item)
            missed.update(arrived.missed)
            assert len(box) <= size
    producing.join()
    assert got[-1] == total - 1
    assert len(got) + sum(box.counts.values()) == total
    assert sum(missed.values()) == sum(box.counts.values())
    if policy not in LOSSY:
        assert got == list(range(total))


@pytest.mark.parametrize("policy", sorted(CAUSES))
def test_several_producers_and_consumers(policy):
    box = inbox(policy, 3)
    each, puts, gets = 250, 3, 2

    def produce(number):
        for n in range(each):
            assert box.put((number, n))

    def consume():
        return [arrived.item for arrived in iter(box.get, None)]

    consuming = [Doing(consume) for _ in range(gets)]
    for producing in [Doing(produce, number) for number in range(puts)]:
        producing.join()
    box.close()
    got = [item for one in consuming for item in one.join()]
    assert len(set(got)) == len(got)
    assert len(got) + sum(box.counts.values()) == each * puts


@pytest.mark.parametrize("call", ["get", "put"])
def test_ctrl_c_ends_a_wait_and_leaves_the_inbox_whole(call):
    if not hasattr(signal, "pthread_kill"):
        pytest.skip("this system cannot send a signal to a thread")
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("Ctrl-C raises nothing here")
    box = inbox("block", 1, "a" if call == "put" else "")

    def interrupt():
        assert box._changed.somebody.wait(PATIENT)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupting = Doing(interrupt)
    with pytest.raises(KeyboardInterrupt):
        box.put("b") if call == "put" else box.get()
    interrupting.join()
    if call == "put":
        assert drained(box) == "a"
    else:
        box.put("c")
        assert drained(box) == "c"


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize("policy", ["newest", "", None, ["block"]])
def test_a_policy_that_is_not_known(policy):
    with pytest.raises(ConfigError, match="block.*drop_oldest.*latest.*skip_learning"):
        Inbox(policy, 1, VirtualClock())


@pytest.mark.parametrize("policy", ["block", "latest"])
@pytest.mark.parametrize("size", [0, -1, True, 1.5, "2", None])
def test_a_size_that_is_not_allowed(policy, size):
    with pytest.raises(ConfigError, match=f"size={size!r}"):
        Inbox(policy, size, VirtualClock())
