"""Layers that wake on news only: who is woken, what stands, what a snapshot keeps."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.schedule import Serial, Shuffled, Threads
from streamhebb.wake import OnChange, OnSpike, Standing
from tests.schedule.random_nets import differences, learned, said
from tests.stream_toys import SCHEDULERS, Toy, sample, toy_net

floats = st.floats(-100, 100, width=32)


# -- what wakes ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=5), st.floats(0, 10))
def test_on_change_compares_the_largest_difference(pairs, threshold):
    x, before = (torch.tensor(values) for values in zip(*pairs, strict=True))
    news = float((x - before).abs().max()) > threshold
    assert OnChange(threshold).wakes(x, before) == news


def test_the_first_input_and_another_shape_or_type_wake():
    for rule in (OnChange(), OnChange(5.0)):
        x = torch.zeros(2, 3)
        assert rule.wakes(x, None)
        assert not rule.wakes(x, x.clone())
        assert rule.wakes(x, torch.zeros(1, 3))
        assert rule.wakes(x.double(), x)


def test_what_is_not_finite_wakes():
    """So that a layer that diverged is noticed above it."""
    x = torch.zeros(4)
    for value in (float("nan"), float("inf")):
        bad = x.clone()
        bad[2] = value
        for rule in (OnChange(), OnChange(5.0), OnSpike()):
            assert rule.wakes(bad, x)


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), "1", True])
def test_a_bad_threshold_is_refused(threshold):
    with pytest.raises(ConfigError, match="threshold"):
        OnChange(threshold)


def test_on_spike_is_woken_by_anything_but_zero():
    assert not OnSpike().wakes(torch.zeros(2, 3), None)
    assert OnSpike().wakes(torch.tensor([0.0, -1e-30]), None)


# -- in a net --------------------------------------------------------------------------------------


def test_what_brings_nothing_new_neither_computes_nor_learns_and_the_answer_stands():
    asked: list[int] = []
    a, b = Toy("a", respond=asked.append), Toy("b")
    net = toy_net(a, b, wake=OnChange())
    first = net.step(sample(1))
    again = net.step(sample(1))
    assert again.passed == ("0:Toy", "1:Toy")
    assert torch.equal(again.scores, first.scores)
    assert asked == [1]
    assert (a.numbers, b.numbers) == ([1], [1])
    assert net.passed == {"0:Toy": 1, "1:Toy": 1}
    assert again.sample == 1
    assert net.counts["samples"] == 2
    other = net.step(sample(2))
    assert other.passed == ()
    assert asked == [1, 2]


def test_slow_drift_adds_up():
    net = toy_net(Toy(), wake=OnChange(0.25))
    woken = [not net.step(torch.tensor([0.0, 0.1 * n, 0.0])).passed for n in range(8)]
    assert woken == [True, False, False, True, False, False, True, False]


def test_a_quiet_layer_below_lets_those_above_sleep():
    net = sh.StreamNet(
        sh.Dense(3, 4), sh.ReLU(), sh.Dense(4, 2), wake=OnSpike(), input_shape=(3,), seed=0
    )
    with torch.no_grad():
        net.layers[0].weight.fill_(-1.0)
    result = net.step(torch.ones(3))
    assert result.passed == ("2:Dense",)
    assert result.scores is None, "nothing has ever reached the top"


def test_respond_is_not_gated_and_changes_nothing():
    net = toy_net(wake=OnChange())
    net.step(sample(1))
    before = copy.deepcopy(net.planner.standing.state())
    look = net.respond(sample(1))
    assert look.passed == ()
    assert not torch.equal(look.scores, net.step(sample(1)).scores)  # that one has learned
    net = toy_net(wake=OnChange())
    net.step(sample(1))
    net.respond(sample(5))
    assert not differences(before, net.planner.standing.state())


def test_an_answer_has_a_time_also_where_nobody_woke():
    for name in SCHEDULERS:
        net = toy_net(wake=OnChange(), scheduler=SCHEDULERS[name]())
        with net:
            results = list(net.run([sample(1)] * 6))
        assert [len(result.passed) for result in results] == [0, 2, 2, 2, 2, 2]
        assert all(0 <= result.seconds < 100 for result in results)


def test_a_label_is_something_too():
    net = toy_net(Toy(), readout=sh.NCMReadout(3), wake=OnChange())
    net.step(sample(1))
    assert net.step(sample(1)).prediction is None
    told = net.step(sample(1), "cat")
    assert told.passed == ("0:Toy",)
    assert net.readout.labels == ("cat",)
    assert net.step(sample(1)).prediction is None, "the last answer stands: it knew no cat"
    assert net.step(sample(2)).prediction == "cat"


def test_an_answer_for_another_number_of_samples_does_not_stand():
    net = toy_net(Toy(), wake=OnSpike())
    net.step(torch.ones(2, 3))
    result = net.step(torch.zeros(3))
    assert result.passed == ("0:Toy",)
    assert result.scores is None
    net.step(torch.ones(3))
    assert net.step(torch.zeros(3)).scores is not None


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=12),
    st.integers(0, 8),
    st.sampled_from(sorted(SCHEDULERS)),
    st.booleans(),
)
def test_a_run_wakes_whom_steps_wake(stream, depth, scheduler, readout):
    def make():
        return toy_net(wake=OnChange(), readout=sh.NCMReadout(3) if readout else None)

    one_by_one, net = make(), make()
    items = [sh.Sample(sample(n), target=n if n else None) for n in stream]
    expected = [said(one_by_one.step(item)) for item in items]
    net.scheduler = SCHEDULERS[scheduler]()
    with net:
        results = [said(result) for result in net.run(items, depth=depth + 1)]
    assert all(not differences(a, b) for a, b in zip(expected, results, strict=True))
    assert not differences(learned(one_by_one), learned(net))
    assert net.passed == one_by_one.passed


def test_the_report_counts_who_was_passed_over():
    net = toy_net(wake=OnChange())
    run = net.run([sample(n) for n in (1, 1, 2, 2, 2)])
    list(run)
    assert run.report.passed == {"0:Toy": 3, "1:Toy": 3}
    assert run.report.samples == 5


# -- what is kept ----------------------------------------------------------------------------------


def make_net(scheduler=None):
    return sh.StreamNet(
        sh.Dense(3, 5), sh.ReLU(), sh.Dense(5, 4, rule=sh.Oja()), sh.Triangle(),
        readout=sh.NCMReadout(4), wake=OnChange(0.05), seed=0, scheduler=scheduler,
    )  # fmt: skip


def stream(count=30):
    generator = torch.Generator().manual_seed(0)
    xs = torch.rand(count // 3 + 1, 3, generator=generator)
    return [sh.Sample(xs[n // 3], target=(n // 3) % 2 if n % 3 else None) for n in range(count)]


@pytest.mark.parametrize("scheduler", [Serial, lambda: Shuffled(2, 5), lambda: Threads(2)])
@pytest.mark.parametrize("at", [1, 7, 8, 20])
def test_saved_in_the_middle_of_a_run_it_goes_on_as_if_never_interrupted(scheduler, at, tmp_path):
    whole = make_net()
    expected = [said(whole.step(s)) for s in stream()]
    net, path = make_net(scheduler()), tmp_path / "net.safetensors"
    with net:
        for number, _ in enumerate(net.run(stream(), depth=6)):
            if number + 1 == at:
                net.save(path)
                break
    twin = make_net()
    twin.load(path)
    known = twin.counts["samples"]
    assert known >= at
    rest = [said(twin.step(s)) for s in stream()[known:]]
    for mine, theirs in zip(rest, expected[known:], strict=True):
        assert differences(mine, theirs) == []
    assert differences(learned(twin), learned(whole)) == []


def test_leaving_a_run_leaves_the_last_answer_not_the_last_one_shown():
    for make in SCHEDULERS.values():
        net, whole = toy_net(wake=OnChange(), scheduler=make()), toy_net(wake=OnChange())
        items = [sample(n) for n in range(9)]
        with net:
            for _ in net.run(items, depth=5):
                break
            known = net.counts["samples"]
            for item in items[:known]:
                whole.step(item)
            again = items[known - 1]
            assert not differences(said(net.step(again)), said(whole.step(again)))
            assert net.passed == whole.passed


def test_a_copy_and_a_clone():
    net = toy_net(wake=OnChange())
    net.step(sample(1))
    twin = copy.deepcopy(net)
    assert not differences(said(twin.step(sample(1))), said(net.step(sample(1))))
    twin.step(sample(2))
    assert net.step(sample(1)).passed
    net.reset_state()
    assert not net.step(sample(1)).passed


def test_standing_round_trip():
    standing = Standing(3)
    standing.inputs[1] = torch.ones(2)
    standing.scores = torch.zeros(1, 2)
    standing.passed = [1, 2, 3]
    other = Standing(3)
    other.restore(standing.state())
    assert not differences(other.state(), standing.state())
    other.clear()
    assert other.state() == {"passed": [1, 2, 3]}


def test_what_was_kept_without_a_wake_begins_anew():
    standing = Standing(2)
    standing.restore({})
    assert standing.state() == {"passed": [0, 0]}


def test_every_pattern_of_news_in_three_stages():
    """Whatever wakes, later stages see only what the ones before hand on."""
    for pattern in itertools.product((0, 1), repeat=6):
        net = toy_net(Toy("a"), Toy("b"), Toy("c"), wake=OnChange())
        value, seen = 0, []
        for news in pattern:
            value += news
            seen.append(bool(net.step(sample(value)).passed))
        assert seen == [False] + [not news for news in pattern[1:]]
