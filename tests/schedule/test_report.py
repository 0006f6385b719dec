from __future__ import annotations

import sys

from streamhebb.schedule import Trace
from streamhebb.schedule.report import plain, report


def test_means_are_of_whole_tasks_in_their_columns():
    trace = Trace(limit=6)
    trace.add("respond 1:B", 1, 0, "worker 10", 0, 2e-6)
    trace.add("respond 0:A", 0, 0, "worker 2", 0, 10e-6)
    trace.add("respond 0:A", 0, 1, "worker 2", 10e-6, 30e-6)
    trace.add("learn 0:A", 0, 1, "worker 2", 30e-6, 32.04e-6)
    trace.add("learn 0:A", 0, 1, "worker 10", 30e-6, 31e-6, True)
    trace.add("advance 1:B", 1, 1, "worker 2", 32.04e-6, 1.23204e-3)
    trace.add("lost", 1, 1, "worker 2", 0, 1)
    assert report(trace) == [
        "lane       tasks  respond µs  learn µs  other µs",
        "0  0:A         3        15.0       2.0",
        "1  1:B         2         2.0             1,200.0",
        "",
        "worker        busy",
        "worker 2   100.0 %",
        "worker 10    0.2 %",
        "",
        "2 samples in 1.2 ms; two or more workers at once in 0.2 % of the busy time",
        "1 later tasks were not recorded: the limit was 6",
    ]


def test_a_report_of_nothing():
    assert report(Trace()) == [
        "lane    tasks", "", "worker  busy", "",
        "0 samples in 0.0 ms; two or more workers at once in 0.0 % of the busy time",
    ]  # fmt: skip


def test_names_cannot_steer_a_terminal():
    assert plain("\x1b[2J\ud800\n\t\u202e\u200b") == "?[2J?????"
    assert plain("Größe µ Ω") == "Größe µ Ω"
    assert plain("a" * 29) == "a" * 27 + "…"
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert plain(every, len(every)).isprintable()
