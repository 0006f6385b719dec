"""Spike rasters: marks, rates and spans are those of the spikes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from streamhebb import pictures
from streamhebb.errors import ConfigError


def drawn(figure):
    """Marks as (seconds, neuron); rates beside; rates below with their edges."""
    marks, beside, below = figure.axes
    offsets = {(round(float(t), 9), int(n)) for t, n in marks.collections[0].get_offsets()}
    rates = {round(p.get_y() + p.get_height() / 2): p.get_width() for p in beside.patches}
    return offsets, rates, below.patches[0].get_data()


def test_every_spike_is_drawn_where_and_when_it_was():
    spikes = torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.2
    spikes[:, 1, 2] = False
    offsets, rates, over = drawn(pictures.spike_raster(spikes, step=0.002))
    flat = spikes.reshape(50, 12)
    expected = {
        (round((t + 0.5) * 0.002, 9), n) for t in range(50) for n in range(12) if flat[t, n]
    }
    assert offsets == expected
    assert rates.keys() == set(range(12))
    for n in range(12):
        assert rates[n] == pytest.approx(sum(map(int, flat[:, n])) / 0.1)
    np.testing.assert_allclose(over.values, [sum(map(int, row)) / 12 / 0.002 for row in flat])
    np.testing.assert_allclose(over.edges, np.arange(51) * 0.002)


def test_the_words_count_all_neurons():
    spikes = np.zeros((1001, 3000), dtype=np.uint8)
    spikes[::10, 1500:] = 1
    figure = pictures.spike_raster(spikes, limit=100)
    marks, _, below = figure.axes
    assert "3,000 neurons, 1,500 silent, mean rate 50.4 Hz" in below.get_title("right")
    assert "Drawn are 100 of 3,000 neurons" in figure.texts[1].get_text()
    offsets, rates, over = drawn(figure)
    names = {n for _, n in offsets}
    assert len(rates) == 100
    assert min(rates) == 0
    assert max(rates) == 2999
    assert names == {n for n in rates if n >= 1500}
    assert set(np.round(list(rates.values()), 6)) == {0, np.round(101 / 1.001, 6)}
    # Bins of nine steps, the last of two: still spikes per second.
    assert len(over.values) == 112
    for start, rate in zip(range(0, 1001, 9), over.values, strict=True):
        steps = min(9, 1001 - start)
        hits = sum(t % 10 == 0 for t in range(start, start + steps))
        assert rate == pytest.approx(hits * 1500 / 3000 / (steps * 0.001))
    assert len(pictures.png(figure)) < 400_000


def test_long_recordings_keep_a_mark_wherever_there_was_a_spike():
    spikes = np.zeros((100_000, 2), dtype=bool)
    spikes[[0, 1, 2, 50_000, 99_999], 0] = True
    spikes[:, 1] = True
    offsets, rates, _ = drawn(pictures.spike_raster(spikes))
    assert sorted(t for t, n in offsets if n == 0) == [0.0005, 50.0005, 99.9995]
    assert sum(n == 1 for _, n in offsets) == 2000
    assert rates[0] == pytest.approx(0.05)
    assert rates[1] == pytest.approx(1000)


def test_spans_are_named():
    spikes = torch.zeros(100, 5)
    figure = pictures.spike_raster(spikes, spans=[(0, 0.05, 7), (0.05, 0.1, "b")])
    marks, _, below = figure.axes
    assert [text.get_text() for text in marks.texts] == ["7", "b"]
    assert [text.get_position()[0] for text in marks.texts] == pytest.approx([0.025, 0.075])
    assert len(marks.patches) == 2
    many = [(i / 1000, (i + 1) / 1000, i) for i in range(100)]
    crowded = pictures.spike_raster(spikes, spans=many)
    assert len(crowded.axes[0].texts) == 20
    assert len(crowded.axes[0].patches) == 100
    pictures.png(figure)


@pytest.mark.parametrize(
    "spikes", [torch.zeros(4, 3), torch.ones(1, 1), torch.ones(9, 2).bfloat16()]
)
def test_silence_and_single_spikes_are_pictures_too(spikes):
    assert pictures.png(pictures.spike_raster(spikes))[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("spikes", "more", "said"),
    [
        (torch.zeros(5), {}, r"shape \(5,\)"),
        (torch.zeros(0, 5), {}, "not empty"),
        (torch.zeros(5, 0), {}, "not empty"),
        (torch.full((2, 2), 0.5), {}, "4 values are neither 0 nor 1, such as 0.5"),
        (torch.tensor([[0.0, math.nan]]), {}, "1 values are neither 0 nor 1, such as nan"),
        (np.array([["a"]]), {}, "not 0 and 1"),
        (torch.zeros(5, 2), {"step": 0}, "step=0"),
        (torch.zeros(5, 2), {"limit": 0}, "limit=0"),
        (torch.zeros(5, 2), {"spans": [(0.004, 0.002, "a")]}, "begin before it ends"),
        (torch.zeros(5, 2), {"spans": [(0, 1, "a")]}, "between 0 and 0.005 s"),
    ],
)
def test_what_is_no_raster_is_refused(spikes, more, said):
    with pytest.raises(ConfigError, match=said):
        pictures.spike_raster(spikes, **more)
