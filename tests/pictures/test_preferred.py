"""Preferred inputs: as composed kernels and a plain ascent give them; the net stays untouched."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import streamhebb as sh
from streamhebb import pictures
from streamhebb.errors import ConfigError
from streamhebb.pictures._tiles import stretched, wall_of

F64 = torch.float64


def cosine(a, b):
    return F.cosine_similarity(a.flatten(1), b.flatten(1))


def two_layers(*between, **options):
    """A net of two convolutions, in float64."""
    net = sh.StreamNet(
        sh.Conv2d(2, 3, 3, padding=1, **options),
        *between,
        sh.Conv2d(3, 5, 3, padding=1),
        input_shape=(2, 12, 12),
        seed=1,
    )
    return net.to(F64)


def test_of_the_first_layer_it_is_the_weights():
    net = sh.StreamNet(sh.Conv2d(3, 6, 5, padding=2), input_shape=(3, 9, 9)).to(F64)
    found = pictures.preferred_inputs(net, steps=20, rate=0.5)
    assert found.shape == (6, 3, 5, 5)
    torch.testing.assert_close(found, 10 * net.layers[0].kernel, atol=2e-5, rtol=0)


def test_of_two_linear_layers_it_is_the_composed_kernel():
    """u = sum_c b[j, c] * (a[c] * x): the input weighs as the kernels laid over each other."""
    net = two_layers()
    a, b = net.layers[0].kernel, net.layers[1].kernel
    composed = torch.zeros(5, 2, 5, 5, dtype=F64)
    for j in range(5):
        for c in range(3):
            for y in range(3):
                for x in range(3):
                    composed[j, :, y : y + 3, x : x + 3] += b[j, c, y, x] * a[c]
    found = pictures.preferred_inputs(net, "1:Conv2d", steps=3, rate=1.0)
    torch.testing.assert_close(found, 3 * composed, atol=2e-5, rtol=0)


@pytest.mark.parametrize("power", [0.7, 1.0, 1.4])
def test_through_norms_activation_and_pool_it_climbs_like_a_plain_ascent(power):
    """Written anew with plain torch functions; Triangle works in place, and the norms are fixed."""
    torch.manual_seed(0)
    net = two_layers(sh.Triangle(power), sh.MaxPool2d(4, 2, 1), sh.BatchNorm(3))
    first, norm, second = net.layers[0], net.layers[3], net.layers[4]
    norm.mean.copy_(torch.randn(3))
    norm.var.copy_(torch.rand(3) + 0.5)
    found = pictures.preferred_inputs(net, 4, [3, 1], steps=7, rate=0.3, seed=5)
    assert found.shape == (2, 2, 10, 10)
    start = pictures.preferred._starts(2, (2, 10, 10), torch.Generator().manual_seed(5))
    for x, neuron, got in zip(start, [3, 1], found, strict=True):
        for _ in range(7):
            x = x.detach().requires_grad_()
            u = F.conv2d(x[None], first.kernel)
            z = F.relu(u - u.mean(1, keepdim=True))
            z = torch.where(z > 0, z.clamp_min(1e-300) ** power, z)
            z = F.max_pool2d(z, 4, 2)
            z = (z - norm.mean.view(-1, 1, 1)) / torch.sqrt(norm.var.view(-1, 1, 1) + norm.eps)
            drive = F.conv2d(z, second.kernel)
            assert drive.shape[2:] == (1, 1)
            x = x + 0.3 * torch.autograd.grad(drive[0, neuron, 0, 0], x)[0]
        torch.testing.assert_close(got, x.detach())


def test_running_norm_is_fixed_at_what_it_has_stored():
    net = sh.StreamNet(sh.RunningNorm(2), sh.Conv2d(2, 3, 3), input_shape=(2, 9, 9), seed=0).to(F64)
    fresh = pictures.preferred_inputs(net, steps=1, rate=1.0)
    torch.testing.assert_close(fresh, net.layers[1].kernel, atol=2e-5, rtol=1e-4)
    norm = net.layers[0]
    norm.mean.copy_(torch.tensor([0.2, 0.4]))
    norm.var.copy_(torch.tensor([0.25, 4.0]))
    norm.age.fill_(100)
    found = pictures.preferred_inputs(net, steps=1, rate=1.0)
    scaled = net.layers[1].kernel * torch.tensor([2.0, 0.5], dtype=F64).view(1, 2, 1, 1)
    torch.testing.assert_close(found, scaled, atol=2e-5, rtol=1e-4)


def test_dense_neurons_after_flatten_see_the_whole_picture():
    net = sh.StreamNet(
        sh.Conv2d(1, 2, 3, padding=1), sh.Flatten(), sh.Dense(2 * 36, 4), input_shape=(1, 6, 6)
    ).to(F64)
    found = pictures.preferred_inputs(net, "2:Dense", steps=1, rate=1.0)
    weights = net.layers[2].kernel.view(4, 2, 6, 6)
    x = torch.zeros(4, 1, 6, 6, dtype=F64, requires_grad=True)
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    drive = (F.conv2d(padded, net.layers[0].kernel) * weights).sum()
    torch.testing.assert_close(found, torch.autograd.grad(drive, x)[0], atol=2e-5, rtol=0)


def test_a_field_larger_than_the_picture_keeps_the_padding_and_takes_the_middle():
    net = sh.StreamNet(
        sh.Conv2d(1, 2, 5, padding=2), sh.Conv2d(2, 2, 5, padding=2), input_shape=(1, 7, 7)
    ).to(F64)
    found = pictures.preferred_inputs(net, 1, [1], steps=1, rate=1.0)
    assert found.shape == (1, 1, 7, 7)
    x = torch.zeros(1, 1, 7, 7, dtype=F64, requires_grad=True)
    drive = net.layers[1].respond(net.layers[0].respond(x))[0, 1, 3, 3]
    torch.testing.assert_close(found, torch.autograd.grad(drive, x)[0], atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("layers", "side"),
    [
        # The published nets: 5, 12, 26, 54 pixels.
        ([(5, 1)], 5),
        ([(5, 1), (4, 2), (3, 1)], 12),
        ([(5, 1), (4, 2), (3, 1), (4, 2), (3, 1)], 26),
        ([(5, 1), (4, 2), (3, 1), (4, 2), (3, 1), (4, 2), (3, 1)], 54),
    ],
)
def test_receptive_fields_are_as_large_as_published(layers, side):
    made = [
        sh.MaxPool2d(k, s, 1) if k == 4 else sh.Conv2d(2, 2, k, padding=k // 2) for k, s in layers
    ]
    net = sh.StreamNet(*made, input_shape=(2, 64, 64))
    found = pictures.preferred_inputs(net, len(made) - 1, 1, steps=1)
    assert found.shape == (1, 2, side, side)


def test_strides_and_dilations_widen_the_field():
    net = sh.StreamNet(
        sh.Conv2d(1, 2, 3, stride=2, padding=1),
        sh.Conv2d(2, 2, 3, dilation=3),
        sh.AvgPool2d(2),
        sh.Conv2d(2, 2, 2),
        input_shape=(1, 40, 40),
    )
    side = (2 - 1) * 2 + 2  # of the pool's input
    side = side - 1 + 3 * 2 + 1
    side = (side - 1) * 2 + 3
    found = pictures.preferred_inputs(net, 3, 1, steps=1)
    assert found.shape == (1, 1, side, side) == (1, 1, 21, 21)


def test_the_drive_rises_and_the_net_is_left_as_it_was():
    net = two_layers(sh.Triangle(0.7), sh.MaxPool2d(2), sh.RunningNorm(3))
    for x in torch.rand(20, 2, 12, 12, dtype=F64):
        net.step(x)
    before, chance = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    found = pictures.preferred_inputs(net, 4, steps=200, rate=0.01)
    shape, _ = pictures.preferred._field(list(net.layers), net.names, net.input_shape)
    assert found.shape == (5, *shape)
    again = pictures.preferred_inputs(net, 4, steps=200, rate=0.01)
    assert torch.equal(found, again)
    assert not torch.equal(found, pictures.preferred_inputs(net, 4, steps=200, rate=0.01, seed=1))
    assert not found.requires_grad
    assert torch.equal(torch.get_rng_state(), chance)
    after = net.state_dict()
    for name, value in before.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, after[name])
    assert net.layers[0].padding == 1
    assert net.layers[0].synapse.padding == 1
    path = [(n, pictures.preferred._cut(s, False, s is net.layers[4]))
            for n, s in zip(net.names, net.layers, strict=True)]  # fmt: skip

    def drive(x):
        for _, respond in path:
            x = respond(x)
        return x.flatten(1).diagonal()

    noise = torch.randn_like(found)
    noise *= (found.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    assert (drive(found) > drive(noise)).all()


def test_chunks_change_nothing(monkeypatch):
    net = two_layers(sh.ReLU())
    whole = pictures.preferred_inputs(net, 2, steps=5)
    monkeypatch.setattr("streamhebb.pictures.preferred.AT_ONCE", 1)
    torch.testing.assert_close(pictures.preferred_inputs(net, 2, steps=5), whole)


def test_a_pre_triangle_of_the_layer_itself_is_left_out():
    net = sh.StreamNet(sh.Conv2d(1, 4, 3, pre_triangle=True), input_shape=(1, 5, 5)).to(F64)
    found = pictures.preferred_inputs(net, steps=1, rate=1.0)
    torch.testing.assert_close(found, net.layers[0].kernel, atol=2e-5, rtol=0)
    assert net.layers[0].pre_triangle is True


def test_starts_lie_in_the_ball():
    starts = pictures.preferred._starts(500, (1, 2), torch.Generator().manual_seed(0)) / 1e-5
    reach = starts.flatten(1).norm(dim=1)
    assert reach.max() <= 1
    assert abs(float((reach < math.sqrt(0.5)).double().mean()) - 0.5) < 0.07  # even over the disc


@pytest.mark.parametrize(
    ("layer", "neurons", "more", "said"),
    [
        ("9:Conv2d", None, {}, "0:Conv2d, 2:Conv2d"),
        ("1:ReLU", None, {}, "0:Conv2d, 2:Conv2d"),
        (1, None, {}, "0:Conv2d, 2:Conv2d"),
        (7, None, {}, "layer=7 is not allowed"),
        (True, None, {}, "layer=True is not allowed"),
        (2, [5], {}, "from 0 to 4"),
        (2, [], {}, "from 0 to 4"),
        (2, 0, {}, "from 0 to 4"),
        (2, "all", {}, "from 0 to 4"),
        (2, None, {"steps": 0}, "steps=0"),
        (2, None, {"rate": float("nan")}, "rate=nan"),
        (2, None, {"rate": 1e308, "steps": 50}, "finite"),
    ],
)
def test_what_cannot_be_found_is_refused(layer, neurons, more, said):
    net = two_layers(sh.ReLU())
    with pytest.raises(ConfigError, match=said):
        pictures.preferred_inputs(net, layer, neurons, **more)


def test_nets_that_cannot_be_climbed_are_refused():
    with pytest.raises(ConfigError, match=r"no layer of this net \(0:ReLU, 1:Flatten\)"):
        pictures.preferred_inputs(sh.StreamNet(sh.ReLU(), sh.Flatten(), input_shape=(1, 4, 4)))
    with pytest.raises(ConfigError, match="no gradient comes through 1:Winner"):
        pictures.preferred_inputs(two_layers(sh.Winner()), 2)
    with pytest.raises(ConfigError, match="shape of a sample is not known"):
        pictures.preferred_inputs(sh.StreamNet(sh.Conv2d(1, 2, 3)))
    net = two_layers()
    net.layers[0].weight[0, 0] = float("nan")
    with pytest.raises(ConfigError, match="1 of 54 weights of 0:Conv2d are NaN"):
        pictures.preferred_inputs(net, 1)
    two_layers().layers[1].weight[0, 0] = float("inf")
    net = two_layers()
    net.layers[1].weight[0, 0] = float("inf")
    pictures.preferred_inputs(net, 0, steps=1)  # what comes later does not matter


# ------------------------------------------------------------------------------- as a picture


def wall(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_the_first_layer_of_a_net_is_drawn_from_its_weights():
    net = sh.StreamNet(sh.RunningNorm(1), sh.Flatten(), sh.Dense(15, 6), input_shape=(1, 3, 5))
    drawn = wall(pictures.receptive_fields(net))
    alone = wall(pictures.receptive_fields(net.layers[2].weight, shape=(1, 3, 5)))
    np.testing.assert_array_equal(drawn, alone)


def test_deeper_layers_are_drawn_in_the_published_order():
    net = two_layers(sh.Triangle())
    figure = pictures.receptive_fields(net, "2:Conv2d", steps=4, rate=0.1)
    found = pictures.preferred_inputs(net, 2, steps=4, rate=0.1).numpy()
    kernel = net.layers[2].kernel.numpy()
    spread = [np.mean([np.std(c, ddof=1) for c in k]) for k in kernel]
    order = sorted(range(5), key=lambda j: -spread[j])
    expected = wall_of([stretched(found[j]) for j in order], 2, 4)
    np.testing.assert_allclose(wall(figure), expected, atol=1e-6)
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "Receptive fields of 2:Conv2d" in texts
    assert "5x5 input that drives each most" in texts
    assert "Mean over 2 input channels" in texts


def test_of_many_neurons_the_winners_are_drawn_or_some_at_random():
    net = two_layers(sh.Triangle())
    figure = pictures.receptive_fields(net, 2, wins=[1, 5, 0, 9, 2], limit=2, steps=2)
    found = pictures.preferred_inputs(net, 2, [3, 1], steps=2).numpy()
    expected = wall_of([stretched(picture) for picture in found], 1, 4)
    np.testing.assert_allclose(wall(figure), expected, atol=1e-6)
    assert "2 of 5 neurons, the most frequent winners first" in figure.texts[1].get_text()
    by_chance = pictures.receptive_fields(net, 2, limit=2, steps=2)
    assert "2 of 5 neurons, drawn at random," in by_chance.texts[1].get_text()


def test_neurons_that_no_gradient_reaches_stay_grey():
    net = two_layers(sh.ReLU())
    net.layers[0].set_weight(torch.zeros_like(net.layers[0].kernel))
    figure = pictures.receptive_fields(net, 2, steps=2)
    assert "5 that no gradient reaches stay grey" in figure.texts[1].get_text()
    assert (wall(figure)[5, 5] == 0.5).all()


def test_a_picture_of_a_layer_needs_a_net_and_finite_weights():
    with pytest.raises(ConfigError, match="needs a StreamNet"):
        pictures.receptive_fields(torch.randn(4, 9), "0:Dense")
    with pytest.raises(ConfigError, match="2 of 36 weights are NaN"):
        pictures.receptive_fields(
            torch.tensor([math.nan, 1.0, math.inf, 2.0] + [0.0] * 32).view(4, 9)
        )
    with pytest.raises(ConfigError, match="limit=0"):
        pictures.receptive_fields(torch.randn(4, 9), limit=0)
    with pytest.raises(ConfigError, match="wins has shape"):
        pictures.receptive_fields(two_layers(), 1, wins=[1.0])


# ------------------------------------------------------------------------------ as published


def published_by_hand(x):
    """|x| / ||x||, shifted to a minimum of 0, divided by its maximum: number by number."""
    values = [abs(float(v)) for v in x.flatten()]
    norm = math.sqrt(sum(v * v for v in values))
    values = [v / norm for v in values]
    low = min(values)
    top = max(v - low for v in values)
    return torch.tensor([min(max((v - low) / top, 0), 1) for v in values], dtype=F64).view(x.shape)


def test_the_published_procedure_step_by_step():
    """Blocks cut behind the drive, all padding gone, raw gradients, then the projection."""
    torch.manual_seed(0)
    pool = sh.AvgPool2d(4, 2, 1)
    net = two_layers(sh.Triangle(0.7), pool, sh.BatchNorm(3))
    first, norm, second = net.layers[0], net.layers[3], net.layers[4]
    norm.mean.copy_(torch.randn(3))
    norm.var.copy_(torch.rand(3) + 0.5)
    found = pictures.preferred_inputs(net, 4, [2, 4], steps=20, published=True, seed=9)
    start = pictures.preferred._starts(2, (2, 10, 10), torch.Generator().manual_seed(9))
    for x, neuron, got in zip(start, [2, 4], found, strict=True):
        for _ in range(20):
            x = x.detach().requires_grad_()
            u = F.conv2d(x[None], first.kernel)
            z = F.relu(u - u.mean(1, keepdim=True))
            z = torch.where(z > 0, z.clamp_min(1e-300) ** 0.7, z)
            z = F.avg_pool2d(z, 4, 2)
            z = (z - norm.mean.view(-1, 1, 1)) / torch.sqrt(norm.var.view(-1, 1, 1) + norm.eps)
            drive = F.conv2d(z, second.kernel)[0, neuron, 0, 0]
            x = x + 0.001 * torch.autograd.grad(drive, x)[0]
        torch.testing.assert_close(got, x.detach())
        torch.testing.assert_close(pictures.projected(got[None])[0], published_by_hand(x.detach()))


def test_a_published_field_may_be_larger_than_the_picture():
    net = sh.StreamNet(
        sh.Conv2d(1, 2, 5, padding=2), sh.Conv2d(2, 2, 5, padding=2), input_shape=(1, 7, 7)
    ).to(F64)
    found = pictures.preferred_inputs(net, 1, [1], steps=1, rate=1.0, published=True)
    assert found.shape == (1, 1, 9, 9)
    x = torch.zeros(1, 1, 9, 9, dtype=F64, requires_grad=True)
    drive = F.conv2d(F.conv2d(x, net.layers[0].kernel), net.layers[1].kernel)[0, 1, 0, 0]
    torch.testing.assert_close(found, torch.autograd.grad(drive, x)[0], atol=2e-5, rtol=0)


def test_nothing_published_of_neurons_behind_flatten():
    net = sh.StreamNet(sh.Conv2d(1, 2, 3), sh.Flatten(), sh.Dense(2 * 16, 4), input_shape=(1, 6, 6))
    with pytest.raises(ConfigError, match=r"1:Flatten makes \(32,\) of \(2, 4, 4\)"):
        pictures.preferred_inputs(net, 2, published=True)


def test_projections_lie_between_0_and_1_and_know_no_sign():
    x = torch.randn(4, 3, 5, 5)
    found = pictures.projected(x)
    assert torch.equal(found, pictures.projected(-x))
    torch.testing.assert_close(found, pictures.projected(7 * x))
    assert (found.flatten(1).amin(1) == 0).all()
    assert (found.flatten(1).amax(1) == 1).all()
    for flat in (torch.zeros(1, 4), torch.full((1, 4), -2.0)):
        assert not pictures.projected(flat).any()


def test_the_published_figure_is_drawn_of_the_first_layer_too():
    net = sh.StreamNet(sh.Conv2d(3, 6, 5, padding=2), input_shape=(3, 9, 9)).to(F64)
    figure = pictures.receptive_fields(net, published=True, limit=4, steps=30)
    chosen = sorted(torch.randperm(6, generator=torch.Generator().manual_seed(0))[:4].tolist())
    found = pictures.projected(pictures.preferred_inputs(net, 0, chosen, steps=30, published=True))
    kernel = net.layers[0].kernel[chosen]
    spread = [float(np.mean([c.std() for c in k])) for k in kernel]
    order = sorted(range(4), key=lambda place: -spread[place])
    expected = wall_of([found[place].permute(1, 2, 0).numpy() for place in order], 1, 4)
    np.testing.assert_allclose(wall(figure), expected, atol=1e-6)
    note = figure.texts[1].get_text()
    assert "4 of 6 neurons, drawn at random," in note
    assert "as its absolute value, black is the least" in note
