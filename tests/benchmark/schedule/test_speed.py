from __future__ import annotations

from pathlib import Path

import torch

from streamhebb import Dense, StreamNet
from streamhebb.benchmark.schedule import speed
from streamhebb.layers import Flatten, L2Norm


def tiny() -> StreamNet:
    layers = Flatten(), Dense(12, 5), L2Norm(), Dense(5, 3)
    return StreamNet(*layers, input_shape=(3, 2, 2), seed=0)


def test_three_ways_learn_the_same(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    found = speed.compare(2, busy=1, rounds=2, steps=2, make=tiny, shape=(3, 2, 2))
    assert torch.get_num_threads() == before
    ways = ["Serial", "Serial, OpenMP 2", "Threads(2)"]
    assert [(row.way, row.busy) for row in found] == [(w, b) for b in (0, 1) for w in ways]
    assert [row.threads for row in found] == [1, 2, 2] * 2
    assert all(row.ms > 0 and row.lowest <= row.times <= row.highest for row in found)
    assert all(row.times == 1 for row in found if row.way == "Serial")
    assert all(row.same_bits for row in found if row.way != "Serial, OpenMP 2")
    assert speed.draw(found, tmp_path / "a" / "speed.png").read_bytes()[1:4] == b"PNG"


def test_a_quiet_machine_only() -> None:
    found = speed.compare(1, rounds=1, steps=1, make=tiny, shape=(3, 2, 2))
    assert {row.busy for row in found} == {0}
    assert {row.batch for row in found} == {1}


def test_other_bits_are_noticed() -> None:
    one, other = tiny(), tiny()
    assert speed.same_bits(one, other)
    other.step(torch.rand(3, 2, 2))
    assert not speed.same_bits(one, other)


def test_the_net_is_the_published_one() -> None:
    net = speed.published()
    assert [layer.n_out for layer in net.layers if hasattr(layer, "n_out")] == [96, 384, 1536]
    assert net.readout is None


def test_neighbouring_pixels_of_the_images_are_alike() -> None:
    images = speed.natural_like(4, (3, 32, 32))
    assert images.shape == (4, 3, 32, 32)
    assert images.flatten(1).amin(1).tolist() == [0.0] * 4
    assert images.flatten(1).amax(1).tolist() == [1.0] * 4
    here, beside = images[..., :-1].flatten(), images[..., 1:].flatten()
    assert torch.corrcoef(torch.stack([here, beside]))[0, 1] > 0.7
    assert torch.equal(images, speed.natural_like(4, (3, 32, 32)))
    assert not torch.equal(images, speed.natural_like(4, (3, 32, 32), seed=1))
