"""Traces: what is kept, what is counted from it, and files that others can open."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamhebb.errors import TraceError
from streamhebb.schedule import Event, Trace, _chrome, read_trace
from streamhebb.schedule._chrome import microseconds, rows_apart


def traced(*events: tuple, limit: int = 1_000_000) -> Trace:
    trace = Trace(limit)
    for event in events:
        trace.add(*event)
    return trace


def of(worker: str, start: float, end: float, part: bool = False) -> tuple:
    return ("respond 0:A", 0, 0, worker, start, end, part)


# ------------------------------------------------------------------------------------- in memory


def test_events_beyond_the_limit_are_counted():
    trace = traced(of("a", 0, 1), of("a", 1, 2), of("a", 2, 3), limit=2)
    assert [event.start for event in trace.events] == [0, 1]
    assert trace.lost == 1


def test_lanes_are_named_by_hand_or_after_their_first_task():
    trace = traced(
        ("respond 3:Conv2d+4:ReLU", 2, 0, "a", 0, 1),
        ("learn other", 2, 0, "a", 1, 2),
        ("respond readout", 10, 0, "a", 2, 3),
        ("double", 0, 0, "a", 3, 4),
        ("respond 0:A", 1, 0, "a", 4, 5),
    )
    trace.lane_names[1] = "the first"
    trace.lane_names[99] = "nothing ran here"
    expected = {0: "double", 1: "the first", 2: "3:Conv2d+4:ReLU", 10: "readout"}
    assert trace.lanes() == expected
    assert list(trace.lanes()) == [0, 1, 2, 10]


def test_workers_are_in_the_order_of_their_numbers():
    names = ["worker 10", "worker 2", "caller", "9" * 5000, ""]
    assert traced(*(of(name, 0, 1) for name in names)).workers() == [
        "", "9" * 5000, "caller", "worker 2", "worker 10",
    ]  # fmt: skip


def test_busy_and_overlap_of_nothing():
    assert Trace().busy() == {}
    assert Trace().overlap() == 0
    assert Trace().span() == (0, 0)
    still = traced(of("a", 5, 5))
    assert still.busy() == {"a": 0}
    assert still.overlap() == 0
    assert still.span() == (5, 5)


def test_busy_counts_parts_and_counts_nested_time_once():
    trace = traced(
        of("a", 10, 14),
        of("a", 11, 12, True),  # inside
        of("a", 13, 15),  # overlaps
        of("a", 15, 16),  # touches
        of("b", 18, 20, True),
    )
    assert trace.span() == (10, 20)
    assert trace.busy() == pytest.approx({"a": 0.6, "b": 0.2})
    assert trace.overlap() == 0


def test_overlap_is_of_the_time_in_which_anyone_was_busy():
    trace = traced(of("a", 0, 4), of("b", 3, 5), of("b", 8, 10), of("c", 3.5, 9))
    # busy 0..10; two or more: 3..5 (a, b, c) and 8..9
    assert trace.overlap() == pytest.approx(3 / 10)
    assert traced(of("a", 0, 4), of("a", 1, 3)).overlap() == 0  # one worker is no two
    assert traced(of("a", 0, 4), of("b", 4, 8)).overlap() == 0
    assert traced(of("a", 0, 4), of("b", 0, 4)).overlap() == 1


intervals = st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 8))


@given(st.lists(intervals, max_size=20))
def test_busy_and_overlap_agree_with_counting_ticks(rows):
    trace = traced(*(of(worker, start, start + length) for worker, start, length in rows))
    ticks = defaultdict(set)
    for worker, start, length in rows:
        ticks[worker] |= set(range(start, start + length))
    first, last = trace.span()
    for worker, share in trace.busy().items():
        assert share == pytest.approx(len(ticks[worker]) / (last - first) if last > first else 0)
    counts = [sum(t in mine for mine in ticks.values()) for t in range(40)]
    busy, several = sum(c >= 1 for c in counts), sum(c >= 2 for c in counts)
    assert trace.overlap() == pytest.approx(several / busy if busy else 0)


# ---------------------------------------------------------------------------------------- files


def rows_of(path: Path) -> dict[tuple[int, int], list[tuple[int, int, dict]]]:
    """Slices of each row as a reader takes them: nanoseconds, cut off. Checks the format."""
    data = json.loads(path.read_bytes())
    assert data["displayTimeUnit"] == "ms"
    rows, named = defaultdict(list), {}
    for event in data["traceEvents"]:
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        assert type(event["name"]) is str
        if event["ph"] == "M":
            named[event["name"], event["pid"], event["tid"]] = event["args"]
        else:
            assert event["ph"] == "X"
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            start = int(event["ts"] * 1000)
            rows[event["pid"], event["tid"]].append(
                (start, start + int(event["dur"] * 1000), event)
            )
    assert named["process_name", 1, 0] == {"name": "lanes"}
    assert named["process_name", 2, 0] == {"name": "workers"}
    for pid, tid in rows:
        assert named["thread_name", pid, tid]["name"] is not None
        assert type(named["thread_sort_index", pid, tid]["sort_index"]) is int
    tids = [tid for _, tid in rows]
    assert len(tids) == len(set(tids))  # a thread belongs to one process
    return rows


def assert_nested(slices: list[tuple[int, int, dict]]) -> None:
    ends: list[int] = []
    for start, end, _ in sorted(slices, key=lambda s: (s[0], -s[1])):
        while ends and ends[-1] <= start:
            ends.pop()
        assert not ends or end <= ends[-1]
        ends.append(end)


def test_a_file_has_a_row_for_each_lane_and_each_worker(tmp_path):
    trace = traced(
        ("respond 0:A", 0, 0, "worker 0", 100.0, 100.000010),
        ("learn 0:A", 0, 0, "worker 0", 100.000010, 100.000030),
        ("learn 0:A", 0, 0, "worker 1", 100.000012, 100.000020, True),
        ("respond 1:B", 1, 0, "worker 1", 100.000021, 100.0000305),
    )
    trace.lost = 7
    path = trace.write(tmp_path / "new" / "trace.json")
    data = json.loads(path.read_text())
    assert data["otherData"]["lost"] == 7
    names = {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in data["traceEvents"]
        if e["name"] == "thread_name"
    }
    found = {
        (pid, names[pid, tid]): [(s, e, x["name"], x["args"]) for s, e, x in slices]
        for (pid, tid), slices in rows_of(path).items()
    }
    first = {"frame": 0, "lane": 0, "worker": "worker 0"}
    other = {"frame": 0, "lane": 1, "worker": "worker 1"}
    part = {"frame": 0, "lane": 0, "worker": "worker 1", "part": True}
    one = [(0, 10_000, "respond 0:A", first), (10_000, 30_000, "learn 0:A", first)]
    two = (21_000, 30_500, "respond 1:B", other)
    assert found == {
        (1, "0:A"): one,  # without the part: it would overlap
        (1, "1:B"): [two],
        (2, "worker 0"): one,
        (2, "worker 1"): [(12_000, 20_000, "learn 0:A", part), two],
    }


text = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates as well
moments = st.tuples(st.integers(0, 10**12), st.integers(0, 10**9))
events = st.builds(
    lambda name, lane, frame, worker, at, part: Event(
        name, lane, frame, worker, at[0] / 1e9, (at[0] + at[1]) / 1e9, part
    ),
    text, st.integers(-3, 5), st.integers(0, 10**6), text, moments, st.booleans(),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("traces")


@given(st.lists(events, max_size=12), st.dictionaries(st.integers(-3, 9), text), st.integers(0, 9))
def test_what_is_written_is_read(folder, rows, names, lost):
    """To the nanosecond, counted from the first start; odd characters are kept."""
    trace = traced(*rows)
    trace.lane_names, trace.lost = names, lost
    path = trace.write(folder / "trace.json")
    for slices in rows_of(path).values():
        assert_nested(slices)
    again = read_trace(path)
    assert (again.lane_names, again.lost) == (names, lost)
    first = min((event.start for event in rows), default=0)
    assert len(again.events) == len(rows)
    for old, new in zip(rows, again.events, strict=True):
        assert new[:4] == old[:4]
        assert new.part is old.part
        assert abs(new.start - (old.start - first)) <= 0.6e-9
        assert abs(new.end - (old.end - first)) <= 0.6e-9
    before = path.read_bytes()
    again.write(path)
    assert path.read_bytes() == before  # nothing is lost the second time
    assert os.listdir(folder) == ["trace.json"]


@given(st.integers(0, 4 * 10**15))
@example(1001)  # as a float, 1.001 * 1000 is less
def test_a_nanosecond_survives_rounding_and_cutting_off(time):
    written = json.loads(repr(microseconds(time)))
    assert int(written * 1000) == time
    assert round(written * 1000) == time


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5), st.sampled_from("ab")), max_size=12),
    st.booleans(),
)
def test_rows_are_apart_and_no_more_than_needed(found, nested):
    spans = [(start, start + length) for start, length, _ in found]
    rows = rows_apart(spans, [key for _, _, key in found], nested)
    assert [row[0] for row in rows] == [key for _, _, key in found]
    for row in set(rows):
        mine = sorted(span for span, place in zip(spans, rows, strict=True) if place == row)
        if nested:
            assert_nested([(a, b, {}) for a, b in mine])
        else:
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))
    if not nested and all(length for _, length, _ in found):  # as many rows as ever overlap
        for key in "ab":
            mine = [s for s, row in zip(spans, rows, strict=True) if row[0] == key]
            most = max((sum(a <= t < b for a, b in mine) for t in range(20)), default=0)
            assert len({row for row in rows if row[0] == key}) == max(most, bool(mine))


def test_what_begins_together_lies_one_inside_the_other():
    spans = [(0, 2), (0, 5), (0, 5), (0, 0), (2, 2), (2, 4), (3, 6)]
    rows = rows_apart(spans, ["a"] * 7, nested=True)
    assert [copy for _, copy in rows] == [0, 0, 0, 0, 0, 0, 1]


def test_a_new_trace_replaces_the_old_one_whole_or_not_at_all(tmp_path, monkeypatch):
    path = traced(of("a", 0, 1)).write(tmp_path / "trace.json")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TraceError, match=r"cannot write.*No space left.*free some space"):
        traced(of("b", 0, 1)).write(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["trace.json"]
    with pytest.raises(TraceError, match="cannot write"):
        Trace().write(path / "below a file")


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (1, 0, "no task ends before it starts"),
        (math.nan, 1, "must be finite"),
        (0, math.nan, "must be finite"),
        (-math.inf, 0, "must be finite"),
        (0, math.inf, "must be finite"),
        (0, 1e9, "may hold 4e\\+06 s"),
        (-1e308, 1e308, "spans inf s"),
    ],
)
def test_times_that_make_no_sense_are_refused(tmp_path, start, end, said):
    with pytest.raises(TraceError, match=said):
        traced(of("a", start, end)).write(tmp_path / "trace.json")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------ files of others


@pytest.fixture
def path(tmp_path) -> Path:
    return traced(of("a", 0, 1), of("b", 0.5, 2)).write(tmp_path / "trace.json")


def changed(path: Path, change) -> Path:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path


def first_of_workers(data: dict) -> dict:
    return next(e for e in data["traceEvents"] if e["ph"] == "X" and e["pid"] == 2)


def test_rows_of_others_are_left_aside(path):
    more = [{"ph": "X", "pid": 3, "name": "mine"}, {"ph": "i", "pid": 2, "name": "mark"}]
    assert len(read_trace(changed(path, lambda d: d["traceEvents"].extend(more))).events) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(traceEvents=None), "traceEvents is no list"),
        (lambda d: d["traceEvents"].pop(), None),  # of a lane: nothing is missing
        (lambda d: d["traceEvents"].remove(first_of_workers(d)), "holds 1 of 2 events"),
        (lambda d: d["traceEvents"].append(first_of_workers(d)), "holds 3 of 2 events"),
        (lambda d: d["traceEvents"].append(7), "damaged"),
        (lambda d: d["traceEvents"].append({}), "no 'ph'"),
        (lambda d: first_of_workers(d).pop("ts"), "no 'ts'"),
        (lambda d: first_of_workers(d).pop("args"), "no 'args'"),
        (lambda d: first_of_workers(d).update(args=[]), "damaged"),
        (lambda d: first_of_workers(d).update(ts=math.nan), "a time is nan"),
        (lambda d: first_of_workers(d).update(ts=math.inf), "a time is inf"),
        (lambda d: first_of_workers(d).update(ts=-1), "a time is -1"),
        (lambda d: first_of_workers(d).update(dur=True), "a time is True"),
        (lambda d: first_of_workers(d).update(dur="1"), "a time is '1'"),
        (lambda d: first_of_workers(d).update(dur=10**400), "a time is 1000"),
        (lambda d: first_of_workers(d).update(name=None), "None is no text"),
        (lambda d: first_of_workers(d)["args"].update(frame=-1), "-1 is not between 0 and"),
        (lambda d: first_of_workers(d)["args"].update(frame=10**400), "not between 0 and"),
        (lambda d: first_of_workers(d)["args"].update(frame=0.5), "0.5 is no whole number"),
        (lambda d: first_of_workers(d)["args"].update(lane=True), "True is no whole number"),
        (lambda d: first_of_workers(d)["args"].update(worker=1), "1 is no text"),
        (lambda d: first_of_workers(d)["args"].update(part=1), "part is 1"),
        (lambda d: d["otherData"].pop("lost"), "no 'lost'"),
        (lambda d: d["otherData"].update(lost="many"), "'many' is no whole number"),
        (lambda d: d["otherData"].update(lane_names=[]), "damaged"),
        (lambda d: d["otherData"].update(lane_names={"x": "a"}), "damaged"),
        (lambda d: d["otherData"].update(version=99), "trace version 99"),
        (lambda d: d["otherData"].update(format="else"), "not a trace of streamhebb"),
        (lambda d: d.pop("otherData"), "not a trace of streamhebb"),
    ],
)
def test_what_is_damaged_is_refused(path, change, said):
    changed(path, change)
    if said is None:
        assert len(read_trace(path).events) == 2
        return
    with pytest.raises(TraceError, match=said):
        read_trace(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a whole trace"),
        (b"[]", "not a trace of streamhebb"),
        (b"7", "not a trace of streamhebb"),
        (b"\x89PNG\r\n\x1a\n\xff", "not a whole trace"),
        (b"[" * 200_000, "not a whole trace"),
        (b"9" * 10_000, "not a whole trace"),
        (b'{"otherData": ' * 100_000, "not a whole trace"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path, content, said):
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=said):
        read_trace(path)


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 23):
        path.write_bytes(whole[:length])
        with pytest.raises(TraceError, match="not a whole trace"):
            read_trace(path)


def test_no_file_a_folder_and_too_large_a_file(path, tmp_path, monkeypatch):
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(TraceError, match="there is no trace at"):
            read_trace(missing)
    monkeypatch.setattr(_chrome, "MOST_BYTES", 100)
    with pytest.raises(TraceError, match=r"too large.*limit="):
        read_trace(path)


def test_a_trace_that_was_read_can_go_on(path):
    trace = read_trace(path)
    trace.add(*of("a", 3, 4))
    assert len(trace.events) == 3
    assert trace.lost == 0
