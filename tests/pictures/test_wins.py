"""Wins: counted by a loop, and drawn as counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import streamhebb as sh
from streamhebb import pictures
from streamhebb.errors import ConfigError, InputError


def net_of_two(groups=1):
    return sh.StreamNet(
        sh.RunningNorm(2),
        sh.Conv2d(2, 6, 3, padding=1, groups=groups),
        sh.Triangle(),
        sh.Flatten(),
        sh.Dense(6 * 16, 5),
        input_shape=(2, 4, 4),
        seed=3,
        on_bad="skip",
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_wins_are_counted_as_a_loop_counts_them(groups):
    net = net_of_two(groups)
    stream = torch.randn(12, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    stream[3, 0, 0, 0] = math.nan  # skipped
    first, second = [0] * 6, [0] * 5
    for number, x in enumerate(stream[:10]):
        if number == 3:
            continue
        activity = net.respond(x, activity=True).activity
        drive = activity["1:Conv2d"]
        for y in range(4):
            for z in range(4):
                for group in range(groups):
                    some = range(group * 6 // groups, (group + 1) * 6 // groups)
                    first[max(some, key=lambda j: float(drive[j, y, z]))] += 1
        second[int(activity["4:Dense"].argmax())] += 1
    before = dict(net.counts)
    counts = pictures.count_wins(net, stream, limit=10)
    assert {name: wins.tolist() for name, wins in counts.items()} == {
        "1:Conv2d": first,
        "4:Dense": second,
    }
    assert net.counts == before
    figure = pictures.win_shares(net, stream, limit=10)
    for axes, wins in zip(figure.axes[::2], (first, second), strict=True):
        drawn = axes.patches[0].get_data().values
        np.testing.assert_allclose(drawn, sorted((w / sum(wins) for w in wins), reverse=True))


def test_a_micro_batch_counts_as_its_samples():
    net = net_of_two()
    stream = torch.randn(6, 2, 4, 4)
    together = pictures.count_wins(net, [stream[:3], stream[3:]])
    one_by_one = pictures.count_wins(net, stream)
    assert all(torch.equal(together[name], one_by_one[name]) for name in one_by_one)


def test_the_fair_share_is_marked_and_dead_neurons_are_counted():
    figure = pictures.win_shares({"a": [0, 30, 10, 0], "b": torch.ones(8)})
    first, second = figure.axes[::2]
    np.testing.assert_array_equal(first.patches[0].get_data().values, [0.75, 0.25, 0, 0])
    assert set(first.lines[0].get_ydata()) == {0.25}
    assert set(second.lines[0].get_ydata()) == {0.125}
    assert first.texts[0].get_text() == "fair: 25 %"
    even = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert first.get_title("right").startswith(f"2 of 4 neurons never win; as many as {even:.0f} ")
    assert second.get_title("right").startswith("0 of 8 neurons never win; as many as 8 ")
    assert first.get_ylim()[1] > 0.75
    assert pictures.png(figure)[1:4] == b"PNG"
    pictures.png(pictures.win_shares({"one": [3]}))


@pytest.mark.parametrize(
    ("wins", "said"),
    [
        ({}, "at least one layer"),
        ([1, 2], "a net and a stream"),
        ({"a": [0, 0]}, "no neuron of a has won"),
        ({"a": [1, -1]}, "at least 0"),
        ({"a": [1, math.nan]}, "finite"),
        ({"a": [[1, 2]]}, r"shape \(1, 2\)"),
        ({"a": []}, r"shape \(0,\)"),
    ],
)
def test_wins_that_are_none_are_refused(wins, said):
    with pytest.raises(ConfigError, match=said):
        pictures.win_shares(wins)


def test_nets_and_streams_without_wins_are_refused():
    net = net_of_two()
    with pytest.raises(ConfigError, match="pass a stream too"):
        pictures.win_shares(net)
    with pytest.raises(ConfigError, match="a net and a stream"):
        pictures.win_shares({"a": [1]}, torch.randn(1, 2, 4, 4))
    with pytest.raises(InputError, match="0 samples"):
        pictures.win_shares(net, [])
    with pytest.raises(InputError, match="1 were skipped"):
        pictures.win_shares(net, torch.full((1, 2, 4, 4), math.nan))
    with pytest.raises(ConfigError, match="limit=0"):
        pictures.win_shares(net, [], limit=0)
    with pytest.raises(ConfigError, match="learns weights"):
        pictures.win_shares(sh.StreamNet(sh.ReLU(), input_shape=(3,)), torch.randn(2, 3))


def test_radii_of_a_net_are_those_of_its_layers():
    net = net_of_two()
    figure = pictures.radii(net)
    for axes, layer in zip(figure.axes, (net.layers[1], net.layers[4]), strict=True):
        norms = [math.sqrt(sum(float(w) ** 2 for w in row)) for row in layer.weight]
        edges = [patch.get_x() for patch in axes.patches]
        edges.append(axes.patches[-1].get_x() + axes.patches[-1].get_width())
        expected, _ = np.histogram(norms, np.array(edges))
        np.testing.assert_array_equal([patch.get_height() for patch in axes.patches], expected)
        assert expected.sum() == len(layer.weight)
    net.layers[4].weight[2, 0] = math.nan
    figure = pictures.radii(net)
    assert "1 not finite" in figure.axes[1].get_title("right")
    with pytest.raises(ConfigError, match=r"\(0:ReLU\) learns weights"):
        pictures.radii(sh.StreamNet(sh.ReLU(), input_shape=(3,)))


def test_the_histogram_counts_every_neuron_in_units_of_the_fair_share():
    wins = [0, 0, 30, 10, 20, 20]  # fair: 80 / 6
    side = pictures.win_shares({"a": wins}).axes[1]
    edges = [bar.get_x() for bar in side.patches]
    edges.append(side.patches[-1].get_x() + side.patches[-1].get_width())
    times = np.array(wins) * 6 / 80
    expected = np.histogram(times.clip(0, edges[-1]), edges)[0]
    np.testing.assert_array_equal([bar.get_height() for bar in side.patches], expected)
    assert sum(expected) == 6
    assert side.patches[0].get_height() == 2  # the dead
    assert set(side.lines[0].get_xdata()) == {1}
