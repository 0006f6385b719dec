"""Quantiles to one per cent, of any stream, in constant memory."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamhebb.histogram import HIGHEST, LOWEST, Histogram

inside = st.floats(LOWEST, HIGHEST)
# A float drawn as it is lies among the largest most of the time; an exponent drawn first does not.
spread = st.builds(lambda e, m: min(m * 10.0**e, HIGHEST), st.integers(-9, 5), st.floats(1, 10))
times = inside | spread
anything = times | st.just(0.0) | st.floats(0, LOWEST) | st.floats(HIGHEST, 1e12)
SHARES = (0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0)


def of(values, **options):
    histogram = Histogram()
    for value in values:
        histogram.add(value, **options)
    return histogram


@given(st.lists(times, min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_are_within_one_per_cent_of_the_exact_ones(values, share):
    histogram = of(values)
    for q in (*SHARES, share):
        exact = float(np.quantile(values, q, method="inverted_cdf"))
        assert histogram.quantile(q) == pytest.approx(exact, rel=0.01)


@given(times)
def test_one_time_among_others_is_within_one_per_cent(value):
    """The median of three, so that neither end, which is exact, gives it away."""
    histogram = of([LOWEST / 2, value, HIGHEST * 2])
    assert histogram.p50 == pytest.approx(value, rel=1 / 128)


@pytest.mark.parametrize("exponent", range(-29, 20))
def test_the_edges_of_buckets_are_within_one_per_cent(exponent):
    for part in range(64):
        edge = math.ldexp(64 + part, exponent - 6)
        for value in (math.nextafter(edge, 0), edge):
            if LOWEST <= value <= HIGHEST:
                assert of([0.0, value, 2e6]).p50 == pytest.approx(value, rel=1 / 128)


def test_many_times_of_a_heavy_tail():
    values = np.random.RandomState(0).lognormal(-6, 1.5, 20_000)
    histogram = of(values.tolist())
    for q in SHARES:
        exact = np.quantile(values, q, method="inverted_cdf")
        assert histogram.quantile(q) == pytest.approx(exact, rel=0.01)
    assert histogram.mean == pytest.approx(values.mean(), rel=1e-12)
    assert histogram.p50 == histogram.quantile(0.5)
    assert histogram.p99 == histogram.quantile(0.99)


@given(st.lists(anything, min_size=1, max_size=100))
def test_count_ends_and_mean_are_exact(values):
    histogram = of(values)
    assert histogram.count == len(values)
    assert (histogram.min, histogram.max) == (min(values), max(values))
    assert (histogram.quantile(0), histogram.quantile(1)) == (min(values), max(values))
    assert histogram.mean == pytest.approx(math.fsum(values) / len(values), rel=1e-12)
    assert histogram.below == sum(value < LOWEST for value in values)
    assert histogram.above == sum(value > HIGHEST for value in values)


@given(st.lists(anything, max_size=60), st.lists(anything, max_size=60))
def test_merging_is_adding_all(left, right):
    merged, other = of(left), of(right)
    before = other.state()
    merged.merge(other)
    together = of(left + right)
    assert other.state() == before
    assert close_state(merged) == close_state(together)


def close_state(histogram):
    """All but the running sum to the bit: that one depends on the order."""
    state = histogram.state()
    return {**state, "total": pytest.approx(state["total"], rel=1e-12)}


def test_a_histogram_merges_with_itself_and_with_nothing():
    histogram = of([0.1, 0.2])
    histogram.merge(Histogram())
    assert (histogram.count, histogram.min, histogram.max) == (2, 0.1, 0.2)
    histogram.merge(histogram)
    assert (histogram.count, histogram.mean) == (4, pytest.approx(0.15))
    empty = Histogram()
    empty.merge(histogram)
    assert empty.state() == histogram.state()


@given(st.lists(st.tuples(anything, st.integers(1, 9)), max_size=30))
def test_several_times_at_once(pairs):
    at_once = Histogram()
    for value, count in pairs:
        at_once.add(value, count)
    singly = of([value for value, count in pairs for _ in range(count)])
    assert close_state(at_once) == close_state(singly)


@given(st.lists(anything, max_size=60), st.lists(anything, max_size=10))
def test_going_on_from_a_saved_state(first, rest):
    whole, resumed = of(first), of([5.0])
    resumed.restore(json.loads(json.dumps(whole.state(), allow_nan=False)))
    for value in rest:
        whole.add(value)
        resumed.add(value)
    assert resumed.state() == whole.state()
    assert resumed.summary() == whole.summary()


def test_size_does_not_depend_on_what_was_added():
    histogram = Histogram()
    size = len(histogram._buckets)
    for exponent in range(-300, 300):
        histogram.add(10.0**exponent)
    assert len(histogram._buckets) == size <= 3200
    assert not hasattr(histogram, "__dict__")


def test_nothing_measured():
    empty = Histogram()
    assert math.isnan(empty.p50)
    assert math.isnan(empty.quantile(1))
    assert math.isnan(empty.mean)
    assert empty.summary() == {"count": 0}
    assert str(empty) == "nothing measured"


def test_the_summary():
    summary = of([n / 1000 for n in range(1, 1001)]).summary()
    assert list(summary) == ["count", "p50", "p90", "p99", "p999", "max", "mean"]
    assert (summary["count"], summary["max"]) == (1000, 1.0)
    for name, exact in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        assert summary[name] == pytest.approx(exact, rel=0.01)
    assert summary["mean"] == pytest.approx(0.5005)


def test_reading_it():
    histogram = of([0.0012] * 980 + [0.0034] * 19 + [0.005])
    assert str(histogram) == "p50 1.2 ms, p99 3.4 ms, max 5.0 ms over 1000"
    assert str(of([0.0])) == "p50 0.0 ns, p99 0.0 ns, max 0.0 ns over 1"
    assert str(of([0.0, 250e-9, 12.34e-6])).endswith("max 12.3 µs over 3")
    assert str(of([4000.0])).endswith("max 4000 s over 1")


def test_numbers_of_numpy_leave_no_trace():
    histogram = of(np.array([0.1, 0.3], np.float32))
    assert [type(n) for n in (histogram.min, histogram.max, histogram.mean)] == [float] * 3


@pytest.mark.parametrize("bad", [-1e-9, -1, math.nan, math.inf, -math.inf])
def test_times_that_cannot_be(bad):
    histogram = of([1.0])
    before = histogram.state()
    with pytest.raises(ValueError, match=r"a time of .*cannot be: give 0 or more"):
        histogram.add(bad)
    assert histogram.state() == before


@pytest.mark.parametrize("bad", [0, -1])
def test_how_often_must_be_once_or_more(bad):
    histogram = Histogram()
    with pytest.raises(ValueError, match=f"times={bad}"):
        histogram.add(1.0, bad)
    assert histogram.count == 0


@pytest.mark.parametrize("bad", [-0.1, 1.1, 99, math.nan])
def test_shares_outside_0_to_1(bad):
    with pytest.raises(ValueError, match=r"0\.99 for p99"):
        of([1.0]).quantile(bad)


GOOD = of([1e-10, 0.1, 0.1, 2.0, 2e6]).state()


@pytest.mark.parametrize(
    "change",
    [
        {"buckets": 3},
        {"buckets": [[-1, 5]]},
        {"buckets": [[3200, 5]]},
        {"buckets": [[4, 0]]},
        {"buckets": [[4, 1.5]]},
        {"buckets": [["4", 1]]},
        {"buckets": [[4, 1], [4, 1]]},
        {"buckets": []},
        {"min": None},
        {"min": -1.0},
        {"min": 3e6},
        {"max": math.inf},
        {"max": math.nan},
        {"total": math.nan},
        {"total": -1.0},
        {"below": 2},
        {"above": -1},
        {"above": None},
    ],
    ids=str,
)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(change):
    histogram = of([7.0])
    before = copy.deepcopy(histogram.state())
    with pytest.raises(ValueError, match="state of a Histogram"):
        histogram.restore({**GOOD, **change})
    assert histogram.state() == before
    histogram.restore(GOOD)
    assert histogram.state() == GOOD


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_a_state_with_a_part_missing_is_refused(missing):
    with pytest.raises(ValueError, match=f"no state of a Histogram: .*{missing}"):
        Histogram().restore({name: part for name, part in GOOD.items() if name != missing})
