"""Layers over time: presentations, traces, what goes on from sample to sample."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.checks import check_layer
from streamhebb.errors import ShapeError
from streamhebb.parts import State
from streamhebb.values import Activity, LocalUpdate, Outer

LEAK, LIMIT, FADE = 0.5, 1.0, 0.75


@dataclass(frozen=True)
class Integrator:
    """v <- LEAK v + u; spikes and falls to 0 where v >= LIMIT + threshold."""

    spikes: ClassVar[bool] = True

    def init(self, n_out: int) -> State:
        return {"v": torch.zeros(n_out)}

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        v = LEAK * state["v"] + drive
        out = (v >= LIMIT + (0 if threshold is None else threshold)).to(v)
        return out, v, {"v": v * (1 - out)}


@dataclass(frozen=True)
class Traced:
    """dw = y <x> - <y> x, with traces <.> that fade by FADE before the spike of the instant."""

    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        return {}

    def rest(self, n_in: int, n_out: int) -> State:
        return {"x": torch.zeros(n_in), "y": torch.zeros(n_out)}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        x, y = FADE * state["x"] + seen.pre, FADE * state["y"] + seen.post
        return LocalUpdate((Outer(seen.post, x), Outer(-y, seen.pre))), {"x": x, "y": y}


def oracle(
    w: list[list[float]], x: list[list[float]], rate: float, state: Any = None, level: Any = None
) -> tuple[list[list[float]], list[list[float]], Any]:
    """One presentation x[t][i]: spikes z[t][j], weights after it, state after it."""
    n_out, n_in = len(w), len(w[0])
    v, a, b = state or ([0.0] * n_out, [0.0] * n_in, [0.0] * n_out)
    v, a, b = list(v), list(a), list(b)
    change = [[0.0] * n_in for _ in range(n_out)]
    spikes = []
    for seen in x:
        fired = []
        for j in range(n_out):
            v[j] = LEAK * v[j] + sum(w[j][i] * seen[i] for i in range(n_in))
            fired.append(1.0 if v[j] >= LIMIT + (level[j] if level else 0.0) else 0.0)
            v[j] = 0.0 if fired[j] else v[j]
        for i in range(n_in):
            a[i] = FADE * a[i] + seen[i]
        for j in range(n_out):
            b[j] = FADE * b[j] + fired[j]
            for i in range(n_in):
                change[j][i] += fired[j] * a[i] - b[j] * seen[i]
        spikes.append(fired)
    after = [[w[j][i] + rate * change[j][i] for i in range(n_in)] for j in range(n_out)]
    return spikes, after, (v, a, b)


def make(**more: Any) -> sh.Dense:
    parts = {"scaling": sh.NoScaling(), "rate": 0.01, "init": sh.Positive(1.0)} | more
    return sh.Dense(4, 3, rule=Traced(), neuron=Integrator(), **parts).double()


def spikes(*shape: int, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=chance) < 0.6).double()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 7), batch=st.integers(1, 3))
def test_a_presentation_equals_the_loops(seed: int, steps: int, batch: int) -> None:
    torch.manual_seed(seed)
    layer, x = make(), spikes(batch, steps, 4, seed=seed)
    start = layer.weight.tolist()
    out, seen = layer.observe(x)
    layer.learn(seen)
    total = torch.zeros_like(layer.weight)
    for row, presentation in enumerate(x):
        fired, after, _ = oracle(start, presentation.tolist(), 0.01)
        assert out[row].tolist() == fired
        total += torch.tensor(after, dtype=torch.float64) - torch.tensor(start, dtype=torch.float64)
    wanted = torch.tensor(start, dtype=torch.float64) + total
    torch.testing.assert_close(layer.weight, wanted, rtol=1e-12, atol=1e-12)


def test_the_same_through_a_convolution_of_one_pixel() -> None:
    dense = make()
    conv = sh.Conv2d(
        4, 3, 1, rule=Traced(), neuron=Integrator(), scaling=sh.NoScaling(), rate=0.01
    ).double()
    conv.set_weight(dense.weight[:, :, None, None])
    x = spikes(2, 5, 4)
    left, right = dense.observe(x), conv.observe(x[..., None, None])
    assert torch.equal(left[0], right[0].flatten(2))
    dense.learn(left[1])
    conv.learn(right[1])
    torch.testing.assert_close(dense.weight, conv.kernel.flatten(1))


def test_groups_over_time_are_separate_layers() -> None:
    both = sh.Conv2d(
        4, 6, 1, groups=2, rule=Traced(), neuron=Integrator(), scaling=sh.NoScaling(), rate=0.01
    ).double()
    x = spikes(2, 5, 4)
    twins = []
    for g in range(2):
        twin = sh.Conv2d(
            2, 3, 1, rule=Traced(), neuron=Integrator(), scaling=sh.NoScaling(), rate=0.01
        ).double()
        twin.set_weight(both.kernel[3 * g : 3 * g + 3])
        twins.append(twin)
    out, seen = both.observe(x[..., None, None])
    both.learn(seen)
    for g, twin in enumerate(twins):
        own, looked = twin.observe(x[:, :, 2 * g : 2 * g + 2, None, None])
        assert torch.equal(out[:, :, 3 * g : 3 * g + 3], own)
        twin.learn(looked)
        torch.testing.assert_close(both.kernel[3 * g : 3 * g + 3], twin.kernel)


def test_without_carry_every_sample_starts_at_rest() -> None:
    layer, x = make(), spikes(6, 4)
    layer.plasticity = False
    first = layer.observe(x)
    layer.learn(first[1])
    assert torch.equal(layer.observe(x)[0], first[0])
    assert not layer.carries
    assert layer.carried_buffers == ()


@pytest.mark.parametrize("pieces", [1, 2, 3, 6])
def test_carried_in_pieces_is_one_long_presentation(pieces: int) -> None:
    """Frozen: spikes and state of the whole recording; any cut gives the same."""
    whole, x = make(carry=True), spikes(1, 6, 4)
    cut = copy.deepcopy(whole)
    out, seen = whole.observe(x)
    whole.advance(seen)
    got = []
    for piece in x.chunk(pieces, 1):
        fired, seen = cut.observe(piece)
        cut.advance(seen)
        got.append(fired)
    assert torch.equal(torch.cat(got, 1), out)
    for name in whole.carried_buffers:
        torch.testing.assert_close(getattr(cut, name), getattr(whole, name))
    _, _, (v, a, b) = oracle(whole.weight.tolist(), x[0].tolist(), 0.0)
    assert whole.neuron_v[0].tolist() == pytest.approx(v)
    assert whole.trace_x[0].tolist() == pytest.approx(a)
    assert whole.trace_y[0].tolist() == pytest.approx(b)


def test_learning_step_by_step_equals_the_loops() -> None:
    layer, x = make(carry=True), spikes(9, 4)
    w, state = layer.weight.tolist(), None
    for t in range(9):
        fired, w, state = oracle(w, [x[t].tolist()], 0.01, state)
        out, seen = layer.observe(x[None, t : t + 1])
        layer.learn(seen)
        assert out[0].tolist() == fired
    torch.testing.assert_close(layer.weight, torch.tensor(w, dtype=torch.float64))


def test_a_rate_layer_carries_the_traces_of_its_rule() -> None:
    layer = sh.Dense(4, 3, rule=Traced(), scaling=sh.NoScaling(), rate=0.01).double()
    assert layer.carries
    assert layer.carried_buffers == ("trace_x", "trace_y")
    x = spikes(3, 4)
    trace = [0.0] * 4
    for t in range(3):
        layer.learn(layer.observe(x[t : t + 1])[1])
        trace = [FADE * a + b for a, b in zip(trace, x[t].tolist(), strict=True)]
    assert layer.trace_x[0].tolist() == pytest.approx(trace)
    layer.reset_state()
    assert layer.trace_x.numel() == 0


def test_another_batch_size_needs_a_reset() -> None:
    net = sh.StreamNet(make(carry=True).float(), input_shape=(2, 4), seed=None)
    net.step(torch.ones(2, 2, 4))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ShapeError, match=r"carries the neuron state of 2 .* got 1; keep .* reset"):
        net.step(torch.ones(2, 4))
    assert torch.equal(before["layers.0.weight"], net.state_dict()["layers.0.weight"])
    net.reset_state()
    net.step(torch.ones(2, 4))


def test_prediction_only_lets_membranes_go_on_and_weights_stay() -> None:
    net = sh.StreamNet(make(carry=True).float(), input_shape=(1, 4), seed=None)
    weight = net.layers[0].weight.clone()
    drive = torch.full((1, 4), 0.1)
    net.respond(drive)
    assert net.layers[0].neuron_v.numel() == 0  # looking changes nothing
    net.step(drive, learn=False)
    once = net.layers[0].neuron_v.clone()
    net.step(drive, learn=False)
    assert not torch.equal(net.layers[0].neuron_v, once)
    assert torch.equal(net.layers[0].weight, weight)


def test_a_snapshot_holds_what_is_carried(tmp_path: Path) -> None:
    def fresh() -> sh.StreamNet:
        return sh.StreamNet(make(carry=True).float(), sh.Delay(2), input_shape=(1, 4), seed=3)

    x = spikes(12, 1, 4).float()
    net, twin = fresh(), fresh()
    for one in x[:6]:
        net.step(one)
    net.save(tmp_path / "net")
    twin.load(tmp_path / "net")
    for one in x[6:]:
        assert torch.equal(net.step(one).scores, twin.step(one).scores)
    for name, value in net.layers.named_buffers():
        assert torch.equal(dict(twin.layers.named_buffers())[name], value)


def test_samples_without_time_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"needs time as the first dimension.*encoder"):
        sh.StreamNet(make().float(), input_shape=(4,))


def test_competition_decides_which_spikes_are_learned_from() -> None:
    layer = make(competition=sh.HardWTA(), init=sh.Positive(8.0))
    x = spikes(1, 5, 4)
    out, seen = layer.observe(x)
    post = layer._post(seen).view(5, 3)
    for t in range(5):
        loudest = int(seen.voltage.view(5, 3)[t].argmax())
        for j in range(3):
            assert post[t, j] == (out[0, t, j] if j == loudest else 0)
    assert out.sum() > post.sum() > 0, "spikes of losers are passed on"


def test_the_threshold_delays_spikes_and_follows_them() -> None:
    part = sh.AdaptiveThreshold(target=0.25, rate=0.1)
    layer, x = make(threshold=part, rate=0.0), spikes(1, 8, 4)
    layer.level.copy_(torch.tensor([0.0, 0.5, 1e9]))
    fired, _, _ = oracle(layer.weight.tolist(), x[0].tolist(), 0.0, level=[0.0, 0.5, 1e9])
    out, seen = layer.observe(x)
    assert out[0].tolist() == fired
    assert sum(row[2] for row in fired) == 0
    layer.learn(seen)
    for j, start in enumerate([0.0, 0.5]):
        moved = 0.1 * sum(row[j] - 0.25 for row in fired)
        assert layer.level[j].item() == pytest.approx(start + moved)


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize(
    "parts", [{}, {"competition": sh.HardWTA()}, {"threshold": sh.AdaptiveThreshold(0.1)}], ids=repr
)
def test_spiking_layers_keep_their_promises(carry: bool, parts: dict[str, Any]) -> None:
    check_layer(make(carry=carry, **parts).float(), (3, 4))
    conv = sh.Conv2d(2, 4, 3, rule=Traced(), neuron=Integrator(), carry=carry, **parts)
    check_layer(conv, (3, 2, 5, 5))


def test_rate_rules_learn_from_spikes_too() -> None:
    for rule in (sh.Hebb(), sh.Oja(), sh.SoftHebb()):
        layer = make(init=sh.Positive(8.0)).float()
        layer = sh.Dense(4, 3, rule=rule, neuron=Integrator(), init=sh.Positive(8.0))
        before = layer.weight.clone()
        layer.learn(layer.observe(spikes(2, 5, 4).float())[1])
        assert not torch.equal(layer.weight, before)
