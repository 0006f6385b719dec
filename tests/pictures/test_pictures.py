"""Pictures: figures hold what they should, bad arrays are refused, global state is left alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from streamhebb import Conv2d, pictures
from streamhebb.errors import ConfigError
from streamhebb.pictures._tiles import stretched
from streamhebb.pictures.fields import _order
from streamhebb.pictures.reconstruction import _matched


def test_learning_curve_shows_what_it_was_given():
    figure = pictures.learning_curve([1, 2, 3], [0, 0.5, 0.6], [0, 0.4, 0.9], window=2, chance=0.1)
    (axes,) = figure.axes
    whole, window, chance = axes.lines
    np.testing.assert_array_equal(whole.get_ydata(), [0, 0.5, 0.6])
    np.testing.assert_array_equal(window.get_ydata(), [0, 0.4, 0.9])
    assert set(chance.get_ydata()) == {0.1}
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "all samples so far",
        "last 2 samples",
    ]


def test_learning_curve_of_one_point_and_of_unknown_ones():
    figure = pictures.learning_curve([5], [0.5])
    assert figure.axes[0].lines[0].get_marker() == "o"
    pictures.png(pictures.learning_curve([1, 2], [None, 0.5]))
    pictures.png(pictures.learning_curve([], []))


def test_learning_curve_refuses_arrays_of_different_length():
    with pytest.raises(ConfigError, match="2 samples but 1 values"):
        pictures.learning_curve([1, 2], [0.5])


def test_zero_is_mid_grey_and_each_kernel_isstretched():
    tile = stretched(np.array([[[0.0, 2.0], [-1.0, 0.0]]]))
    assert tile.shape == (2, 2, 3)
    np.testing.assert_allclose(tile[:, :, 0], [[0.5, 1.0], [0.25, 0.5]])
    np.testing.assert_array_equal(stretched(np.zeros((3, 2, 2))), 0.5)
    assert np.ptp(stretched(np.random.default_rng(0).normal(size=(7, 2, 2))), axis=2).max() == 0


def test_winners_come_first():
    kernels = np.random.default_rng(0).normal(size=(3, 1, 2, 2))
    assert _order(kernels, [0.1, 0.7, 0.2])[0].tolist() == [1, 2, 0]
    flat = np.ones((2, 1, 2, 2))
    flat[1, 0, 0, 0] = -1
    assert _order(flat, None)[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("weight", "more"),
    [
        (torch.randn(32, 1, 5, 5), {}),
        (torch.randn(200, 3, 7, 7), {}),
        (torch.randn(5, 16, 3, 3), {}),
        (torch.randn(10, 64), {}),
        (torch.randn(10, 3 * 16), {}),
        (torch.randn(10, 2 * 3 * 4), {"shape": (2, 3, 4)}),
        (torch.randn(1, 1, 1, 1), {"wins": [1.0]}),
    ],
)
def test_receptive_fields_of_many_shapes(weight, more):
    assert pictures.png(pictures.receptive_fields(weight, **more))[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("weight", "more", "said"),
    [
        (torch.randn(4, 7), {}, "pass shape="),
        (torch.randn(4, 8), {"shape": (1, 3, 3)}, "pass shape="),
        (torch.randn(4), {}, "must be"),
        (torch.randn(0, 1, 3, 3), {}, "must be"),
        (torch.randn(4, 1, 3, 3), {"wins": [1, 2]}, "wins has shape"),
    ],
)
def test_receptive_fields_refuse_what_is_no_picture(weight, more, said):
    with pytest.raises(ConfigError, match=said):
        pictures.receptive_fields(weight, **more)


def test_radii_keep_1_in_sight():
    near, far = (pictures.radii({"a": v}).axes[0] for v in ([0.1, 0.2], [1, 2, 3, 1e6]))
    assert near.get_xlim()[1] >= 1
    assert far.get_xscale() == "log"
    assert sum(p.get_height() for p in far.patches) == 4
    pictures.png(pictures.radii({"a": [float("nan")], "b": [1.0, float("inf")]}))
    with pytest.raises(ConfigError, match="no layer"):
        pictures.radii({})


def test_activity():
    shares = np.zeros((4, 3))
    shares[:2, 2] = 1
    shares[2:, 0] = 1
    figure = pictures.activity_over_time([10, 20, 30, 40], {"1:Conv2d": shares})
    mesh = figure.axes[0].collections[0].get_array().reshape(3, 4)
    np.testing.assert_array_equal(mesh, [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    assert "2 of 3" not in figure.axes[0].get_title("right")
    assert "1 of 3 neurons win" in figure.axes[0].get_title("right")
    with pytest.raises(ConfigError, match=r"must be \(3, n_out\)"):
        pictures.activity_over_time([1, 2, 3], {"a": shares})
    with pytest.raises(ConfigError, match="nothing to draw"):
        pictures.activity_over_time([], {})


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"stride": 2},
        {"padding": 1},
        {"stride": 2, "padding": 2},
        {"dilation": 2},
        {"stride": 3, "padding": 1, "dilation": 2},
    ],
)
def test_reconstruction_of_a_convolution_is_the_mean_of_projections(place):
    """Against a loop over windows, on pictures that windows do not cover evenly."""
    torch.manual_seed(0)
    x = torch.randn(2, 9, 11, dtype=torch.float64)
    kernel = torch.randn(4, 2, 3, 3, dtype=torch.float64)
    drive = F.conv2d(x[None], kernel, **place)[0]
    stride, padding = place.get("stride", 1), place.get("padding", 0)
    dilation = place.get("dilation", 1)
    total, times = torch.zeros(2, 9, 11, dtype=torch.float64), torch.zeros(9, 11)
    for i in range(drive.shape[1]):
        for j in range(drive.shape[2]):
            k = int(drive[:, i, j].argmax())
            patch = drive[k, i, j] / kernel[k].square().sum() * kernel[k]
            for a in range(3):
                for b in range(3):
                    y, z = i * stride - padding + a * dilation, j * stride - padding + b * dilation
                    if 0 <= y < 9 and 0 <= z < 11:
                        total[:, y, z] += patch[:, a, b]
                        times[y, z] += 1
    expected = total / times.clamp_min(1)
    torch.testing.assert_close(pictures.reconstruct(drive, kernel, x.shape, **place), expected)


def test_reconstruction_with_the_library_s_own_layer():
    layer = Conv2d(1, 3, 3, padding=1)
    x = torch.rand(1, 1, 6, 6)
    rebuilt = pictures.reconstruct(layer.respond(x)[0], layer.kernel, (1, 6, 6), padding=1)
    assert rebuilt.shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("drive", "kernel", "shape"),
    [
        (torch.ones(3), torch.ones(4, 2), (2,)),
        (torch.ones(4), torch.ones(4, 2), (3,)),
        (torch.ones(4, 5, 5), torch.ones(4, 2), (2,)),
        (torch.ones(4, 5, 5), torch.ones(4, 2, 3, 3), (1, 7, 7)),
    ],
)
def test_reconstruct_refuses_what_does_not_fit(drive, kernel, shape):
    with pytest.raises(ConfigError, match="do not belong to one layer"):
        pictures.reconstruct(drive, kernel, shape)


def test_rebuilt_pictures_are_matched_to_the_input():
    x = np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_allclose(_matched(7 * x - 3, x), x)
    assert np.ptp(_matched(np.ones((1, 2, 2)), np.zeros((3, 4, 4)))) == 0


def test_reconstructions():
    frames = [np.random.default_rng(i).random((3, 4, 9)) for i in range(5)]
    figure = pictures.reconstructions([("a", frames), ("b", frames)], [1, 2, 3, 4, 5])
    assert len(figure.axes) == 10
    for axes in figure.axes:  # nothing overlaps, nothing is cut off
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
    for rows, samples in (([], [1]), ([("a", frames)], [1]), ([("a", [])], [])):
        with pytest.raises(ConfigError, match="one picture a row"):
            pictures.reconstructions(rows, samples)


def test_save_is_whole_or_nothing(tmp_path):
    path = pictures.save(pictures.radii({"a": [1.0]}), tmp_path / "a.png")
    assert path.read_bytes()[1:4] == b"PNG"
    with pytest.raises(ConfigError, match="cannot write the picture"):
        pictures.save(pictures.radii({"a": [1.0]}), tmp_path / "gone" / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_matplotlib_s_global_state_is_left_alone():
    code = (
        "import sys, matplotlib\n"
        "def settings():  # reading the backend would choose one, and load pyplot\n"
        "    names = [name for name in matplotlib.rcParams if name != 'backend']\n"
        "    return {name: matplotlib.rcParams[name] for name in names}\n"
        "before = settings()\n"
        "from streamhebb import pictures\n"
        "pictures.png(pictures.radii({'a': [1.0]}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
