"""A thousand ends of every kind: nobody waits for ever, no thread is left, the net goes on."""

from __future__ import annotations

import _thread
import contextlib
import gc
import itertools
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from streamhebb.schedule import Threads
from tests.stream_toys import PATIENT, Broken, Toy, sample, toy_net

ROUNDS = 1000
ENDS = ("end", "break", "close", "error", "interrupt", "let go", "close the net", "stop")

pytestmark = pytest.mark.timeout(120)


def one_round(seed: int) -> str:
    """A net in threads and one end of its run, drawn by a seed."""
    chance = random.Random(seed)
    end, at = ENDS[seed % len(ENDS)], chance.randrange(6)
    armed = [True]

    def strike(number: int) -> None:
        if number == at and armed[0]:
            armed[0] = False
            if end == "error":
                raise Broken
            if end == "interrupt":
                _thread.interrupt_main()

    layers = [Toy("a"), Toy("b")]
    layers[chance.randrange(2)].hooks[chance.choice(("respond", "learn"))] = strike
    net = toy_net(*layers, scheduler=Threads(chance.randint(1, 3)))
    endless = (sample(number) for number in itertools.count())
    source = endless if end not in ("end", "error", "interrupt") else map(sample, range(12))
    policy = chance.choice(("block", "block", "skip_learning"))
    wishes = {"deadline": 1e9} if policy == "skip_learning" else {}
    run = net.run(source, policy=policy, depth=chance.randint(1, 5), **wishes)
    with contextlib.suppress(Broken, KeyboardInterrupt):
        for result in run:
            if end == "break" and result.sample >= at:
                break
            if end == "close" and result.sample >= at:
                run.close()
                break
            if end == "let go" and result.sample >= at:
                del run
                break
            if end == "close the net" and result.sample >= at:
                net.close()
                break
            if end == "stop" and result.sample == at:
                run.stop()
        if end == "interrupt":  # it has not come yet
            threading.Event().wait(PATIENT)
    if end != "let go":
        run.close()
    net.layers[0].hooks = net.layers[1].hooks = {"respond": None, "learn": None}
    before = net.counts["samples"]
    assert net.step(sample(before)).sample == before, end
    if chance.random() < 0.5:
        net.close()
    return end


def test_a_thousand_ends():
    before = set(threading.enumerate())
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()  # Python drops an interrupt that comes while garbage is collected
    try:
        seen = Counter(one_round(seed) for seed in range(ROUNDS))
    finally:
        gc.enable()
        signal.signal(signal.SIGINT, handler)
    gc.collect()
    assert set(seen) == set(ENDS)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENT)
    assert set(threading.enumerate()) <= before


CHILD = """
import itertools, os, signal, sys, threading, time
from streamhebb.schedule import Threads
from tests.stream_toys import Toy, sample, toy_net

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
net = toy_net(Toy("a", learn=lambda n: time.sleep(1e-4)), Toy("b"), scheduler=Threads(2))
run = net.run((sample(n) for n in itertools.count()), {wishes})
for result in run:
    if result.sample == 50:
        {end}
print("out of the loop")
"""


@pytest.mark.parametrize(
    ("wishes", "end", "code", "words"),
    [
        ("policy='latest'", "sys.exit(3)", 3, ""),
        ("policy='latest'", "raise RuntimeError('nothing caught it')", 1, "nothing caught it"),
        ("policy='latest'", "os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "Keyboard"),
        ("policy='latest'", "results = iter(run); break", 0, ""),
        ("depth=4", "results = iter(run); break", 0, ""),
    ],
    ids=["exit", "error", "Ctrl-C", "reader and threads at work", "threads at work"],
)
def test_the_interpreter_ends_while_threads_work(wishes, end, code, words):
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(wishes=wishes, end=end)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert child.returncode == code, child.stderr
    assert words in child.stderr
    assert "Fatal" not in child.stderr
