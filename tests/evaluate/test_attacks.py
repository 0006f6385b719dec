"""Noise and attacks: closed forms, gradients by finite differences, and the ball that is kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import streamhebb as sh
from streamhebb.errors import ConfigError, ShapeError
from streamhebb.evaluate import fgsm, net_scores, noise, pgd
from streamhebb.evaluate.attacks import slopes
from streamhebb.layers import BackpropConv2d, BackpropDense

CHANCE = torch.Generator().manual_seed(0)
LINEAR = torch.randn(3, 6, generator=CHANCE, dtype=torch.float64)


def linear(x):
    return x @ LINEAR.T.to(x)


def some(*shape, dtype=torch.float64):
    return torch.rand(*shape, generator=CHANCE, dtype=dtype)


def slope_by_hand(x, y):
    shares = torch.softmax(linear(x), 1)
    shares[range(len(y)), y] -= 1
    return shares @ LINEAR


# ---- closed forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_on_a_linear_model_is_known(norm):
    x, y = some(5, 6), torch.tensor([0, 1, 2, 0, 1])
    slope = slope_by_hand(x, y)
    way = slope.sign() if norm == "linf" else slope / slope.norm(dim=1, keepdim=True)
    wanted = (x + 0.1 * way).clamp(0, 1)
    assert torch.allclose(fgsm(linear, x, y, 0.1, norm=norm), wanted, atol=1e-12)
    # without a start by chance, one step of full length is the same
    found = pgd(linear, x, y, 0.1, norm=norm, steps=1, step=0.1, random_start=False)
    assert torch.allclose(found, wanted, atol=1e-12)


def test_between_two_classes_the_best_point_of_the_ball_is_found():
    """The loss of two linear scores grows along one line: w = w_1 - w_0."""
    two = LINEAR[:2]
    x, y = torch.full((1, 6), 0.5, dtype=torch.float64), torch.tensor([0])
    way = two[1] - two[0]
    scores = lambda x: x @ two.T  # noqa: E731
    by_l2 = pgd(scores, x, y, 0.3, norm="l2", steps=50, step=0.3, seed=3)
    assert torch.allclose(by_l2, x + 0.3 * way / way.norm(), atol=1e-6)
    by_linf = pgd(scores, x, y, 0.3, norm="linf", steps=50, seed=3)
    assert torch.allclose(by_linf, x + 0.3 * way.sign(), atol=1e-12)


def test_towards_a_class_goes_the_other_way():
    x = some(4, 6)
    y = torch.tensor([2, 2, 2, 2])
    for norm in ("linf", "l2"):
        found = pgd(linear, x, y, 0.2, norm=norm, towards=True)
        assert (slopes(linear, found, y)[0] < slopes(linear, x, y)[0]).all()


# ---- laws -----------------------------------------------------------------------------------


@given(
    eps=st.floats(0, 3),
    norm=st.sampled_from(["linf", "l2"]),
    steps=st.integers(1, 6),
    step=st.one_of(st.none(), st.floats(0.01, 2)),
    start=st.booleans(),
    towards=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_no_attack_leaves_the_ball_or_the_range(eps, norm, steps, step, start, towards, seed):
    chance = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 6, generator=chance)
    y = torch.randint(3, (4,), generator=chance)
    seen = []
    more = {"steps": steps, "step": step, "random_start": start, "towards": towards}
    found = pgd(
        linear, x, y, eps, norm=norm, seed=seed, on_step=lambda n, at: seen.append(at), **more
    )
    assert len(seen) == steps + 1
    for at in (found, fgsm(linear, x, y, eps, norm=norm), *seen):
        assert at.min() >= 0
        assert at.max() <= 1
        apart = (at - x).flatten(1)
        size = apart.abs().amax(1) if norm == "linf" else apart.norm(dim=1)
        assert size.max() <= eps * (1 + 1e-5) + 1e-6
    sign = -1 if towards else 1
    losses = [sign * slopes(linear, at, y)[0] for at in (found, *seen)]
    assert all((losses[0] >= other - 1e-6).all() for other in losses[1:])


def test_the_same_seed_gives_the_same_attack_and_nothing_else_does():
    x, y = some(8, 6), torch.zeros(8, dtype=torch.int64)
    attack = lambda seed: pgd(linear, x, y, 0.1, steps=1, step=1e-3, seed=seed)  # noqa: E731
    state = torch.get_rng_state()
    assert torch.equal(attack(1), attack(1))
    assert not torch.equal(attack(1), attack(2))
    assert torch.equal(torch.get_rng_state(), state)


def test_noise_has_the_spread_that_was_asked_for():
    x = torch.full((100, 100), 0.5)
    noisy = noise(x, 0.1, 3, clip=False)
    assert float((noisy - x).std()) == pytest.approx(0.1, rel=0.03)
    assert float((noisy - x).mean()) == pytest.approx(0, abs=0.004)
    assert torch.equal(noisy, noise(x, 0.1, 3, clip=False))
    assert not torch.equal(noisy, noise(x, 0.1, 4, clip=False))
    clipped = noise(x, 2.0, 3)
    assert (float(clipped.min()), float(clipped.max())) == (0, 1)
    assert torch.equal(x, torch.full_like(x, 0.5))


def test_where_there_is_no_slope_nothing_moves():
    flat = lambda x: 0 * x[:, :2]  # noqa: E731
    x, y = some(3, 6), torch.tensor([0, 1, 0])
    for norm in ("linf", "l2"):
        assert torch.equal(pgd(flat, x, y, 0.3, norm=norm, random_start=False), x)
        assert torch.equal(fgsm(flat, x, y, 0.3, norm=norm), x)


def test_a_tiny_slope_still_has_a_direction():
    faint = lambda x: 1e-30 * linear(x)  # noqa: E731
    x, y = some(3, 6, dtype=torch.float32) / 2 + 0.25, torch.tensor([0, 1, 2])
    apart = fgsm(faint, x, y, 0.2, norm="l2") - x
    assert torch.allclose(apart.norm(dim=1), torch.full((3,), 0.2), atol=1e-5)


# ---- through nets ---------------------------------------------------------------------------


def net_of(*layers, shape, classes=3):
    readout = sh.SoftmaxReadout(classes=classes)
    net = sh.StreamNet(*layers, readout=readout, input_shape=shape, seed=1).double()
    net.readout.weight.normal_(generator=CHANCE)
    return net


NETS = {
    "soft": ([sh.Flatten(), sh.Dense(36, 8), sh.Softmax(2.0)], (1, 6, 6)),
    "triangle": ([sh.Flatten(), sh.Dense(36, 8), sh.Triangle(0.7)], (1, 6, 6)),
    "backprop": ([sh.Flatten(), BackpropDense(36, 8), sh.ReLU(), BackpropDense(8, 5)], (1, 6, 6)),
    "conv": (
        [sh.BatchNorm(2), sh.Conv2d(2, 4, 3, padding=1), sh.Triangle(1.4), sh.MaxPool2d(2),
         sh.Conv2d(4, 5, 3, padding=1), sh.RePU(1.5), sh.AvgPool2d(2), sh.Flatten()],
        (2, 8, 8),
    ),
    "running": ([sh.RunningNorm(2), sh.Conv2d(2, 4, 3), sh.Tanh(), sh.Flatten()], (2, 6, 6)),
    "backprop conv": (
        [BackpropConv2d(1, 4, 3, padding=1), sh.Sigmoid(), sh.Flatten()], (1, 6, 6)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_scores_are_the_nets_own_and_gradients_those_of_finite_differences(name):
    layers, shape = NETS[name]
    net = net_of(*layers, shape=shape)
    scores = net_scores(net)
    x, y = some(3, *shape), torch.tensor([0, 1, 2])
    assert torch.equal(scores(x), net.respond(x).scores)
    before = {key: value.clone() for key, value in net.state_dict().items()
              if isinstance(value, torch.Tensor)}  # fmt: skip
    losses, slope = slopes(scores, x, y)
    loss = lambda x: F.cross_entropy(scores(x), y, reduction="none")  # noqa: E731
    assert torch.allclose(losses, loss(x).detach(), rtol=1e-12)
    for _ in range(5):
        way, h = torch.randn(x.shape, generator=CHANCE, dtype=x.dtype), 1e-6
        with torch.no_grad():
            wanted = (loss(x + h * way) - loss(x - h * way)) / (2 * h)
        assert torch.allclose((slope * way).flatten(1).sum(1), wanted, rtol=2e-4, atol=1e-7)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_tiles_hand_the_gradient_on_too():
    net = net_of(sh.Conv2d(2, 4, 3, padding=1), sh.ReLU(), sh.Flatten(), shape=(2, 8, 8))
    x, y = some(2, 2, 8, 8), torch.tensor([0, 1])
    direct = slopes(net_scores(net), x, y)[1]
    net.layers[0].method = "winograd4"
    assert torch.allclose(slopes(net_scores(net), x, y)[1], direct, rtol=1e-6, atol=1e-9)


def test_numba_kernels_leave_gradients_to_torch():
    pytest.importorskip("numba")
    net = net_of(*NETS["soft"][0], shape=(1, 6, 6)).float()
    x, y = some(2, 1, 6, 6, dtype=torch.float32), torch.tensor([0, 1])
    direct = slopes(net_scores(net), x, y)[1]
    with sh.kernels.use("numba"):
        assert torch.allclose(slopes(net_scores(net), x, y)[1], direct, rtol=1e-4, atol=1e-7)


# ---- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"eps": -1}, "eps=-1"),
        ({"eps": "much"}, "eps='much'"),
        ({"norm": "l1"}, "norm='l1'"),
        ({"steps": 0}, "steps=0"),
        ({"step": 0}, "step=0"),
        ({"low": 0.5}, "bring them between"),
    ],
)
def test_what_is_refused(more, said):
    x, y = torch.tensor([[0.1, 0.9]]), torch.tensor([0])
    with pytest.raises(ConfigError, match=said):
        pgd(lambda x: x, x, y, **{"eps": 0.1} | more)


def test_one_class_a_sample():
    with pytest.raises(ShapeError, match="give one each"):
        fgsm(linear, some(2, 6), torch.tensor([1]), 0.1)


def test_a_net_without_gradient_or_readout_says_so():
    with pytest.raises(ConfigError, match="no readout"):
        net_scores(sh.StreamNet(sh.Dense(4, 3), input_shape=(4,)))
    net = net_of(sh.Dense(6, 4), sh.Winner(), shape=(6,)).float()
    with pytest.raises(ConfigError, match="no gradient comes through"):
        fgsm(net_scores(net), some(2, 6, dtype=torch.float32), torch.tensor([0, 1]), 0.1)
