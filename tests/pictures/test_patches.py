"""Strongest parts: as a search over every place and every pixel finds them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import streamhebb as sh
from streamhebb import pictures
from streamhebb.errors import ConfigError
from streamhebb.pictures._geometry import field_span
from streamhebb.pictures._tiles import FRAME
from streamhebb.pictures.patches import MARK, _boxed, _cut_out

F64 = torch.float64


def deep():
    net = sh.StreamNet(
        sh.BatchNorm(2),
        sh.Conv2d(2, 3, 3, padding=1, stride=2),
        sh.Triangle(0.7),
        sh.MaxPool2d(4, 2, 1),
        sh.Conv2d(3, 5, 3, padding=1),
        input_shape=(2, 24, 24),
        seed=1,
    )
    return net.to(F64)


def test_a_box_is_where_pixels_reach_the_neuron():
    """By the gradient: which pixels can change one place of the output; without a maximum."""
    layers = [
        sh.Conv2d(1, 1, 3, padding=1, stride=2),
        sh.AvgPool2d(4, 2, 1),
        sh.Conv2d(1, 1, 3, padding=2, dilation=2),
    ]
    x = torch.rand(1, 1, 40, 40, requires_grad=True)
    out = x
    for layer in layers:
        if isinstance(layer, sh.AvgPool2d):
            out = F.avg_pool2d(out, 4, 2, 1)
        else:
            ones = torch.ones(1, 1, 3, 3)
            out = F.conv2d(out, ones, None, layer.stride, layer.padding, layer.dilation)
    for row, column in ((0, 0), (4, 5), (out.shape[2] - 1, 2)):
        (slope,) = torch.autograd.grad(out[0, 0, row, column], x, retain_graph=True)
        for axis, place in ((1, row), (0, column)):
            reached = slope[0, 0].sum(axis).nonzero()[:, 0]
            first, last = field_span(layers, place)
            assert (max(first, 0), min(last, 40)) == (int(reached[0]), int(reached[-1]) + 1)


def test_the_strongest_parts_are_of_different_pictures():
    net, images = deep(), torch.rand(30, 2, 24, 24, dtype=F64)
    found = pictures.strongest_patches(net, images, 4, [3, 0], count=4)
    drive = images
    for layer in net.layers:
        drive = layer.respond(drive)
    assert list(found) == [3, 0]
    for neuron, row in found.items():
        best = sorted(range(30), key=lambda i: -float(drive[i, neuron].max()))[:4]
        assert [one.image for one in row] == best
        for one in row:
            assert one.drive == float(drive[one.image, neuron].max())
            y, x = divmod(int(drive[one.image, neuron].argmax()), drive.shape[3])
            # Backwards: 3x3 with padding 1, 4x4 pool (stride 2, padding 1), 3x3 stride 2 padding 1.
            assert (one.top, one.left) == tuple(((v - 1) * 2 - 1) * 2 - 1 for v in (y, x))
            assert one.side == (((3 - 1) * 2 + 4) - 1) * 2 + 3 == 17


def test_pictures_in_parts_change_nothing(monkeypatch):
    net, images = deep(), torch.rand(20, 2, 24, 24, dtype=F64)
    whole = pictures.strongest_patches(net, images, 4, 2, count=3)
    monkeypatch.setattr(sys.modules["streamhebb.pictures.patches"], "TOGETHER", 7)
    again = pictures.strongest_patches(net, images, 4, 2, count=3)
    assert {n: [p[:4] for p in row] for n, row in whole.items()} == {
        n: [p[:4] for p in row] for n, row in again.items()
    }


def test_boxes_and_parts_are_drawn_where_they_are():
    image = torch.zeros(1, 8, 8)
    image[0, 2:5, 3:6] = 1
    one = pictures.Patch(0, 2, 3, 3, 1.0)
    assert (_cut_out(image, one, 3) == 1).all()
    boxed = _boxed(image, one, 3)
    for row in (2 * 3, 5 * 3 - 1):
        np.testing.assert_allclose(boxed[row, 3 * 3 : 6 * 3], 9 * [MARK], atol=1e-6)
    assert (boxed[: 2 * 3] == 0).all()
    corner = _cut_out(torch.ones(1, 8, 8), pictures.Patch(0, -4, -4, 8, 1.0), 1)
    wanted = np.full((8, 8), FRAME[0])
    wanted[4:, 4:] = 1
    np.testing.assert_allclose(corner[..., 0], wanted, atol=1e-6)


def test_a_figure_has_two_rows_a_neuron():
    images = torch.rand(6, 3, 16, 16)
    found = {
        1: [pictures.Patch(i, 0, 0, 5, 1.0) for i in range(3)],
        4: [pictures.Patch(0, 3, 3, 5, 1.0)],
    }
    figure = pictures.patches(found, images)
    tile = 16 * 4 + 2
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (4 * tile + 9, 3 * tile + 6, 3)
    assert "Neurons 1, 4" in figure.texts[1].get_text()


def test_what_cannot_be_found_is_refused():
    net, images = deep(), torch.rand(5, 2, 24, 24, dtype=F64)
    with pytest.raises(ConfigError, match="at least count=10"):
        pictures.strongest_patches(net, images, 4)
    with pytest.raises(ConfigError, match="from 0 to 4"):
        pictures.strongest_patches(net, images, 4, [5], count=2)
    with pytest.raises(ConfigError, match="layer='nine'"):
        pictures.strongest_patches(net, images, "nine", count=2)
    flat = sh.StreamNet(sh.Flatten(), sh.Dense(16, 4), input_shape=(1, 4, 4))
    with pytest.raises(ConfigError, match="1:Dense is no convolution"):
        pictures.strongest_patches(flat, torch.rand(5, 1, 4, 4), 1, 2, count=2)
    with pytest.raises(ConfigError, match="1 or 3 channels"):
        pictures.patches({0: [pictures.Patch(0, 0, 0, 3, 1.0)]}, images)
