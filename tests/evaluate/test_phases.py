"""Training in phases: who learns, from what, how fast, and what is reported."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import streamhebb as sh
from streamhebb.errors import (
    ConfigError,
    DivergedError,
    InputError,
    LabelError,
    NonFiniteError,
    ShapeError,
)
from streamhebb.evaluate import Phase, PhaseEpoch, plan_phases, split_blocks, train_phases


def data(count: int = 24, seed: int = 0) -> tuple[Tensor, list[int]]:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, 6, 6, generator=source)
    y = torch.randint(3, (count,), generator=source).tolist()
    return x, y


def conv_net(readout: Any = None, **rate: Any) -> sh.StreamNet:
    readout = sh.SoftmaxReadout(classes=3, lr=0.01) if readout is None else readout
    parts: dict[str, Any] = {"scaling": sh.LayerMax(), **rate}
    return sh.StreamNet(
        sh.BatchNorm(2), sh.Conv2d(2, 4, 3, **parts), sh.Triangle(), sh.MaxPool2d(2),
        sh.BatchNorm(4), sh.Conv2d(4, 5, 2, **parts), sh.Triangle(), sh.Flatten(),
        readout=readout, input_shape=(2, 6, 6), seed=3,
    )  # fmt: skip


def moved(before: dict[str, Any], net: sh.StreamNet) -> set[str]:
    """Which blocks have changed: 0, 1, or readout."""
    names = {"0": "0", "1": "0", "4": "1", "5": "1"}
    found = set()
    for name, value in net.named_buffers():
        if not torch.equal(before[name], value):
            parts = name.split(".")
            found.add("readout" if parts[0] == "readout" else names[parts[1]])
    return found


def state(net: sh.StreamNet) -> dict[str, Any]:
    return {name: value.clone() for name, value in net.named_buffers()}


# ---- the plan --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "only", "wanted"),
    [
        ("successive", None, [(0,), (1,), (2,)]),
        ("consecutive", None, [(0, 1), (2,)]),
        ("simultaneous", None, [(0, 1, 2)]),
        ("successive", [2, 0], [(0,), (2,)]),
        ("consecutive", [2], [(2,)]),
        ("consecutive", [1], [(1,)]),
        ("simultaneous", [0, 2], [(0, 2)]),
    ],
)
def test_the_published_modes(mode: str, only: Any, wanted: Any) -> None:
    own, told = Phase(epochs=2, batch_size=5), Phase(epochs=7, dropout=0.25)
    plan = plan_phases(conv_net(), mode, unsupervised=own, supervised=told, only=only)
    assert [phase.blocks for phase in plan] == wanted
    for phase in plan:
        assert phase.epochs == (7 if 2 in phase.blocks or mode == "simultaneous" else 2)


def test_a_layer_with_parameters_is_trained_by_labels() -> None:
    net = wrapped()
    assert split_blocks(net) == (range(3), range(3, 6))
    plan = plan_phases(net, "consecutive")
    assert [phase.blocks for phase in plan] == [(0, 1, 2)]
    assert plan[0].dropout == 0.5
    assert [phase.blocks for phase in plan_phases(net)] == [(0,), (1,), (2,)]


def test_each_phase_changes_its_blocks_and_nothing_else() -> None:
    net, (x, y) = conv_net(), data()
    plan = plan_phases(
        net, unsupervised=Phase(epochs=1, batch_size=5), supervised=Phase(epochs=1, batch_size=5)
    )
    for phase, wanted in zip(plan, ("0", "1", "readout"), strict=True):
        before = state(net)
        train_phases(net, phase, (x, y))
        assert moved(before, net) == {wanted}
    before = state(net)
    train_phases(net, plan_phases(net, "simultaneous", supervised=Phase(batch_size=5)), (x, y))
    assert moved(before, net) == {"0", "1", "readout"}


def test_random_features_stay_random_and_unnormalised() -> None:
    net, (x, y) = conv_net(), data()
    before = state(net)
    train_phases(net, plan_phases(net, "consecutive", only=[2]), (x, y), (x, y), report_every=99)
    assert moved(before, net) == {"readout"}


def test_a_norm_after_the_activation_may_be_given_to_its_own_block() -> None:
    net = sh.StreamNet(sh.Dense(4, 5), sh.BatchNorm(5), sh.Dense(5, 3), seed=0)
    x = torch.rand(12, 4)
    phase = Phase((0,), batch_size=4)
    for blocks, learned in ((None, False), ([range(2), range(2, 3)], True)):
        train_phases(net, phase, (x, None), blocks=blocks)
        assert bool(net.layers[1].mean.any()) == learned


# ---- the same as the stream, and as torch -----------------------------------------------------


def test_one_phase_of_everything_is_the_stream_in_mini_batches() -> None:
    net, stream, (x, y) = conv_net(), conv_net(), data()
    phase = Phase((0, 1, 2), batch_size=7, shuffle=False, halving="none")
    train_phases(net, phase, (x, y))
    for start in range(0, len(x), 7):
        stream.step(x[start : start + 7], y[start : start + 7])
    for (name, a), b in zip(net.named_buffers(), stream.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert net.counts == stream.counts


def test_a_dense_net_one_sample_at_a_time_is_the_stream_itself() -> None:
    def made() -> sh.StreamNet:
        return sh.StreamNet(
            sh.RunningNorm(4), sh.Dense(4, 6), sh.Triangle(), sh.Dense(6, 3), seed=1,
            readout=sh.SoftHebbReadout(3),
        )  # fmt: skip

    net, stream, x = made(), made(), torch.rand(30, 4)
    y = ["a", "b", None] * 10
    stream.add_classes(["a", "b"])
    train_phases(net, Phase((0, 1, 2), batch_size=1, shuffle=False), (x, y))
    for row, label in zip(x, y, strict=True):
        stream.step(row, label)
    for (name, a), b in zip(net.named_buffers(), stream.buffers(), strict=True):
        assert torch.equal(a, b), name


def test_the_readout_follows_torchs_adam_with_published_halvings() -> None:
    net, (x, y) = conv_net().double(), data()
    x = x.double()
    linear = torch.nn.Linear(5, 3, dtype=torch.float64)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    adam = torch.optim.Adam(linear.parameters(), lr=0.02)
    halve = torch.optim.lr_scheduler.MultiStepLR(adam, [10, 15], gamma=0.5)
    features, target, losses = net.features(x), torch.tensor(y), []
    for _ in range(20):
        total = 0.0
        for part in torch.arange(len(x)).split(5):
            adam.zero_grad()
            loss = F.cross_entropy(linear(features[part]), target[part])
            loss.backward()
            adam.step()
            total += float(loss.detach()) * len(part)
        halve.step()
        losses.append(total / len(x))
    phase = Phase((2,), epochs=20, batch_size=5, lr=0.02, shuffle=False)
    reports = train_phases(net, phase, (x, y), (x, y))
    torch.testing.assert_close(net.readout.weight, linear.weight.detach(), rtol=1e-6, atol=1e-6)
    assert [r.train_loss for r in reports] == pytest.approx(losses, rel=1e-6)
    scores = linear(features).detach()
    assert reports[-1].test_loss == pytest.approx(float(F.cross_entropy(scores, target)), rel=1e-6)
    assert reports[-1].test_accuracy == net.score(x, y)
    assert net.readout.lr == 0.01, "the readout's own rate is put back"


class Wrapped(sh.Layer):
    """A layer of someone's own around a torch module: the back-propagation control."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def shape(self, shape: Any) -> Any:
        return tuple(self.inner(torch.zeros(1, *shape)).shape[1:])

    def respond(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def config(self) -> dict[str, Any]:
        return {"type": "Wrapped"}


def wrapped() -> sh.StreamNet:
    torch.manual_seed(5)
    return sh.StreamNet(
        sh.BatchNorm(2), Wrapped(torch.nn.Conv2d(2, 4, 3)), sh.ReLU(),
        Wrapped(torch.nn.Conv2d(4, 5, 2)), sh.ReLU(), sh.Flatten(),
        readout=sh.SoftmaxReadout(classes=3, lr=0.01), input_shape=(2, 6, 6), seed=None,
    )  # fmt: skip


def test_back_propagation_end_to_end_is_that_of_torch() -> None:
    net, (x, y) = wrapped(), data()
    twin = copy.deepcopy(net)
    first, second = twin.layers[1].inner, twin.layers[3].inner
    linear = torch.nn.Linear(45, 3)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    norm = torch.nn.BatchNorm2d(2, affine=False)
    model = torch.nn.Sequential(
        norm, first, torch.nn.ReLU(), second, torch.nn.ReLU(), torch.nn.Flatten(), linear
    )
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        for part in torch.arange(len(x)).split(8):
            adam.zero_grad()
            F.cross_entropy(model(x[part]), torch.tensor(y)[part]).backward()
            adam.step()
    phase = Phase((0, 1, 2), epochs=3, batch_size=8, shuffle=False)
    train_phases(net, phase, (x, y))
    torch.testing.assert_close(net.layers[1].inner.weight, first.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(net.readout.weight, linear.weight.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(net.layers[0].mean, norm.running_mean, rtol=1e-4, atol=1e-5)
    assert not any(value.requires_grad for value in net.buffers()), "no graph is kept"


def test_a_single_block_learns_through_frozen_ones() -> None:
    net, (x, y) = wrapped(), data()
    train_phases(net, Phase((2,), epochs=2), (x, y))
    kept = copy.deepcopy(dict(net.state_dict()))
    train_phases(net, Phase((0,), epochs=2), (x, y))
    changed = {k for k, v in net.state_dict().items() if isinstance(v, Tensor)
               and not torch.equal(v, kept[k])}  # fmt: skip
    assert changed == {"layers.0.mean", "layers.0.var", "layers.1.inner.weight",
                       "layers.1.inner.bias"}  # fmt: skip


# ---- rates, order, chance ---------------------------------------------------------------------


def test_schedules_are_stretched_over_the_phase_and_put_back() -> None:
    net, (x, y) = conv_net(rate=sh.LinearDecay(0.1, 3)), data()
    conv: Any = net.layers[1]
    seen = []
    train_phases(net, Phase((0,), epochs=2, batch_size=5), (x, y),
                 on_epoch=lambda report: seen.append(report.rates[0]))  # fmt: skip
    # 5 mini-batches an epoch, the last of 4 samples; 2 * 24 / 5 steps in all
    assert seen == pytest.approx([0.1 * (1 - 5 / 9.6), 0.0])
    assert conv.rate == sh.LinearDecay(0.1, 3)
    assert int(conv.updates) == 10
    train_phases(net, Phase((0,), batch_size=5, stretch=False), (x, y))
    assert int(conv.updates) == 15
    with pytest.raises(RuntimeError, match="stop"):
        train_phases(net, Phase((0,), batch_size=5), (x, y), on_epoch=_stop)
    assert conv.rate == sh.LinearDecay(0.1, 3)


def _stop(report: PhaseEpoch) -> None:
    raise RuntimeError("stop")


def test_one_seed_one_result_whatever_else_is_drawn() -> None:
    x, y = data()
    weights = []
    for seed, other in ((1, 10), (1, 20), (2, 30)):
        net = conv_net()
        torch.manual_seed(other)
        chance = torch.get_rng_state()
        plan = plan_phases(
            net, unsupervised=Phase(batch_size=5, seed=seed),
            supervised=Phase(epochs=2, batch_size=5, dropout=0.5, seed=seed),
        )  # fmt: skip
        train_phases(net, plan, (x, y))
        assert torch.equal(torch.get_rng_state(), chance)
        weights.append(net.readout.weight.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_block_sees_the_same_order_and_every_epoch_another() -> None:
    net, (x, y) = conv_net(), data()
    seen: list[list[float]] = []

    def keep(batch: Tensor) -> Tensor:
        seen.append(batch[:, 0, 0, 0].tolist())
        return batch

    train_phases(net, [Phase((0,), epochs=2), Phase((1,), epochs=2)], (x, y), augment=keep)
    assert seen[0] == seen[2] != seen[1] == seen[3]
    assert sorted(seen[0]) == sorted(x[:, 0, 0, 0].tolist())


def test_frozen_layers_are_computed_once_and_it_makes_no_difference() -> None:
    x, y = data()
    once, each = conv_net(), conv_net()
    calls = [0, 0]
    for number, net in enumerate((once, each)):
        respond = net.layers[1].respond

        def count(v: Tensor, number: int = number, respond: Any = respond) -> Tensor:
            calls[number] += 1
            return respond(v)

        net.layers[1].respond = count
    phase = Phase((2,), epochs=4, batch_size=6)
    train_phases(once, phase, (x, y))
    train_phases(each, phase, (x, y), augment=lambda batch: batch)
    torch.testing.assert_close(once.readout.weight, each.readout.weight, rtol=1e-3, atol=1e-5)
    assert calls[0] == 2  # one sample to check the set, and the set
    assert calls[1] == 17


def test_dropout_is_on_while_training_only() -> None:
    x, y = torch.ones(64, 8), [0] * 32 + [1] * 32
    net = sh.StreamNet(sh.ReLU(), readout=sh.SoftmaxReadout(8, classes=2), input_shape=(8,))
    net.readout.weight[0] = 1.0
    (report,) = train_phases(net, Phase((1,), dropout=0.5, lr=0.0), (x, y), (x, y))
    assert report.test_loss == pytest.approx((8 + 2 * math.log1p(math.exp(-8))) / 2, rel=1e-4)
    assert report.train_loss != pytest.approx(report.test_loss, rel=1e-3)


# ---- reports ----------------------------------------------------------------------------------


def test_reports_of_a_hebbian_phase() -> None:
    net, (x, y) = conv_net(sh.SoftHebbReadout(classes=3)), data()
    heard: list[PhaseEpoch] = []
    reports = train_phases(net, Phase((0,), epochs=7), (x, y), report_every=3,
                           on_epoch=heard.append)  # fmt: skip
    assert [report.epoch for report in reports] == [1, 3, 6, 7]
    assert tuple(heard) == reports
    last = reports[-1]
    radii = [net.layers[1].radius(), net.layers[5].radius(), net.readout.radius()]
    assert last.convergence == pytest.approx([float((r - 1).abs().mean()) for r in radii])
    near = (0.01, 0.01, 0.005)
    assert last.converged == tuple(
        int(((r - 1).abs() < n).sum()) for r, n in zip(radii, near, strict=True)
    )
    nothing = (last.train_accuracy, last.test_accuracy, last.train_loss, last.test_loss)
    assert nothing == (None,) * 4  # a convolution has no winner a sample


def test_neurons_of_a_dense_layer_are_labelled() -> None:
    x = torch.eye(4).repeat(10, 1) + 0.01 * torch.rand(40, 4)
    y = list("nesw") * 10
    net = sh.StreamNet(sh.Dense(4, 12), seed=0)
    (report,) = train_phases(net, Phase((0,), batch_size=4), (x, y), (x[:7], y[:7]))
    assert report.train_accuracy == report.test_accuracy == 1.0
    (report,) = train_phases(net, Phase((0,)), (x, None))
    assert report.train_accuracy is None


def test_it_learns_real_digits() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x / 16).float().reshape(-1, 1, 8, 8)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order[:900]], y[order[:900].numpy()]
    net = sh.StreamNet(
        sh.BatchNorm(1),
        sh.Conv2d(1, 12, 3, padding=1, rate=sh.NormRate(0.08), scaling=sh.LayerMax()),
        sh.Triangle(0.7), sh.MaxPool2d(2), sh.Flatten(),
        readout=sh.SoftmaxReadout(lr=0.01), input_shape=(1, 8, 8),
    )  # fmt: skip
    plan = plan_phases(net, supervised=Phase(epochs=8, dropout=0.2))
    reports = train_phases(net, plan, (x[:600], y[:600]), (x[600:], y[600:]), report_every=8)
    assert reports[-1].test_accuracy > 0.9
    assert net.score(x[600:], y[600:]) == pytest.approx(reports[-1].test_accuracy)


# ---- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blocks": (0, 0)}, "names a block twice"),
        ({"blocks": (-1,)}, "blocks=-1"),
        ({"blocks": (0.5,)}, "blocks=0.5"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1.5}, "batch_size=1.5"),
        ({"lr": -1}, "lr=-1"),
        ({"halving": "cosine"}, "halving='cosine'"),
        ({"dropout": 1}, "dropout=1"),
        ({"seed": -1}, "seed=-1"),
        ({"shuffle": 2}, "shuffle=2"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Phase(**settings)


@pytest.mark.parametrize(
    ("phase", "train", "error", "words"),
    [
        (Phase(), None, ConfigError, r"blocks \(\) are not allowed"),
        (Phase((3,)), None, ConfigError, r"blocks \(3,\).*some of the 3 blocks"),
        ("successive", None, ConfigError, "is not a Phase"),
        (Phase((0,)), torch.rand(3), ConfigError, r"give \(X, y\)"),
        (Phase((0,)), (torch.rand(4, 2, 5, 5), None), ShapeError, "shape"),
        (Phase((0,)), (torch.rand(0, 2, 6, 6), None), ShapeError, "empty"),
        (Phase((0,)), (torch.full((4, 2, 6, 6), math.nan), None), NonFiniteError, "train"),
        (Phase((0,)), (torch.rand(4, 2, 6, 6), [0]), LabelError, "1 labels were given for 4"),
        (Phase((2,)), (torch.rand(4, 2, 6, 6), None), LabelError, "learn labels"),
        (Phase((2,)), (torch.rand(4, 2, 6, 6), [None] * 4), LabelError, "learn labels"),
        (Phase((2,)), (torch.rand(4, 2, 6, 6), [0, 1, 2, 3]), LabelError, "label 3"),
    ],
)
def test_what_is_refused_changes_nothing(phase: Any, train: Any, error: Any, words: str) -> None:
    net = conv_net()
    before = state(net)
    plan = phase if isinstance(phase, (Phase, list)) else [phase]
    with pytest.raises(error, match=words):
        train_phases(net, plan, data() if train is None else train)
    assert moved(before, net) == set()


def test_a_late_phase_is_checked_before_the_first_begins() -> None:
    net, (x, _) = conv_net(), data()
    before = state(net)
    with pytest.raises(LabelError):
        train_phases(net, [Phase((0,)), Phase((2,))], (x, None))
    assert moved(before, net) == set()


def test_more_that_is_refused() -> None:
    net, (x, y) = conv_net(), data()
    with pytest.raises(LabelError, match="label 9 is in test"):
        train_phases(conv_net(sh.SoftmaxReadout()), Phase((2,)), (x, y), (x[:2], [0, 9]))
    with pytest.raises(ConfigError, match="consecutive ranges"):
        train_phases(net, Phase((0,)), (x, y), blocks=[range(3)])
    with pytest.raises(ConfigError, match="report_every=0"):
        train_phases(net, Phase((0,)), (x, y), report_every=0)
    with pytest.raises(ConfigError, match="mode='layerwise'"):
        plan_phases(net, "layerwise")
    with pytest.raises(ConfigError, match=r"blocks \(5,\)"):
        plan_phases(net, only=[5])
    bare = sh.StreamNet(sh.ReLU(), sh.Flatten(), input_shape=(2, 6, 6))
    with pytest.raises(ConfigError, match="no weights that can learn"):
        train_phases(bare, Phase((0,)), (x, y))
    graded = sh.StreamNet(Wrapped(torch.nn.Flatten()), Wrapped(torch.nn.Linear(72, 3)),
                          input_shape=(2, 6, 6))  # fmt: skip
    with pytest.raises(ConfigError, match="need a readout"):
        train_phases(graded, Phase((0,)), (x, y))
    with pytest.raises(InputError):
        train_phases(net, Phase((0,)), ([[1, 2], [3]], None))


def test_weights_that_run_away_are_named() -> None:
    net = sh.StreamNet(sh.Dense(4, 3, rule=sh.Hebb(), rate=1e30, scaling=sh.NoScaling()))
    with pytest.raises(DivergedError, match="0:Dense are no longer finite"):
        train_phases(net, Phase((0,), epochs=5, batch_size=1), (torch.rand(8, 4), None))
