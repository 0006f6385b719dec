"""Convergence, the timeline of winners, and what is kept of the samples."""

from __future__ import annotations

import json

import numpy as np
import torch

from streamhebb import Conv2d, Dense, Flatten, RunningNorm, StreamNet
from streamhebb.run.keepsakes import Keepsakes
from streamhebb.run.measures import Convergence, Timeline, pack, plastic_layers, unpack


def test_converged_is_less_than_ten_percent_in_500_samples():
    net = StreamNet(Dense(4, 10))
    layer = net.layers[0]
    watch = Convergence(plastic_layers(net))
    for position in range(1, 601):
        if position == 250:
            layer.weight[:3] *= 1.11
        if position == 50:
            layer.weight[3:5] *= 1.09
        if position == 599:
            layer.weight[:] *= 100  # not looked at
        watch.observe(position) if position < 599 else None
        if position < 500:
            assert watch.share is None
    assert watch.share == 0.7


def test_convergence_goes_on():
    net = StreamNet(Dense(4, 3))
    one = Convergence(plastic_layers(net))
    for position in range(100, 800, 100):
        net.layers[0].weight *= 1.03
        one.observe(position)
    other = Convergence(plastic_layers(net))
    other.restore(json.loads(json.dumps(one.state())))
    assert other.state() == one.state()
    for watch in (one, other):
        watch.observe(800)
    assert other.state() == one.state()


def timeline(records, layer_size=3, into=None):
    net = StreamNet(Dense(4, layer_size))
    line = Timeline(plastic_layers(net)) if into is None else into
    for position in records:
        drive = torch.zeros(layer_size)
        drive[position % layer_size] = 1
        line.record(position, {"0:Dense": drive})
    return line


def test_the_timeline_says_who_won():
    line = timeline([3, 4, 5, 7])
    at, shares = line.shares()
    assert at == [3, 4, 5, 7]
    np.testing.assert_array_equal(shares["0:Dense"].argmax(1), [0, 1, 2, 1])
    assert line.totals["0:Dense"].tolist() == [1, 2, 1]
    assert line.active == 1 / 3


def test_the_timeline_is_bounded_and_keeps_the_shares():
    for count in (159, 160, 161, 320, 321, 1000, 5000):
        line = timeline(range(1, count + 1))
        at, shares = line.shares()
        assert 80 <= len(at) <= 160
        assert at[-1] == count
        assert at == sorted(at)
        np.testing.assert_allclose(shares["0:Dense"].sum(1), 1)
        np.testing.assert_allclose(line.totals["0:Dense"].sum(), count)


def test_the_timeline_goes_on():
    whole = timeline(range(1, 900))
    half = timeline(range(1, 350))
    other = Timeline(plastic_layers(StreamNet(Dense(4, 3))))
    other.restore(json.loads(json.dumps(half.state())))
    timeline(range(350, 900), into=other)
    assert other.state() == whole.state()


def test_pack_is_exact():
    for array in (np.array([0.1, np.inf, -0.0]), np.zeros((2, 0), np.float16), np.arange(3)):
        back = unpack(json.loads(json.dumps(pack(array))))
        assert back.dtype == array.dtype
        assert back.tobytes() == array.tobytes()
        assert back.shape == array.shape


def kept_of(net, count, shape=(1, 6, 6)):
    keep = Keepsakes(net)
    for number in range(1, count + 1):
        x = torch.full(shape, number / 1000)
        keep.record(number, x, net.respond(x, activity=True).activity)
    return keep


def test_keepsakes_are_few_and_evenly_spread():
    net = StreamNet(RunningNorm(1), Conv2d(1, 4, 3), input_shape=(1, 6, 6))
    for count in (1, 8, 9, 100, 333):
        numbers = [keepsake.sample for keepsake in kept_of(net, count).kept]
        assert 1 <= len(numbers) <= 8
        assert numbers[0] == 1
        assert len(set(np.diff(numbers))) <= 1
        assert count < 8 or len(numbers) >= 4


def test_keepsakes_rebuild_and_go_on():
    net = StreamNet(RunningNorm(1), Conv2d(1, 4, 3), input_shape=(1, 6, 6))
    keep = kept_of(net, 20)
    other = Keepsakes(net)
    other.restore(json.loads(json.dumps(keep.state())))
    assert other.state() == keep.state()
    rebuilt = keep.rebuilt_now()
    assert len(rebuilt) == len(keep.kept)
    assert rebuilt[0].shape == (1, 6, 6)


def test_keepsakes_of_a_dense_net_and_of_vectors():
    dense = StreamNet(Flatten(), Dense(36, 4), input_shape=(1, 6, 6))
    assert kept_of(dense, 3).kept[0].rebuilt.shape == (1, 6, 6)
    vectors = StreamNet(Dense(5, 4), input_shape=(5,))
    assert kept_of(vectors, 3, (5,)).kept == []


def test_large_pictures_are_thinned_out():
    net = StreamNet(Conv2d(1, 2, 3), input_shape=(1, 200, 400))
    keep = kept_of(net, 1, (1, 200, 400))
    assert keep.kept[0].picture.shape == (1, 67, 134)
    assert keep.rebuilt_now() is None
