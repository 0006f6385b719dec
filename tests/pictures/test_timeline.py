"""Timelines: bars are the tasks of the trace, and the words say what is shown."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from streamhebb import pictures
from streamhebb.errors import ConfigError
from streamhebb.pictures.timeline import COLOURS, MOST_TASKS
from streamhebb.schedule import Trace


def run(samples: int = 40, unit: float = 1e-6) -> Trace:
    """Three lanes that overlap on two workers, and a part in every sample; 100 units a sample."""
    trace = Trace()
    for n in range(samples):
        for name, lane, worker, start, end, part in (
            ("respond 0:Conv2d", 0, "worker 0", 0, 30, False),
            ("learn 0:Conv2d", 0, "worker 0", 30, 70, False),
            ("respond 3:Dense", 1, "worker 1", 30, 50, False),
            ("learn 3:Dense", 1, "worker 1", 50, 90, False),
            ("learn 3:Dense", 1, "worker 0", 75, 90, True),
            ("respond readout", 2, "worker 1", 90, 100, False),
        ):
            times = 5 + (100 * n + start) * unit, 5 + (100 * n + end) * unit
            trace.add(name, lane, n, worker, *times, part)
    return trace


def bars(axes) -> list[tuple[float, float, float, str]]:
    """Row, left and right edge, and colour of each bar."""
    found = []
    for collection in axes.collections:
        colour = to_hex(collection.get_facecolor()[0])
        for path in collection.get_paths():
            box = path.get_extents()
            row = round((box.y0 + box.y1) / 2, 6)
            found.append((row, round(box.x0, 6), round(box.x1, 6), colour))
    return sorted(found)


def texts(figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def test_every_task_is_drawn_where_and_when_it_ran():
    figure = pictures.timeline(run(2))
    lanes, workers = figure.axes
    assert [t.get_text() for t in lanes.get_yticklabels()] == ["0:Conv2d", "3:Dense", "readout"]
    assert [t.get_text() for t in workers.get_yticklabels()] == ["worker 0", "worker 1"]
    pale = [to_hex([0.32 * int(c[i : i + 2], 16) / 255 + 0.68 for i in (1, 3, 5)]) for c in COLOURS]
    a, b = COLOURS[:2]
    assert bars(lanes) == [
        (0, 0, 30, a), (0, 30, 70, pale[0]), (0, 100, 130, b), (0, 130, 170, pale[1]),
        (1, 30, 50, a), (1, 50, 90, pale[0]), (1, 130, 150, b), (1, 150, 190, pale[1]),
        (2, 90, 100, a), (2, 190, 200, b),
    ]  # fmt: skip
    assert bars(workers) == [
        (0, 0, 30, a), (0, 30, 70, pale[0]), (0, 75, 90, pale[0]),
        (0, 100, 130, b), (0, 130, 170, pale[1]), (0, 175, 190, pale[1]),
        (1, 30, 50, a), (1, 50, 90, pale[0]), (1, 90, 100, a),
        (1, 130, 150, b), (1, 150, 190, pale[1]), (1, 190, 200, b),
    ]  # fmt: skip
    assert lanes.get_xlim() == pytest.approx((0, 200))
    assert workers.get_xlabel() == "time since the first task (µs)"
    said = texts(figure)
    assert "Timeline: 2 samples in 200 µs" in said
    assert "worker 0 85 %, worker 1 70 %; two or more at once 55 %" in said
    assert "Shown: samples 0 to 1 (200 µs)." in said
    assert "Low bars: parts" in said
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["respond", "learn"]
    assert {t.get_text() for t in workers.texts} >= {"85 %", "70 %", "busy"}


def test_a_readable_part_from_the_middle_is_shown_unless_asked():
    figure = pictures.timeline(run())
    assert "Shown: samples 16 to 23 of 40 (800 µs, from the middle of the run)." in texts(figure)
    assert figure.axes[0].get_xlim() == pytest.approx((1600, 2400))
    numbers = {text.get_text() for text in figure.axes[0].texts}
    assert numbers == {str(n) for n in range(16, 24)}


@pytest.mark.parametrize(
    ("choice", "limits", "said"),
    [
        ({"first": 0, "frames": 2}, (0, 200), "samples 0 to 1 of 40 (200 µs)"),
        ({"first": 38}, (3800, 4000), "samples 38 to 39 of 40 (200 µs)"),
        ({"first": 7, "frames": 1}, (700, 800), "sample 7 of 40 (100 µs)"),
        ({"frames": 3}, (1800, 2100), "18 to 20 of 40 (300 µs, from the middle of the run)"),
        ({"frames": 99}, (0, 4), "samples 0 to 39 (4 ms)"),
        ({"start": 0.0001, "end": 0.0003}, (100, 300), "Shown: 100 µs to 300 µs."),
        ({"start": 0.002}, (2, 4), "Shown: 2 ms to 4 ms."),
        ({"end": 0.0005}, (0, 500), "Shown: 0 µs to 500 µs."),
    ],
)
def test_what_to_show_can_be_chosen(choice, limits, said):
    figure = pictures.timeline(run(), **choice)
    assert figure.axes[0].get_xlim() == pytest.approx(limits)
    assert figure.axes[1].get_xlim() == pytest.approx(limits)
    assert said in texts(figure)


def test_tasks_of_other_samples_in_the_part_shown_are_drawn_too():
    trace = Trace()
    trace.add("respond 0:A", 0, 0, "a", 0, 10)
    trace.add("respond 0:A", 0, 1, "a", 12, 13)
    trace.add("respond 1:B", 1, 0, "b", 12, 20)
    figure = pictures.timeline(trace, first=1, frames=1)
    assert [row for row, *_ in bars(figure.axes[0])] == [0, 1]


def test_tasks_of_a_lane_that_overlap_share_its_row():
    trace = Trace()
    trace.add("respond 0:A", 0, 0, "a", 0, 2)
    trace.add("respond 0:A", 0, 1, "b", 1, 3)
    trace.add("respond 1:B", 1, 1, "b", 3, 4)
    figure = pictures.timeline(trace)
    assert [(row, a, b) for row, a, b, _ in bars(figure.axes[0])] == [
        (-0.2, 0, 2000), (0.2, 1000, 3000), (1, 3000, 4000),
    ]  # fmt: skip


def test_units_suit_the_part_shown():
    assert "(s)" in pictures.timeline(run(1, unit=1)).axes[1].get_xlabel()
    assert "(ms)" in pictures.timeline(run(1, unit=1e-3)).axes[1].get_xlabel()


def test_odd_traces_are_pictures_too():
    trace = Trace(limit=3)
    every = "".join(map(chr, range(0x500)))
    trace.add("$x^{ 雪\x1b\n" * 9, -3, 10**15, "%s\ud800 worker", 5, 5)
    for n in range(0, 0x500, 28):
        trace.limit += 1
        trace.add("double", n, 10**15, every[n : n + 28], 5, 5)
    trace.add("a", 0, 0, "a", 0, 1)
    trace.add("a", 0, 0, "a", 0, 1)
    trace.add("a", 0, 0, "a", 0, 1)
    assert trace.lost == 1
    figure = pictures.timeline(trace, title="$")
    assert "1 later tasks were not recorded" in texts(figure)
    assert pictures.png(figure)[1:4] == b"PNG"


def test_learning_alone_has_its_own_legend():
    trace = Trace()
    trace.add("learn 0:A", 0, 0, "a", 0, 1)
    figure = pictures.timeline(trace)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["learn"]
    assert "at once" not in texts(figure)  # there is one worker


def test_many_workers_are_summed_up():
    trace = Trace()
    for n in range(6):
        trace.add("respond 0:A", n, 0, f"worker {n}", 0, 1 + n)
    assert "6 workers, each 17 to 100 %" in texts(pictures.timeline(trace))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"first": 40}, "it holds samples 0 to 39"),
        ({"first": -1}, "first=-1"),
        ({"frames": 0}, "frames=0"),
        ({"frames": 1.5}, "frames=1.5"),
        ({"first": 0, "start": 0.0}, "not both"),
        ({"start": -1.0}, "between 0 and 0.004 s"),
        ({"start": 0.003, "end": 0.002}, "in this order"),
        ({"start": float("nan")}, "start=nan"),
        ({"start": 1.0, "end": 2.0}, "between 0 and 0.004 s"),
    ],
)
def test_a_choice_outside_the_trace_is_refused(choice, said):
    with pytest.raises(ConfigError, match=said):
        pictures.timeline(run(), **choice)


def test_an_empty_trace_and_too_much_are_refused():
    with pytest.raises(ConfigError, match="the trace is empty"):
        pictures.timeline(Trace())
    trace = Trace()
    for n in range(MOST_TASKS + 1):
        trace.add("a", 0, 0, "a", n, n + 1)
    with pytest.raises(ConfigError, match=r"5,001 tasks.*choose fewer"):
        pictures.timeline(trace)
    trace = Trace()
    for n in range(100):
        trace.add("a", n, 0, "a", 0, 1)
    with pytest.raises(ConfigError, match="100 lanes and 1 workers; at most 100 rows"):
        pictures.timeline(trace)
