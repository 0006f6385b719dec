"""Synthetic twins: like their data sets from outside, the same on every machine, learnable."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import open_source, twin, twin_names
from streamhebb.spec import default_net

# shape, classes, splits: as the data sets have them
KINDS = {
    "mnist": ((1, 28, 28), 10, ("train", "test")),
    "fashion-mnist": ((1, 28, 28), 10, ("train", "test")),
    "cifar10": ((3, 32, 32), 10, ("train", "test")),
    "cifar100": ((3, 32, 32), 100, ("train", "test")),
    "stl10": ((3, 96, 96), 10, ("train", "test", "unlabeled", "train+unlabeled")),
    "imagenette": ((3, 160, 160), 10, ("train", "val")),
    "imagenet": ((3, 160, 160), 1000, ("train", "val")),
}


def test_every_data_set_that_has_files_has_a_twin():
    assert twin_names() == tuple(f"{name}-twin" for name in KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_like_its_data_set(name):
    shape, classes, splits = KINDS[name]
    for split in splits:
        source = twin(name, split, rows=12)
        assert (source.shape, source.x.dtype, len(source)) == (shape, np.uint8, 12)
        assert source.classes == tuple(range(classes))
        assert source.name == f"{name}-twin/{split}"
        assert all(type(label) in (int, type(None)) for label in source.y)
        assert source.x.max() > 100
    with pytest.raises(ConfigError, match=splits[-1].replace("+", r"\+")):
        twin(name, "valid")


def test_labels_are_missing_where_they_are():
    assert twin("stl10", "unlabeled", rows=5).y == [None] * 5
    both = twin("stl10", "train+unlabeled", rows=6).y
    assert None not in both[:3]
    assert both[3:] == [None] * 3


# If these change, figures that were measured on twins can no longer be compared.
SUMS = {
    "mnist": "d3eeb5882f48",
    "cifar10": "fc46e9fc3e20",
    "stl10": "d4b0da53508b",
}


@pytest.mark.parametrize("name", SUMS)
def test_the_same_bytes_everywhere(name):
    source = twin(name, rows=10)
    content = source.x.tobytes() + bytes(source.y)
    assert hashlib.sha256(content).hexdigest()[:12] == SUMS[name]


def test_splits_share_their_classes_and_no_sample():
    train, test = twin("cifar10", rows=200), twin("cifar10", "test", rows=200)
    assert not {row.tobytes() for row in train.x} & {row.tobytes() for row in test.x}
    mean = lambda source, label: source.x[np.array(source.y) == label].mean(0)  # noqa: E731
    own = np.abs(mean(train, 3) - mean(test, 3)).mean()
    other = np.abs(mean(train, 3) - mean(test, 5)).mean()
    assert own < other / 2


def test_classes_are_even_and_mixed():
    source = twin("cifar10")
    assert set(np.bincount(source.y)) == {100}
    assert len(set(source.y[:10])) > 4


def test_a_size_where_there_is_one():
    assert twin("imagenette", size=64, rows=2).shape == (3, 64, 64)
    with pytest.raises(ConfigError, match="its own size"):
        twin("cifar10", size=64)
    with pytest.raises(SourceError, match="fewer rows"):
        twin("imagenet", size=8000, rows=100_000)


def test_by_name():
    source = open_source("CIFAR10-twin", seed=None, limit=5)
    assert [s.target for s in source] == twin("cifar10").y[:5]
    assert open_source("stl10_twin", split="unlabeled").y[0] is None
    assert open_source("imagenette-twin", size=(32, 32), limit=3).shape == (3, 32, 32)
    ids = [s.id for s in open_source("mnist-twin", seed=4, epochs=2, start=3, limit=9)]
    assert ids == [s.id for s in twin("mnist", seed=4, epochs=2)][3:9]
    with pytest.raises(ConfigError, match="leave out size"):
        open_source("cifar10-twin", size=(8, 8))
    with pytest.raises(SourceError, match="Did you mean 'cifar10-twin'"):
        open_source("cifar10-twn")
    with pytest.raises(ConfigError, match=r"did you mean cifar10-twin\?"):
        twin("cifar-10")


def test_it_gets_the_net_of_its_data_set():
    from streamhebb.run.job import _default_net

    assert _default_net("CIFAR10-twin") == default_net("cifar10") == "cifar10"
