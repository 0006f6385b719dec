from __future__ import annotations

import copy
import os

import pytest
import torch

import streamhebb as sh
from streamhebb import choosing
from streamhebb.choosing import choose
from streamhebb.errors import ConfigError


def make_net(**more) -> sh.StreamNet:
    layers = (sh.Dense(6, 8), sh.ReLU(), sh.Dense(8, 4))
    return sh.StreamNet(*layers, readout=sh.SoftmaxReadout(4, classes=2), seed=0, **more)


@pytest.fixture
def two_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)


def test_a_small_net_is_not_worth_a_thread(two_processors, monkeypatch):
    monkeypatch.setattr(choosing, "QUICK", 1.0)  # so on a busy machine, too
    choice = choose(make_net(), torch.rand(6), 1)
    assert repr(choice.scheduler) == "Serial()"
    assert "too little to share" in str(choice)


def test_what_is_worth_it_is_measured_and_told(two_processors, monkeypatch):
    monkeypatch.setattr(choosing, "QUICK", 0.0)
    monkeypatch.setattr(choosing, "ROUND", 0.001)
    choice = choose(make_net(), torch.rand(3, 6), [0, 1, None])
    assert set(choice.seconds) == {"Serial()", "Threads(2)"}
    assert repr(choice.scheduler) in choice.seconds
    assert all(name in choice.why for name in choice.seconds)
    choice.scheduler.close()


@pytest.mark.parametrize(
    ("seconds", "chosen"), [((1.0, 0.5), "Threads(2)"), ((1.0, 0.95), "Serial()")]
)
def test_only_a_clear_gain_is_chosen(two_processors, monkeypatch, seconds, chosen):
    monkeypatch.setattr(choosing, "QUICK", 0.0)

    class Trial:
        def __init__(self, net, scheduler, sample):
            self.took = seconds[0] if repr(scheduler) == "Serial()" else seconds[1]

        def __call__(self, count):
            return self.took

        def close(self):
            pass

    monkeypatch.setattr(choosing, "_trial", Trial)
    assert repr(choose(make_net(), torch.rand(6)).scheduler) == chosen


def test_with_one_processor_there_is_no_choice(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert "one processor" in choose(make_net(), torch.rand(6)).why


def test_measuring_changes_nothing_and_happens_once(two_processors, monkeypatch):
    monkeypatch.setattr(choosing, "QUICK", 0.0)
    monkeypatch.setattr(choosing, "ROUND", 0.001)
    net, plain = make_net(scheduler="auto"), make_net()
    stream = [(x, t % 2) for t, x in enumerate(torch.rand(20, 6))]
    assert net.choice is None
    with net, net.run(stream) as results:
        seen = [result.prediction for result in results]
    choice = net.choice
    assert choice is not None
    assert seen == [plain.step(*pair).prediction for pair in stream]
    assert all(map(torch.equal, net.buffers(), plain.buffers()))
    assert net.counts == plain.counts
    with net, net.run(stream) as results:
        list(results)
    assert net.choice is choice
    assert copy.deepcopy(net).choice.why == choice.why


def test_a_bad_first_sample_is_refused_before_anything_is_measured(two_processors):
    net = make_net(scheduler="auto", on_bad="skip")
    bad = torch.full((6,), float("nan"))
    with net, net.run([bad, torch.rand(6)]) as results:
        assert [result.skipped for result in results] == ["non-finite", None]
    assert net.choice is not None


def test_another_word_is_refused():
    with pytest.raises(ConfigError, match="'fast'"):
        make_net(scheduler="fast")
