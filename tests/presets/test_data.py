"""Data settings: those published, and what cannot be one."""

from __future__ import annotations

import pytest

from streamhebb import presets
from streamhebb.errors import ConfigError
from streamhebb.presets import DataSettings, data_names, data_pair, data_settings

# softhebb-reference, section 3.3, a row of every kind:
# name, epochs, batch, samples, shape, classes, augment, report_every, more
ROWS = [
    ("MNIST", 100, 64, 60000, (1, 28, 28), 10, "", 50, {}),
    ("MNIST_100aug", 100, 64, 60000, (1, 28, 28), 10, "noise", 50, {"noise": 1.0}),
    ("MNIST_1-10", 1, 5, 60000, (1, 28, 28), 10, "", 1, {}),
    ("MNIST_1c", 2, 64, 59000, (1, 28, 28), 10, "", 1, {"only": (1,)}),
    ("FashionMNIST", 100, 64, 60000, (1, 28, 28), 10, "", 50, {"source": "fashion-mnist"}),
    ("CIFAR10_1", 1, 10, 50000, (3, 32, 32), 10, "", 10, {}),
    ("CIFAR10_50", 50, 64, 50000, (3, 32, 32), 10, "", 10, {"mean": ()}),
    ("CIFAR10_1c3", 10, 64, 5000, (3, 32, 32), 10, "", 10, {"only": (3,)}),
    ("CIFAR10_2p", 250, 10, 1000, (3, 32, 32), 10, "crop-flip", 50, {}),
    ("CIFAR10_1zca", 1, 32, 50000, (3, 32, 32), 10, "", 10, {"zca": True}),
    ("CIFAR100_20", 20, 32, 50000, (3, 32, 32), 100, "", 10, {}),
    ("CIFAR100_100zca", 100, 64, 50000, (3, 32, 32), 100, "", 10, {"zca": True}),
    ("STL10_100aug", 100, 64, 5000, (3, 96, 96), 10, "crop-flip", 10, {"test": "test"}),
    ("STL10_unlabel", 1, 32, 100000, (3, 96, 96), 10, "", 25, {"split": "unlabeled"}),
    ("STL10_train+unlabel", 50, 32, 105000, (3, 96, 96), 10, "crop-flip", 25,
     {"split": "train+unlabeled"}),
    ("ImageNet_1160", 1, 10, 128116, (3, 160, 160), 1000, "resized-crop-flip", 10,
     {"std": (0.229, 0.224, 0.225)}),
    ("ImageNet", 100, 100, 1281167, (3, 256, 256), 1000, "", 10, {"test": "val"}),
    ("ImageNette_1", 1, 10, 9469, (3, 160, 160), 10, "", 10, {"mean": (0.485, 0.456, 0.406)}),
    ("ImageNette_200aug+250px", 200, 32, 9469, (3, 250, 250), 10, "resized-crop-flip", 50, {}),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_published_settings(row):
    name, epochs, batch, samples, shape, classes, augment, report, more = row
    found = data_settings(name)
    assert (found.epochs, found.batch_size, found.samples) == (epochs, batch, samples)
    assert (found.shape, found.classes, found.augment) == (shape, classes, augment)
    assert (found.report_every, found.seed, found.held_out) == (report, 0, 0.2)
    assert {key: getattr(found, key) for key in more} == more
    assert found.steps == epochs * samples / batch
    phase = found.phase(dropout=0.5)
    assert (phase.epochs, phase.batch_size, phase.dropout) == (epochs, batch, 0.5)


def test_all_published_sets_and_runs_are_there():
    runs: dict[str, int] = {}
    for name in data_names():
        kind = name.partition("_")[0]
        runs[kind] = runs.get(kind, 0) + 1
    ours = {"MNIST": 6, "FashionMNIST": 10}
    assert {kind: count - ours.get(kind, 0) for kind, count in runs.items()} == {
        "MNIST": 12, "FashionMNIST": 1, "CIFAR10": 34, "CIFAR100": 23, "STL10": 12,
        "ImageNet": 6, "ImageNette": 11,
    }  # fmt: skip


def test_only_what_is_whitened_and_imagenet_is_normalised():
    for name in data_names():
        found = data_settings(name)
        assert bool(found.mean) == (found.zca or found.source.startswith("imagen")), name


def test_pairs_are_the_published_ones():
    # commands of the published notes; published-results, section 1.5
    assert data_pair("cifar10") == ("CIFAR10_1", "CIFAR10_50")
    assert data_pair("STL10") == ("STL10_unlabel", "STL10_100aug")
    assert data_pair("imagenet") == ("ImageNet_1160", "ImageNet_200aug160")
    for name in ("mnist", "cifar100", "imagenette"):
        shapes = {data_settings(each).shape for each in data_pair(name)}
        assert len(shapes) == 1
    with pytest.raises(ConfigError, match="cifar10 or cifar100"):
        data_pair("cifar")


@pytest.mark.parametrize(
    ("name", "said"),
    [("CIFAR10_51", "CIFAR10_50"), ("stl10_unlab", "STL10_unlabel"), ("svhn", "presets data")],
)
def test_a_mistake_is_refused_with_near_names(name, said):
    with pytest.raises(ConfigError, match=said):
        data_settings(name)


def test_settings_with_some_replaced():
    found = data_settings("CIFAR10_50").but(epochs=2, source="digits", shape=(1, 8, 8))
    assert (found.name, found.epochs, found.shape) == ("CIFAR10_50", 2, (1, 8, 8))
    with pytest.raises(ConfigError, match=r"CIFAR10_50: epohcs.*there are name, source"):
        data_settings("CIFAR10_50").but(epohcs=2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "epochs: .*greater than or equal to 1"),
        ({"shape": (3, 32)}, "shape"),
        ({"augment": "mixup"}, "augment: .*'noise', 'crop-flip'"),
        ({"mean": (0.5,), "std": (0.5,)}, "one number for each of 3 channels"),
        ({"mean": (0.5, 0.5, 0.5)}, "go together"),
        ({"mean": (0.5,) * 3, "std": (0.0,) * 3}, "std is above 0"),
        ({"held_out": 1.0}, "held_out"),
    ],
)
def test_what_cannot_be_settings(values, said):
    with pytest.raises(ConfigError, match=said):
        data_settings("CIFAR10_50").but(**values)


def test_one_line_about_settings():
    line = presets.describe_data(data_settings("MNIST_1c"))
    assert line == "mnist/train: 2 epochs of 59000 in batches of 64, classes 1"
    assert presets.describe_data(data_settings("CIFAR10_zca1")).endswith("ZCA")
    assert isinstance(data_settings("MNIST"), DataSettings)
