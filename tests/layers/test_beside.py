"""What a plastic layer has beside its rule: lateral synapses, eligibility, constraints, wiring."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError, InputError, ShapeError, SnapshotError

F64 = {"rtol": 1e-12, "atol": 1e-12}


def rand(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- lateral synapses --------------------------------------------------------------------------


def test_lateral_activity_is_where_it_settles() -> None:
    part, drive = sh.Lateral(), rand(3, 4)
    weight = -0.2 * rand(4, 4, seed=1).fill_diagonal_(0)
    settled = part.settle(drive, weight)
    for n in range(3):
        for j in range(4):
            inhibition = sum(float(weight[j, k] * settled[n, k]) for k in range(4))
            assert float(settled[n, j]) == pytest.approx(float(drive[n, j]) + inhibition)
    torch.testing.assert_close(sh.Lateral(steps=60).settle(drive, weight), settled)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), goal=st.floats(0, 1), inhibitory=st.booleans())
def test_lateral_learning_equals_the_loops(seed: int, goal: float, inhibitory: bool) -> None:
    part = sh.Lateral(0.1, goal=goal, inhibitory=inhibitory)
    y, q = rand(3, 4, seed=seed) - 0.5, rand(4, 4, seed=seed + 1).fill_diagonal_(0) - 0.5
    changed = part.change(y, q, 0.5)
    for j in range(4):
        for k in range(4):
            total = sum(float(y[n, j] * y[n, k]) - goal for n in range(3))
            wanted = float(q[j, k]) - 0.1 * 0.5 * total
            wanted = 0.0 if j == k else min(wanted, 0.0) if inhibitory else wanted
            assert float(changed[j, k]) == pytest.approx(wanted, abs=1e-12)


def test_lateral_synapses_decorrelate() -> None:
    """Földiák's network on correlated inputs: outputs end up nearly uncorrelated."""
    torch.manual_seed(0)
    mix = torch.randn(8, 8) + 2  # a strong common part
    stream = torch.randn(15_000, 8) @ mix.T / 8
    layer = sh.Dense(
        8, 4, rule=sh.Oja(), lateral=sh.Lateral(0.005), rate=0.0005, scaling=sh.NoScaling(),
        init=sh.Normal(1.0),
    )  # fmt: skip

    def correlation() -> float:
        y = layer.respond(stream[:4000])
        matrix = torch.corrcoef(y.T) - torch.eye(4)
        return float(matrix.abs().sum() / 12)

    before = correlation()
    for x in stream.split(5):
        layer.learn(layer.observe(x)[1])
    assert correlation() < before / 5


def test_lateral_synapses_do_not_cross_groups() -> None:
    with pytest.raises(ConfigError, match="lateral synapses do not reach across groups"):
        sh.Conv2d(2, 4, 1, groups=2, lateral=sh.Lateral())


# ---- eligibility and the third factor ----------------------------------------------------------


def test_eligibility_waits_for_the_modulator() -> None:
    layer = sh.Dense(
        3, 2, rule=sh.Hebb(), eligibility=sh.Eligibility(4.0), rate=0.1, scaling=sh.NoScaling()
    ).double()
    w = layer.weight.tolist()
    e = [[0.0] * 3 for _ in range(2)]
    for t, reward in enumerate([0.0, 0.0, 1.0, 0.0, -0.5]):
        x = rand(1, 3, seed=t)
        before = layer.weight.clone()
        layer.learn(layer.observe(x)[1], modulator=reward)
        for j in range(2):
            y = sum(w[j][i] * float(x[0, i]) for i in range(3))
            for i in range(3):
                e[j][i] = math.exp(-1 / 4) * e[j][i] + y * float(x[0, i])
        for j in range(2):
            for i in range(3):
                w[j][i] += 0.1 * reward * e[j][i]
        assert torch.equal(before, layer.weight) == (reward == 0.0)
        torch.testing.assert_close(layer.weight, torch.tensor(w, dtype=torch.float64), **F64)


def test_modulators_for_single_layers() -> None:
    net = sh.StreamNet(sh.Dense(4, 3, rule=sh.Hebb()), sh.Dense(3, 2, rule=sh.Hebb()))
    first, second = (layer.weight.clone() for layer in net.layers)
    net.step(torch.rand(4), modulator={"0:Dense": 0.0})
    assert torch.equal(net.layers[0].weight, first)
    assert not torch.equal(net.layers[1].weight, second)
    second = net.layers[1].weight.clone()
    net.step(torch.rand(4), modulator={1: 0.0})
    assert not torch.equal(net.layers[0].weight, first)
    assert torch.equal(net.layers[1].weight, second)


@pytest.mark.parametrize(
    ("modulator", "message"),
    [
        ({"dense": 1.0}, r"names the layer 'dense'; there are 0:Dense, or their numbers"),
        ({5: 1.0}, r"names the layer 5"),
        ({True: 1.0}, r"names the layer True"),
        ({0: float("nan")}, r"modulator=nan is not allowed"),
        ({0: "much"}, r"modulator='much' is not allowed"),
        ([1.0], r"modulator=\[1.0\] is not allowed"),
    ],
)
def test_a_modulator_that_makes_no_sense_is_refused(modulator: Any, message: str) -> None:
    net = sh.StreamNet(sh.Dense(4, 3))
    weight = net.layers[0].weight.clone()
    with pytest.raises(InputError, match=message):
        net.step(torch.rand(4), modulator=modulator)
    assert torch.equal(net.layers[0].weight, weight)


# ---- set while running -------------------------------------------------------------------------


def test_rate_and_plasticity_may_be_set_at_any_step(tmp_path: Path) -> None:
    net = sh.StreamNet(sh.Dense(4, 3, rule=sh.Hebb(), rate=0.1))
    layer = net.layers[0]
    net.step(torch.rand(4))
    layer.plasticity = False
    frozen = layer.weight.clone()
    net.step(torch.rand(4))
    assert torch.equal(layer.weight, frozen)
    assert int(layer.updates) == 1
    layer.plasticity = True
    layer.rate = sh.NormRate(0.3)
    net.step(torch.rand(4))
    assert not torch.equal(layer.weight, frozen)
    layer.plasticity = False
    net.save(tmp_path / "net")
    for twin in (sh.StreamNet(sh.Dense(4, 3, rule=sh.Hebb(), rate=0.1)), sh.load(tmp_path / "net")):
        twin.load(tmp_path / "net")
        assert twin.layers[0].rate == sh.NormRate(0.3)
        assert twin.layers[0].plasticity is False


def test_a_rate_that_makes_no_sense_is_refused_and_the_old_one_stays() -> None:
    layer = sh.Dense(4, 3, rate=0.1)
    for wrong in ("fast", -1.0, float("nan"), sh.NormRate):
        with pytest.raises(ConfigError):
            layer.rate = wrong
        assert layer.rate == sh.ConstantRate(0.1)


def test_another_rate_inside_a_part_is_another_net(tmp_path: Path) -> None:
    sh.StreamNet(sh.Dense(4, 3, lateral=sh.Lateral(0.1))).save(tmp_path / "net")
    with pytest.raises(SnapshotError, match=r"layers\[0\].lateral.rate is 0.1 there and 0.2 here"):
        sh.StreamNet(sh.Dense(4, 3, lateral=sh.Lateral(0.2))).load(tmp_path / "net")


# ---- homeostasis and constraints ---------------------------------------------------------------


def test_the_threshold_gives_everybody_their_share() -> None:
    """Of inputs that one neuron would win nearly always, each neuron comes to win its part."""
    torch.manual_seed(0)
    stream = torch.rand(3000, 6) + 0.5
    layer = sh.Dense(
        6, 4, rule=sh.Hebb(), competition=sh.HardWTA(), rate=0.0, init=sh.Positive(1.0),
        threshold=sh.AdaptiveThreshold(0.25, 0.02),
    )  # fmt: skip
    wins = torch.zeros(4)
    for t, x in enumerate(stream):
        _, seen = layer.observe(x[None])
        wins += (t >= 2000) * layer._post(seen)[0]
        layer.learn(seen)
    assert (layer.competition(layer.respond(stream)).mean(0)).max() > 0.6  # as it would be
    assert ((wins / 1000 - 0.25).abs() < 0.05).all()


def test_weights_stay_where_the_constraint_wants_them() -> None:
    layer = sh.Dense(5, 3, rule=sh.Hebb(), rate=5.0, constraint=sh.Clip(-0.1, 0.2))
    assert layer.weight.min() >= -0.1, "from the start"
    for _ in range(5):
        layer.learn(layer.observe(torch.randn(1, 5))[1])
    assert layer.weight.min() >= torch.tensor(-0.1)
    assert layer.weight.max() <= torch.tensor(0.2)


@pytest.mark.parametrize("power", [1, 2])
def test_scaling_holds_the_total(power: int) -> None:
    layer = sh.Dense(5, 3, rule=sh.Hebb(), constraint=sh.SynapticScaling(2.0, power=power))
    layer.learn(layer.observe(torch.rand(1, 5))[1])
    for row in layer.weight.tolist():
        assert sum(abs(w) ** power for w in row) ** (1 / power) == pytest.approx(2.0, rel=1e-5)
    dead = torch.zeros(2, 3)
    sh.SynapticScaling(1.0, power=power)(dead)
    assert torch.equal(dead, torch.zeros(2, 3)), "no weights, no NaN"


def test_scaling_in_part() -> None:
    weight = torch.tensor([[3.0, 1.0]])
    sh.SynapticScaling(2.0, rate=0.5)(weight)
    assert weight.tolist() == [[2.25, 0.75]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: sh.Clip(1, 0),
        lambda: sh.Clip(float("nan"), 1),
        lambda: sh.SynapticScaling(0),
        lambda: sh.SynapticScaling(1, rate=2),
        lambda: sh.SynapticScaling(1, power=3),
        lambda: sh.AdaptiveThreshold(2),
        lambda: sh.AdaptiveThreshold(0.1, -1),
        lambda: sh.Eligibility(0),
        lambda: sh.Lateral(-1),
        lambda: sh.Lateral(steps=0),
        lambda: sh.Lateral(goal=-1),
        lambda: sh.Dense(4, 3, threshold=0.1),
        lambda: sh.Dense(4, 3, carry="yes"),
        lambda: sh.Sparse(4, 3, fan_in=5),
        lambda: sh.Sparse(4, 3, fan_in=0),
        lambda: sh.Delay(-1),
        lambda: sh.Delay([]),
        lambda: sh.Delay([1, 0.5]),
        lambda: sh.OverTime(sh.Dense(4, 3)),
        lambda: sh.OverTime(sh.Delay(1)),
        lambda: sh.OverTime("pool"),
    ],
)
def test_what_is_out_of_range_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="not allowed"):
        make()


# ---- fixed fan-in ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [sh.Hebb(), sh.Oja(), sh.SoftHebb()], ids=repr)
def test_sparse_is_dense_with_most_synapses_missing(rule: Any) -> None:
    sparse = sh.Sparse(9, 4, 3, rule=rule, rate=0.1, scaling=sh.NoScaling(), seed=2).double()
    dense = sh.Dense(9, 4, rule=rule, rate=0.1, scaling=sh.NoScaling()).double()
    there = torch.zeros(4, 9, dtype=torch.bool).scatter_(1, sparse.wiring, True)
    full = torch.zeros(4, 9, dtype=torch.float64)
    for step in range(3):
        full.scatter_(1, sparse.wiring, sparse.weight)
        dense.set_weight(full)
        x = rand(2, 9, seed=step)
        (u, seen), (v, looked) = sparse.observe(x), dense.observe(x)
        torch.testing.assert_close(u, v, **F64)
        sparse.learn(seen)
        dense.learn(looked)
        torch.testing.assert_close(sparse.weight, dense.weight[there].view(4, 3), **F64)


def test_wiring_is_drawn_from_the_seed_and_saved(tmp_path: Path) -> None:
    layers = [sh.Sparse(50, 20, 5, seed=s) for s in (0, 0, 1)]
    assert torch.equal(layers[0].wiring, layers[1].wiring)
    assert not torch.equal(layers[0].wiring, layers[2].wiring)
    for row in layers[0].wiring.tolist():
        assert len(set(row)) == 5
    net = sh.StreamNet(layers[0], input_shape=(50,))
    net.save(tmp_path / "net")
    assert torch.equal(sh.load(tmp_path / "net").layers[0].wiring, layers[0].wiring)


# ---- delays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 3, [0, 2, 1, 3]], ids=repr)
def test_delays_in_the_stream_and_within_a_presentation_agree(steps: Any) -> None:
    x = rand(7, 4)
    delays = [steps] * 4 if isinstance(steps, int) else steps
    wanted = [
        [float(x[t - d, i]) if t >= d else 0.0 for i, d in enumerate(delays)] for t in range(7)
    ]
    net = sh.StreamNet(sh.Delay(steps), sh.ReLU(), input_shape=(4,)).double()
    got = [net.step(one, learn=False).scores.tolist() for one in x]
    for row, other in zip(got, wanted, strict=True):
        assert row == pytest.approx(other)
    assert sh.Delay(steps, timed=True).respond(x[None])[0].tolist() == wanted
    if steps:
        net.reset_state()
        assert net.step(x[6]).scores.tolist() == [
            float(v) * (d == 0) for v, d in zip(x[6], delays, strict=False)
        ]


def test_a_delay_gives_something_of_its_own() -> None:
    """What comes after it may still need it when the line has moved on."""
    x = rand(6, 4)
    delay = sh.Delay(2)
    for t, one in enumerate(x):
        out, seen = delay.observe(one[None])
        delay.advance(seen)
        assert torch.equal(out[0], x[t - 2] if t >= 2 else torch.zeros_like(one))


def test_delays_refuse_what_does_not_fit() -> None:
    with pytest.raises(ShapeError, match="has 2 delays and got samples of shape"):
        sh.Delay([1, 2]).shape((3,))
    with pytest.raises(ShapeError, match=r"needs \(T, ...\)"):
        sh.Delay(1, timed=True).shape((3,))
    with pytest.raises(ShapeError, match=r"needs \(T, ...\)"):
        sh.OverTime(sh.ReLU()).shape((3,))
    net = sh.StreamNet(sh.Delay(1), sh.ReLU(), input_shape=(4,))
    net.step(torch.rand(2, 4))
    with pytest.raises(ShapeError, match="carries 2 parallel samples and got 1"):
        net.step(torch.rand(4))
