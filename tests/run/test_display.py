"""Displays: what they print, and when."""

from __future__ import annotations

import io

import pytest

from streamhebb.run.display import Live, Plain, Progress, facts, headline
from streamhebb.run.job import prepare
from streamhebb.run.settings import RunSettings


@pytest.fixture
def job(tmp_path, net_file):
    return prepare(RunSettings.make(net=net_file, limit=100), tmp_path / "run")


def progress(position, **more):
    given = {
        "position": position, "total": 100, "rate": 12.3, "accuracy": 0.5, "window_accuracy": 0.25,
        "converged": None, "active": None, "dropped": 0, "skipped": 0,
    }  # fmt: skip
    return Progress(**(given | more))


def test_headline(job):
    assert headline(job) == "tiny learns from digits: 100 samples of 1x8x8, 10 classes, seed 0"


def test_facts_leave_out_what_is_unknown():
    assert facts(progress(1)) == [("accuracy", "50.0%"), ("window", "25.0%"), ("converged", "?")]
    unlabelled = progress(1, accuracy=None, window_accuracy=None, active=0.5, dropped=3, skipped=1)
    assert [name for name, _ in facts(unlabelled)] == ["converged", "active", "dropped", "skipped"]


def test_plain_prints_lines_at_tenths_without_control_codes(job, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("streamhebb.run.display.time.perf_counter", lambda: now[0])
    out = io.StringIO()
    display = Plain(out)
    display.start(job)
    for position in range(1, 101):
        now[0] += 0.3
        display.update(progress(position))
    display.stop()
    lines = out.getvalue().splitlines()
    assert 10 <= len(lines) <= 12
    assert lines[1] == "10/100 samples  12/s  accuracy 50.0%  window 25.0%  converged ?"
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_plain_prints_every_ten_seconds_on_a_stream_without_end(job, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("streamhebb.run.display.time.perf_counter", lambda: now[0])
    out = io.StringIO()
    display = Plain(out)
    display.start(job)
    for position in range(1, 101):
        now[0] += 1
        display.update(progress(position, total=None))
    assert len(out.getvalue().splitlines()) == 11


def test_live_draws_a_bar(job):
    from rich.console import Console

    out = io.StringIO()
    display = Live(Console(file=out, force_terminal=True, width=100))
    display.stop()  # before it has started
    display.start(job)
    display.update(progress(50))
    display.stop()
    assert "50/100 samples" in out.getvalue()
    assert "accuracy" in out.getvalue()
