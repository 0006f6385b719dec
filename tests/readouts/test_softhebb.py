"""SoftHebbReadout against scalar loops, its local memory, and classes that appear late."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamhebb as sh
from streamhebb.errors import ConfigError
from streamhebb.parts import State
from tests import oracles

numbers = st.floats(-3, 3).map(lambda v: round(v, 3))
steps = st.lists(
    st.lists(st.tuples(st.lists(numbers, min_size=3, max_size=3), st.sampled_from("abc")),
             min_size=1, max_size=4),
    min_size=1, max_size=6,
)  # fmt: skip


class Oracle:
    """One clamped neuron a class: Moraitis et al. 2022 with y = one-hot of the label."""

    def __init__(self, scaling: str, memory: float, rate: Any) -> None:
        self.scaling, self.memory, self.rate = scaling, memory, rate
        self.labels: list[str] = []
        self.w: list[list[float]] = []
        self.history: list[list[list[float]]] = []  # changes of each class, when it occurred
        self.updates = 0

    def scores(self, x: list[float]) -> list[float]:
        return oracles.drive([x], self.w)[0] if self.w else []

    def learn(self, batch: list[tuple[list[float], str]]) -> None:
        for _, label in batch:
            if label not in self.labels:
                self.labels.append(label)
                self.w.append([0.0] * 3)
                self.history.append([])
        x = [row for row, _ in batch]
        u = oracles.drive(x, self.w)
        y = [[float(label == own) for own in self.labels] for _, label in batch]
        dw = oracles.softhebb(x, y, u, self.w)
        c = [1.0] * len(dw)
        if self.scaling == "layer":
            c = oracles.layer_max(dw)
        for j, change in enumerate(dw):
            if self.scaling == "rms" and any(row[j] for row in y):
                self.history[j].append(change)
                # a floor of tiny squares keeps a change of exactly 0 from being divided by 0
                c[j] = oracles.neuron_rms([[h] for h in self.history[j]], self.memory)[0] + 1e-150
        radius = oracles.radius(self.w)
        for j, change in enumerate(dw):
            eta = self.rate(radius[j], self.updates)
            for i, value in enumerate(change):
                self.w[j][i] += eta * value / c[j]
        self.updates += 1


KINDS: list[tuple[dict[str, Any], tuple[str, float, Any]]] = [
    ({}, ("rms", 100, lambda r, s: oracles.norm_rate(0.01, 0.5, r))),
    (
        {"scaling": sh.NeuronRMS(2), "rate": sh.NormRate(0.1, 0.2)},
        ("rms", 2, lambda r, s: oracles.norm_rate(0.1, 0.2, r)),
    ),
    (
        {"scaling": sh.LayerMax(), "rate": sh.LinearDecay(0.2, 5)},
        ("layer", 0, lambda r, s: oracles.linear_decay(0.2, 5, s)),
    ),
    ({"scaling": sh.NoScaling(), "rate": 0.03}, ("none", 0, lambda r, s: 0.03)),
]


@pytest.mark.parametrize(("settings", "wanted"), KINDS, ids=["default", "rms", "layer", "none"])
@given(stream=steps)
def test_equals_the_scalar_loops(settings: Any, wanted: Any, stream: Any) -> None:
    readout, oracle = sh.SoftHebbReadout(3, **settings).double(), Oracle(*wanted)
    for batch in stream:
        x = torch.tensor([row for row, _ in batch], dtype=torch.float64)
        scores, seen = readout.observe(x)
        for row, (values, _) in zip(scores.tolist(), batch, strict=True):
            assert row == pytest.approx(oracle.scores(values), rel=1e-9, abs=1e-9)
        readout.learn(seen, [label for _, label in batch])
        oracle.learn(batch)
    assert list(readout.labels) == oracle.labels
    found = torch.tensor(oracle.w, dtype=torch.float64)
    torch.testing.assert_close(readout.weight, found, rtol=1e-9, atol=1e-9)


def learn(readout: sh.Readout, x: Any, labels: list[Any]) -> None:
    readout.learn(readout.observe(x)[1], labels)


def test_a_class_learns_from_its_own_samples_only() -> None:
    readout = sh.SoftHebbReadout(3, classes=3, init=sh.Positive(5))
    before = copy.deepcopy(dict(readout.named_buffers()))
    learn(readout, torch.rand(4, 3), [1, None, 1, None])
    for name, value in readout.named_buffers():
        if name != "updates":
            assert torch.equal(value[[0, 2]], before[name][[0, 2]]), name
            assert not torch.equal(value[1], before[name][1]), name


def test_weights_become_the_means_of_the_classes_at_length_one() -> None:
    source = torch.Generator().manual_seed(0)
    means = 3 * torch.rand(2, 5, generator=source)
    readout = sh.SoftHebbReadout(5)
    for number in range(600):
        noise = 0.1 * torch.randn(5, generator=source)
        learn(readout, (means[number % 2] + noise)[None], [number % 2])
    torch.testing.assert_close(readout.radius(), torch.ones(2), atol=0.01, rtol=0)
    aligned = torch.cosine_similarity(readout.weight, means)
    assert aligned.min() > 0.995


def test_it_learns_real_digits_in_one_pass() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = x[:900], y[:900]
    readout, right = sh.SoftHebbReadout(64), 0
    for number, (row, label) in enumerate(zip(torch.tensor(x / 16).float(), y, strict=True)):
        scores, seen = readout.observe(row[None])
        if number >= len(x) // 2:
            right += readout.labels[int(scores.argmax())] == label
        readout.learn(seen, [int(label)])
    assert right / (len(x) - len(x) // 2) > 0.8


def test_a_late_class_takes_steps_as_large_as_an_early_one() -> None:
    x = torch.eye(4)
    late, early = sh.SoftHebbReadout(4), sh.SoftHebbReadout(4)
    for _ in range(500):
        learn(late, x[:1], ["a"])
    learn(late, x[1:2], ["b"])
    learn(early, x[1:2], ["b"])
    assert torch.equal(late.weight[1], early.weight[0])


def test_first_weights_depend_on_seed_and_number_not_on_when() -> None:
    def made(seed: int, **more: Any) -> sh.SoftHebbReadout:
        return sh.SoftHebbReadout(6, init=sh.Positive(35), seed=seed, **more)

    whole, growing = made(3, classes=4), made(3)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    for label in range(4):
        growing.add_classes([label])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(whole.weight, growing.weight)
    assert len({tuple(row) for row in whole.weight.tolist()}) == 4
    assert not torch.equal(whole.weight, made(4, classes=4).weight)
    assert 20 < float(whole.radius().mean()) < 50
    # a class that appears with its first sample competes with the weights it was given
    sample = torch.rand(1, 6)
    learn(growing, sample, ["new"])
    fifth = made(3, classes=5)
    learn(fifth, sample, [4])
    torch.testing.assert_close(growing.weight[4], fifth.weight[4])


def test_a_run_goes_on_from_a_snapshot_with_grown_classes(tmp_path: Any) -> None:
    def net() -> sh.StreamNet:
        return sh.StreamNet(sh.Dense(3, 4), readout=sh.SoftHebbReadout(4, init=sh.Positive(3)))

    samples = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    one, other = net(), net()
    for number, x in enumerate(samples[:10]):
        one.step(x, "abcd"[number % 4])
    one.save(tmp_path / "net")
    other.load(tmp_path / "net")
    for number, x in enumerate(samples[10:]):
        a, b = one.step(x, "abcde"[number % 5]), other.step(x, "abcde"[number % 5])
        assert a.prediction == b.prediction
    for (name, a), b in zip(one.named_buffers(), other.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert one.labels == other.labels == tuple("abcde")


def test_a_net_file_may_name_it() -> None:
    from streamhebb import spec

    net = spec.build(
        spec.parse(
            {
                "layers": [{"type": "Dense", "n_out": 3}],
                "readout": {
                    "type": "SoftHebbReadout",
                    "rate": {"type": "LinearDecay", "lr": 0.1, "steps": 9},
                    "scaling": "LayerMax", "init": {"type": "Positive", "radius": 35},
                },
            },
            "here",
        ),
        input_shape=(4,),
    )  # fmt: skip
    assert "not local: LayerMax" in repr(net)
    assert net.step(torch.rand(4), 1).prediction is None
    assert net.step(torch.rand(4), 1).prediction == 1


@dataclass(frozen=True)
class Remembering(sh.LayerMax):
    def init(self, n_out: int) -> State:
        return {"memory": torch.zeros(n_out)}


@dataclass(frozen=True)
class Started(sh.NeuronRMS):
    local: ClassVar[bool] = True

    def init(self, n_out: int) -> State:
        return super().init(n_out) | {"mean_square": torch.full((n_out,), 7.0)}


def test_a_scaling_may_start_from_anything() -> None:
    readout = sh.SoftHebbReadout(2, classes=1, scaling=Started())
    learn(readout, torch.rand(1, 2), [0])
    readout.reset()
    assert readout.scaling_mean_square.tolist() == [7.0]
    assert readout.scaling_age.tolist() == [0.0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": -0.1}, "lr=-0.1"),
        ({"rate": "fast"}, "rate='fast'"),
        ({"scaling": sh.LayerMax}, r"write scaling=LayerMax\(\)"),
        ({"scaling": Remembering()}, "may keep no memory"),
        ({"init": 35}, "init=35"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"classes": 0}, "classes=0"),
    ],
)
def test_settings_out_of_range(settings: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sh.SoftHebbReadout(3, **settings)
