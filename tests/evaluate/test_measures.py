"""Measures of each layer: against the published formulas, written as loops over one number each."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb.evaluate import LayerMeasures, Phase, PhaseEpoch, train_phases
from streamhebb.evaluate.measures import measure_layer
from streamhebb.evaluate.tally import LAST, Tally
from streamhebb.schedule import Threads

# -- radii, weights, bias ----------------------------------------------------------------------


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def std(values: list[float]) -> float:
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


LAYERS: dict[str, Any] = {
    "dense": lambda: sh.Dense(7, 25),
    "dense, p = 3": lambda: sh.Dense(7, 5, norm_p=3.0),
    "convolution": lambda: sh.Conv2d(2, 40, 3),
    "groups": lambda: sh.Conv2d(4, 6, 3, groups=2),
    "sparse": lambda: sh.Sparse(9, 5, 4),
    "bias": lambda: sh.Dense(7, 5, bias=sh.PriorBias(gain=0.1)),
    "schedule": lambda: sh.Dense(7, 5, rate=sh.LinearDecay(0.3, 10)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_radii_weights_and_bias(kind: str) -> None:
    torch.manual_seed(1)
    layer = LAYERS[kind]().double()
    if layer.bias is not None:
        layer.prior.normal_()
    found = measure_layer("name", layer, 3)
    rows = layer.weight.reshape(-1, layer.weight.shape[-1]).tolist()
    radii = [sum(abs(v) ** layer.norm_p for v in row) ** (1 / layer.norm_p) for row in rows]
    apart = [abs(r - mean(radii)) for r in radii]
    near = {"rel": 1e-9}
    assert found.name == "name"
    assert found.neurons == len(rows)
    assert found.mean_radius == pytest.approx(mean(radii), **near)
    assert found.std_radius == pytest.approx(std(radii), **near)
    assert found.mean_deviation == pytest.approx(mean(apart), **near)
    assert found.max_deviation == pytest.approx(max(apart), **near)
    assert found.mean_weight == pytest.approx(mean([mean(row) for row in rows]), **near)
    assert found.std_weight == pytest.approx(std([v for row in rows for v in row]), **near)
    if layer.bias is None:
        assert (found.mean_bias, found.std_bias) == (None, None)
    else:
        assert found.mean_bias == pytest.approx(mean(layer.prior.tolist()), **near)
        assert found.std_bias == pytest.approx(std(layer.prior.tolist()), **near)
    assert found.radii == pytest.approx(radii[:3], **near)
    rates = [0.3] * 3 if kind == "schedule" else [
        layer.rate.lr * (abs(r - 1) + 1e-10) ** layer.rate.power for r in radii[:3]
    ]  # fmt: skip
    assert found.rates == pytest.approx(rates, **near)
    assert (found.wins, found.hebbian, found.anti_hebbian) == ((), None, None)


def test_a_single_neuron_is_no_reason_for_nan() -> None:
    found = measure_layer("one", sh.Dense(1, 1), 20)
    assert (found.std_radius, found.std_weight, found.max_deviation) == (0, 0, 0)


# -- winners -----------------------------------------------------------------------------------


def softmax(u: list[float], t: float) -> list[float]:
    top = max(u)
    parts = [math.exp(t * (v - top)) for v in u]
    return [part / sum(parts) for part in parts]


def ranked(u: list[float], rank: int) -> int:
    return sorted(range(len(u)), key=lambda j: -u[j])[rank - 1]


def oracle(kind: str, u: list[float]) -> tuple[list[float], float | None]:
    """What each neuron gets of one competition, and the share of Hebbian learning."""
    win = u.index(max(u))
    hard = [float(j == win) for j in range(len(u))]
    relu = [max(0.0, v) for v in u]
    shared = [v / (sum(relu) or 1) for v in relu]
    match kind:
        case "softkrotov":
            return softmax(u, 0.7), softmax(u, 0.7)[win]
        case "soft":
            return softmax(u, 0.7), None
        case "mode 1" | "mode 2" | "mode 2, no delta":
            return softmax(u, 0.7), 1 - softmax(u, 0.7)[ranked(u, 2)]
        case "relu":
            return shared, shared[win]
    return hard, None


def counted(layer: Any, *batches: Tensor) -> Tally:
    """What is counted where a layer learns from mini-batches, at a rate of 0."""
    tally = Tally(layer)
    layer.rate, layer.watchers = 0.0, (tally,)
    for x in batches:
        layer.learn(layer.observe(x)[1])
    return tally


COMPETITIONS: dict[str, Any] = {
    "softkrotov": sh.SoftWTA(0.7, anti_hebbian=True),
    "soft": sh.SoftWTA(0.7),
    "mode 1": sh.RankedSoftWTA(0.7, rank=2),
    "mode 2": sh.RankedSoftWTA(0.7, rank=2, scaled=False),
    "mode 2, no delta": sh.RankedSoftWTA(0.7, rank=2, delta=0, scaled=False),
    "relu": sh.ShareWTA("relu", anti_hebbian=True),
    "hard": sh.HardWTA(),
    "hardkrotov": sh.RankedHardWTA(rank=2),
    "hardkrotov, no delta": sh.RankedHardWTA(rank=2, delta=0),
    "nobody competes": sh.Independent(),
}


@pytest.mark.parametrize("kind", COMPETITIONS)
@pytest.mark.parametrize("groups", [0, 1, 2])
def test_winners_of_dense_layers_convolutions_and_groups(kind: str, groups: int) -> None:
    torch.manual_seed(3)
    parts: dict[str, Any] = {"competition": COMPETITIONS[kind]}
    layer: Any = sh.Dense(8, 4, **parts)
    if groups:
        layer = sh.Conv2d(2, 8, 2, groups=groups, **parts)
    shape = (8,) if not groups else (2, 4, 4)
    batches = [torch.randn(size, *shape).double() for size in (5, 5, 2)]
    layer = layer.double()
    tally = counted(layer, *batches)

    won, against = [0.0] * layer.n_out, [0] * layer.n_out
    shares: list[float] = []  # of all competitions
    for x in batches:
        out = layer.respond(x)
        pixels = out.movedim(1, -1).reshape(-1, layer.n_out)
        for row in pixels.tolist():
            size = layer.n_out // max(groups, 1)
            for start in range(0, layer.n_out, size):
                activity, share = oracle(kind, row[start : start + size])
                against[start + ranked(row[start : start + size], 2)] += 1
                for j, value in enumerate(activity):
                    won[start + j] += value
                if share is not None:
                    shares.append(share)
    assert tally.won.tolist() == pytest.approx(won, rel=1e-9, abs=1e-12)
    found = measure_layer("x", layer, 3, tally)
    assert found.wins == pytest.approx([100 * w / sum(won) for w in won[:3]], rel=1e-9)
    if hasattr(layer.competition, "rank"):
        assert tally.ranked.tolist() == against
        assert found.ranked == pytest.approx([100 * n / sum(against) for n in against[:3]])
    else:
        assert found.ranked == ()
    if shares:
        assert found.hebbian == pytest.approx(mean(shares), rel=1e-9)
        assert found.anti_hebbian == pytest.approx(1 - mean(shares), rel=1e-9)
    else:
        assert (found.hebbian, found.anti_hebbian) == (None, None)


def test_a_threshold_decides_who_wins() -> None:
    layer: Any = sh.Dense(2, 2, competition=sh.HardWTA(), threshold=sh.AdaptiveThreshold(0.5))
    layer.set_weight(torch.eye(2))
    layer.level.copy_(torch.tensor([5.0, 0.0]))
    tally = counted(layer, torch.tensor([[3.0, 1.0]]))
    assert tally.won.tolist() == [0, 1]


def test_of_spiking_neurons_every_spike_counts() -> None:
    pytest.importorskip("norse")
    torch.manual_seed(0)
    layer: Any = sh.Dense(4, 3, rule=sh.Oja(), neuron=sh.LIF(), rate=0.01)
    out = layer.respond(x := 5 * torch.rand(2, 30, 4))
    tally = counted(layer, x)
    assert out.any()
    assert tally.won.tolist() == out.sum((0, 1)).tolist()


@given(st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6))
def test_soft_shares_are_a_whole(rows: list[list[float]]) -> None:
    layer: Any = sh.Dense(4, 4, competition=sh.SoftWTA(2.0, anti_hebbian=True)).double()
    layer.set_weight(torch.eye(4).double())
    tally = counted(layer, torch.tensor(rows, dtype=torch.float64))
    assert float(tally.won.sum()) == pytest.approx(len(rows))
    assert sum(measure_layer("x", layer, 4, tally).wins) == pytest.approx(100)
    assert tally.hebbian is not None
    assert 1 / 4 - 1e-9 <= tally.hebbian <= 1 + 1e-9


def test_where_nobody_wins_nothing_is_divided_by_zero() -> None:
    layer: Any = sh.Dense(2, 2, competition=sh.ShareWTA("relu"))
    layer.set_weight(-torch.eye(2))
    tally = counted(layer, torch.ones(1, 2))
    assert measure_layer("x", layer, 2, tally).wins == (0, 0)


# -- in the reports ----------------------------------------------------------------------------


def net(soft: bool = False, **parts: Any) -> sh.StreamNet:
    last = None if soft else sh.HardWTA()
    return sh.StreamNet(
        sh.BatchNorm(2), sh.Conv2d(2, 40, 3, rate=sh.NormRate(0.01), **parts), sh.Triangle(),
        sh.Flatten(), sh.Dense(360, 25, competition=last, rate=sh.NormRate(0.01)),
        readout=sh.SoftHebbReadout(classes=3), input_shape=(2, 5, 5), seed=2,
    )  # fmt: skip


def data(count: int = 48) -> tuple[Tensor, list[int]]:
    source = torch.Generator().manual_seed(0)
    return torch.randn(count, 2, 5, 5, generator=source), [n % 3 for n in range(count)]


def test_every_mini_batch_counts_and_the_share_is_about_the_last_ones() -> None:
    (x, y), phase = data(), Phase((0, 1), epochs=4, batch_size=4, shuffle=False)
    reports = train_phases(one := net(soft=True), phase, (x, y), report_every=2)
    assert [report.epoch for report in reports] == [1, 2, 4]

    twin = net(soft=True)
    layers: Any = twin.layers
    won, shares = [torch.zeros(40), torch.zeros(25)], [[], []]  # type: ignore[var-annotated]
    for epoch in range(1, 5):
        for part in x.split(4):
            kept = []
            for layer in layers:
                before, (part, seen) = part, layer.observe(part)
                kept.append((layer, seen))
                if isinstance(layer, sh.Conv2d | sh.Dense):
                    n = int(isinstance(layer, sh.Dense))
                    drive = layer.respond(before)
                    soft = (drive if n else drive.movedim(1, -1).flatten(0, -2)).softmax(-1)
                    won[n] += soft.sum(0)
                    shares[n].append(float(soft.amax(-1).mean()))
            for layer, seen in kept:
                if layer.learns:
                    layer.learn(seen)
        if epoch == 3:
            continue
        report = reports[[1, 2, 4].index(epoch)]
        since = {1: 12, 2: 12, 4: 24}[epoch]
        for n, last in enumerate((LAST, since)):
            found, whole = report.layers[n], 100 * won[n] / won[n].sum()
            assert found.wins == pytest.approx(whole[: len(found.wins)].tolist(), rel=1e-5)
            assert found.hebbian == pytest.approx(mean(shares[n][-last:]), rel=1e-5)
    for (name, a), b in zip(one.named_buffers(), twin.buffers(), strict=True):
        if "counts" not in name:
            assert torch.equal(a, b), name


def test_later_phases_count_on() -> None:
    phase, (x, y) = Phase((0,), batch_size=4), data()
    apart = [Tally(net().layers[1]) for _ in range(2)]  # type: ignore[arg-type]
    one = net()
    layer: Any = one.layers[1]
    for tally in apart:
        layer.watchers = (tally,)
        train_phases(one, phase, (x, y))
        assert layer.watchers == (tally,), "only its own is taken away"
    reports = train_phases(net(), [phase, phase], (x, y))
    both = apart[0].won + apart[1].won
    assert reports[1].layers[0].wins == pytest.approx((100 * both / both.sum()).tolist()[:30])
    assert reports[0].layers[0].wins != reports[1].layers[0].wins


def test_what_is_raised_leaves_nobody_watching() -> None:
    one, (x, y) = net(), data()

    def stop(seen: Any, post: Tensor) -> None:
        raise KeyboardInterrupt

    layer: Any = one.layers[1]
    layer.watchers = (stop,)
    with pytest.raises(KeyboardInterrupt):
        train_phases(one, Phase((0,), batch_size=4), (x, y))
    assert layer.watchers == (stop,)


@pytest.mark.parametrize("competition", [sh.RankedHardWTA(rank=2), None])
def test_what_was_counted_goes_on_after_a_resume(competition: Any, tmp_path: Path) -> None:
    parts: dict[str, Any] = {"competition": competition, "soft": competition is None}
    phase = [Phase((0, 1), epochs=2, batch_size=20), Phase((0,), batch_size=4)]
    whole = train_phases(net(**parts), phase, data())
    call: dict[str, Any] = {"progress": tmp_path / "progress.safetensors"}

    def stop(report: PhaseEpoch) -> None:
        raise KeyboardInterrupt

    for _ in range(2):  # within a phase, and between two
        with pytest.raises(KeyboardInterrupt):
            train_phases(net(**parts), phase, data(), on_epoch=stop, **call)
    again = train_phases(net(**parts), phase, data(), **call)
    assert [each.layers for each in again] == [each.layers for each in whole]
    first, second, third = (each.layers[0] for each in whole)
    assert len({first.wins, second.wins, third.wins}) == 3
    assert len(first.ranked) == (0 if competition is None else 30)
    assert whole[0].layers[1].ranked == whole[2].layers[1].wins == ()


def test_reports_name_every_hebbian_layer_and_who_learned() -> None:
    one, (x, y) = net(), data()
    (report,) = train_phases(one, Phase((0,), batch_size=4), (x, y))
    first, second, readout = report.layers
    assert [layer.name for layer in report.layers] == ["1:Conv2d", "4:Dense", "readout"]
    assert (len(first.radii), len(second.radii), len(readout.radii)) == (30, 20, 3)
    assert (len(first.rates), len(second.rates), len(readout.rates)) == (30, 20, 3)
    assert (len(first.wins), len(second.wins), len(readout.wins)) == (30, 0, 0)
    assert first.hebbian is not None
    assert second.hebbian is None
    radii = [one.layers[1].radius(), one.layers[4].radius(), one.readout.radius()]
    assert [layer.mean_radius for layer in report.layers] == [float(r.mean()) for r in radii]
    assert PhaseEpoch.of(json.loads(json.dumps(dataclasses.asdict(report)))) == report
    assert isinstance(report.layers[0], LayerMeasures)


@pytest.mark.parametrize("blocks", [(0, 1), (0, 1, 2)])
def test_counting_changes_nothing_and_lanes_do_not_matter(
    blocks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from streamhebb.evaluate.trainer import Trainer

    phase, found = Phase(blocks, epochs=2, batch_size=5, dropout=0.3), []
    for scheduler in (None, Threads(2)):
        one = net()
        reports = train_phases(one, phase, data(), scheduler=scheduler)
        found.append((one, [report.layers for report in reports]))
        if scheduler is not None:
            scheduler.close()
    monkeypatch.setattr(Trainer, "_counted", lambda self, phase: {})
    silent = net()
    train_phases(silent, phase, data())
    for (name, a), b, c in zip(
        silent.named_buffers(), found[0][0].buffers(), found[1][0].buffers(), strict=True
    ):
        assert torch.equal(a, b), name
        assert torch.equal(a, c), name
    assert found[0][1] == found[1][1]
