from __future__ import annotations

from pathlib import Path

import pytest
import torch

from streamhebb import Dense, Sample, StreamNet
from streamhebb.benchmark.schedule import orders, small
from streamhebb.layers import Flatten
from streamhebb.readouts import RLSReadout


def tiny(seed: int) -> StreamNet:
    layers = Flatten(), Dense(8, 6, rate=0.02), Dense(6, 4, rate=0.02)
    return StreamNet(*layers, readout=RLSReadout(4), input_shape=(2, 4), seed=seed)


def data(count: int = 30) -> small.Data:
    """Two classes apart in their mean."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (count,), generator=chance)
    xs = torch.rand(count, 2, 4, generator=chance)
    xs[:, 0] += labels[:, None]
    stream = [Sample(x, target=int(label)) for x, label in zip(xs, labels, strict=True)]
    return small.Data("made up", stream, xs, labels.tolist())


def test_all_ways_learn_all_samples(tmp_path: Path) -> None:
    found = list(orders.compare(data(), 3, make=tiny))
    assert [row.way for row in found] == [way.name for way in orders.WAYS]
    by_way = {row.way: row for row in found}
    for row in found:
        assert (row.data, row.seed, row.samples) == ("made up", 3, 30)
        assert 0.5 < row.test <= 1
        assert 0.3 < row.prequential < 1
        assert row.per_second > 0
    assert by_way["in order"].most == by_way["in order"].behind == 0
    for name, most in (("Stale(1)", 1), ("Stale(4)", 4), ("Hogwild(4)", 3)):
        assert by_way[name].most <= most
        assert by_way[f"{name}, at worst"].most == most
        assert 0 < by_way[f"{name}, at worst"].behind <= most
    assert by_way["Multirate(8)"].most == 7
    assert by_way["Multirate(8, when_idle)"].paced == pytest.approx(
        orders.PACE * by_way["in order"].per_second
    )
    assert by_way["Multirate(8)"].paced is None
    picture = orders.draw(found, tmp_path / "deep" / "orders.png")
    assert picture.read_bytes()[1:4] == b"PNG"


def test_layers_that_never_learn_keep_their_weights() -> None:
    never, always = tiny(0), tiny(0)
    first = never.layers[1].weight.clone()
    ways = {way.name: way for way in orders.WAYS}
    orders.run(ways["layers never learn"], data(), never)
    orders.run(ways["in order"], data(), always)
    assert torch.equal(never.layers[1].weight, first)
    assert not torch.equal(always.layers[1].weight, first)


@pytest.mark.parametrize(("name", "stages"), [("mnist", 2), ("cifar10", 3)])
def test_small_nets_fit_their_data(name: str, stages: int, data_dir: Path) -> None:
    loaded = small.load(name, seed=1, samples=3, tested=2)
    assert (len(loaded.stream), len(loaded.test), len(loaded.wanted)) == (3, 2, 2)
    net = small.NETS[name](1)
    assert len(net.planner.stages) == stages
    row = orders.run(orders.WAYS[0], loaded, net)
    assert row.samples == 3
    assert loaded.test.max() <= 1
