"""Data as published runs see them, from files, twins and folders."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from streamhebb import presets
from streamhebb.errors import ConfigError, SourceError
from streamhebb.evaluate import linear_probe, train_phases
from streamhebb.presets import data_settings, load_data, prepare
from streamhebb.sources import ArraySource, CropFlip, Noise, ResizedCropFlip, twin
from streamhebb.sources.imagenets import IMAGENETTE_NAMES
from streamhebb.sources.whiten import ZCA


def rows_of(pictures: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in pictures}


def test_pixels_are_divided_by_255_and_nothing_else():
    data = load_data("CIFAR10_50", twin=True)
    source = twin("cifar10")
    assert torch.equal(data.x, torch.from_numpy(source.x.astype(np.float32)) / 255)
    assert data.y == source.y
    assert data.x.dtype == torch.float32
    assert data.y_test == twin("cifar10", "test").y
    assert (data.augment, data.inexact, data.class_names[0]) == (None, (), "airplane")
    assert data.train == (data.x, data.y)
    assert data.exact_test == data.test


def test_imagenet_is_normalised():
    settings = data_settings("ImageNette_1").but(shape=(3, 16, 16))
    data = load_data(settings, twin=True)
    x = torch.from_numpy(twin("imagenette", size=16).x.astype(np.float64)) / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in
                 ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip
    torch.testing.assert_close(data.x.double(), (x - mean) / std, atol=1e-6, rtol=1e-5)
    assert data.x.shape[1:] == data.x_test.shape[1:] == (3, 16, 16)


def test_samples_are_drawn_by_the_seed():
    settings = data_settings("CIFAR10_1p").but(samples=50)
    one, same, other = (load_data(settings, twin=True, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.x, same.x)
    assert len(one.x) == 50
    assert not torch.equal(one.x, other.x)
    everything = rows_of(load_data("CIFAR10", twin=True).x)
    assert rows_of(one.x) < everything
    fewer = load_data(settings, twin=True, seed=1, samples=20, tested=30)
    assert rows_of(fewer.x) < rows_of(one.x), "fewer are the first of those drawn"
    assert len(fewer.y_test) == 30


def test_labels_stay_with_their_samples():
    data = load_data(data_settings("CIFAR10_1p").but(samples=60), twin=True, tested=40)
    whole = load_data("CIFAR10", twin=True)
    label = {row.numpy().tobytes(): y for row, y in zip(whole.x, whole.y, strict=True)}
    assert [label[row.numpy().tobytes()] for row in data.x] == data.y


def test_only_some_classes():
    data = load_data("CIFAR10_1c3", twin=True)
    assert set(data.y) == {3}
    assert len(data.y) == 100, "as many as there are, if fewer than asked for"
    assert set(data.y_test) == set(range(10))
    with pytest.raises(ConfigError, match="no samples of the classes"):
        load_data(data_settings("CIFAR10").but(only=(12,)), twin=True)


def test_validation_is_a_fifth_of_the_training_samples():
    plain = load_data("CIFAR10_1p", twin=True)
    split = load_data("CIFAR10_1p", twin=True, validation=True)
    assert (len(plain.y), len(split.y), len(split.y_test)) == (500, 400, 100)
    assert rows_of(split.x) | rows_of(split.x_test) == rows_of(plain.x)
    assert not rows_of(split.x) & rows_of(split.x_test)
    again = load_data("CIFAR10_1p", twin=True, validation=True)
    assert torch.equal(again.x_test, split.x_test)
    with pytest.raises(ConfigError, match="4 samples cannot be split"):
        load_data("CIFAR10_1p", twin=True, validation=True, samples=4)


def test_what_changes_mini_batches():
    kinds = [load_data(name, twin=True, samples=2, tested=1).augment
             for name in ("CIFAR10_5p", "MNIST_100aug", "MNIST_1aug", "STL10")]  # fmt: skip
    assert isinstance(kinds[0], CropFlip)
    assert isinstance(kinds[1], Noise)
    assert kinds[1].std == 1
    assert kinds[2:] == [None, None], "published: noise of standard deviation 0"
    found = load_data(data_settings("ImageNette_100aug").but(shape=(3, 16, 16)), twin=True)
    assert isinstance(found.augment, ResizedCropFlip)


def test_unlabelled_samples():
    data = load_data("STL10_unlabel", twin=True, samples=10, tested=5)
    assert data.y == [None] * 10
    assert None not in data.y_test


def test_pictures_in_folders(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("STREAMHEBB_DATA", str(tmp_path))
    monkeypatch.setattr("streamhebb.sources.imagenets.IMAGENETTE_ROWS", {"train": 20, "val": 10})
    for part, each in (("train", 2), ("val", 1)):
        for number, name in enumerate(IMAGENETTE_NAMES):
            folder = tmp_path / "imagenette2-160" / part / name
            folder.mkdir(parents=True)
            for n in range(each):
                image.new("RGB", (40, 30), (20 * number, 100 * n, 0)).save(folder / f"{n}.png")
    settings = data_settings("ImageNette_1").but(shape=(3, 16, 16))
    data = load_data(settings, samples=15, download=False)
    assert (data.x.shape, data.x_test.shape) == ((15, 3, 16, 16), (10, 3, 16, 16))
    red = data.x[:, 0, 0, 0] * 0.229 + 0.485
    assert torch.allclose(red, torch.tensor(data.y) * 20 / 255, atol=1e-6)
    assert data.y_test == list(range(10))
    assert data.class_names[9] == "parachute"
    with pytest.raises(ConfigError, match="10 classes.*12"):
        load_data(settings.but(classes=12), download=False)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A CIFAR-10 of 4 x 4 pixels with known content, and a cache folder of its own."""
    chance = np.random.RandomState(0)

    def open_source(name, *, split, seed, download):
        assert (name, seed, download) == ("cifar10", None, True)
        rows = 90 if split == "train" else 30
        x = chance.randint(0, 256, (rows, 3, 4, 4)).astype(np.uint8)
        return ArraySource(x, np.arange(rows) % 10, name=f"{name}/{split}", classes=range(10),
                           inexact=(1, 5) if split == "test" else (0, 2))  # fmt: skip

    monkeypatch.setattr("streamhebb.presets.prepare.open_source", open_source)
    monkeypatch.setattr("streamhebb.presets.prepare.cache_folder", lambda: tmp_path / "cache")

    def reset():
        nonlocal chance
        chance = np.random.RandomState(0)

    return data_settings("CIFAR10_zca").but(shape=(3, 4, 4)), reset, tmp_path / "cache"


def test_rows_that_are_not_exact_are_named(tiny):
    settings, reset, _ = tiny
    data = load_data(settings.but(zca=False))
    assert data.inexact == (1, 5)
    x, y = data.exact_test
    assert len(x) == len(y) == 28
    assert y == [label for row, label in enumerate(data.y_test) if row not in (1, 5)]
    assert not rows_of(data.x_test[[1, 5]]) & rows_of(x)
    reset()
    few = load_data(settings.but(zca=False), tested=15)
    wrong = rows_of(data.x_test[[1, 5]])
    assert {row for row in range(15) if few.x_test[row].numpy().tobytes() in wrong} == set(
        few.inexact
    )
    reset()
    whole = load_data(settings.but(zca=False))
    reset()
    own = load_data(settings.but(zca=False), validation=True)
    wrong = rows_of(whole.x[[0, 2]])
    assert rows_of(own.x_test[list(own.inexact)]) == wrong & rows_of(own.x_test)


def test_whitening_is_fitted_to_the_training_split_and_kept(tiny, monkeypatch):
    settings, reset, cache = tiny
    fits = []
    fit = ZCA.fit.__func__
    monkeypatch.setattr(ZCA, "fit", classmethod(lambda cls, *a: fits.append(a) or fit(cls, *a)))
    data = load_data(settings, samples=20)
    # softhebb-reference, section 3.3: U diag(1 / sqrt(s + 0.1)) U^T of the whole training set,
    # standardised by the channel constants; the same matrix for the test set.
    reset()
    chance = np.random.RandomState(0)
    train = chance.randint(0, 256, (90, 3, 4, 4)).astype(np.uint8) / 255
    test = chance.randint(0, 256, (30, 3, 4, 4)).astype(np.uint8) / 255
    mean, std = (np.array(v).reshape(3, 1, 1) for v in (settings.mean, settings.std))
    flat, flat_test = (((x - mean) / std).reshape(len(x), -1) for x in (train, test))
    size, along = np.linalg.eigh(np.cov(flat, rowvar=False))
    matrix = along @ np.diag((size + 0.1) ** -0.5) @ along.T
    wanted = (flat_test @ matrix).reshape(test.shape)
    np.testing.assert_allclose(data.x_test.numpy(), wanted, atol=2e-5)
    assert len(data.x) == 20
    assert (len(fits), len(list(cache.glob("zca-cifar10-*.npy")))) == (1, 1)
    reset()
    again = load_data(settings, samples=20)
    assert len(fits) == 1, "it is read from the cache"
    assert torch.equal(again.x_test, data.x_test)
    (kept,) = cache.glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-1])
    reset()
    assert torch.equal(load_data(settings, samples=20).x_test, data.x_test)
    assert len(fits) == 2, "a truncated file is no matrix"


def test_a_set_of_another_shape_or_with_other_classes_is_refused():
    with pytest.raises(ConfigError, match=r"\(3, 32, 32\).*but\(shape"):
        load_data(data_settings("CIFAR10").but(shape=(3, 16, 16)), twin=True)
    with pytest.raises(ConfigError, match="10 classes.*100"):
        load_data(data_settings("CIFAR10").but(classes=100), twin=True)


def test_what_is_missing_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("STREAMHEBB_DATA", str(tmp_path))
    monkeypatch.setattr("streamhebb.sources._find.cache_folder", lambda: tmp_path)
    with pytest.raises(SourceError, match="stl10_binary"):
        load_data("STL10_50", download=False)


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 0}, {"samples": -1}, {"samples": 1.5}, {"tested": 0}, {"tested": True},
     {"seed": -1}, {"seed": 0.5}],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=f"{name}={value!r} is not"):
        load_data("CIFAR10_1p", twin=True, **wrong)
    assert len(load_data("CIFAR10_1p", twin=True, samples=np.int64(3)).y) == 3


def test_a_seed_that_torch_does_not_take_is_refused():
    with pytest.raises(ConfigError, match="seed"):
        load_data("CIFAR10_5p", twin=True, seed=2**64)
    with pytest.raises(ConfigError, match="seed"):
        data_settings("CIFAR10_5p").but(seed=2**64)


def test_data_are_known_by_what_was_read(monkeypatch):
    one, same = (load_data("CIFAR10", twin=True, samples=50) for _ in range(2))
    assert one.digest == same.digest
    assert one.digest != load_data("CIFAR10", twin=True, samples=51).digest
    real = prepare._bytes
    monkeypatch.setattr(prepare, "_bytes", lambda *a: real(*a) ^ 1)
    other = load_data("CIFAR10", twin=True, samples=50).digest
    assert all(a != b for a, b in zip(one.digest.split("-"), other.split("-"), strict=True))


def test_what_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 1000)  # a megabyte
    with pytest.raises(SourceError, match="fewer"):
        load_data("CIFAR10", twin=True)


def test_the_real_test_set_names_its_exceptions(data_dir):
    if not (data_dir / "cifar10" / "labels.npy").is_file():
        pytest.skip("the CIFAR-10 sheets are not in STREAMHEBB_DATA")
    settings = data_settings("CIFAR10_1").but(split="test")  # training sheets take seconds
    data = load_data(settings, samples=10, download=False)
    assert (len(data.y_test), len(data.inexact)) == (10_000, 20)
    assert len(data.exact_test[1]) == 9_980


@pytest.mark.parametrize(
    ("name", "chance"), [("MNIST", 0.1), ("CIFAR10", 0.1), ("CIFAR100", 0.01), ("STL10", 0.1)]
)
def test_twins_can_be_learned(name, chance):
    data = load_data(name, twin=True, samples=1000 if chance < 0.1 else 400, tested=200)
    found = linear_probe(None, (data.x[:, :, ::4, ::4].flatten(1), data.y),
                         (data.x_test[:, :, ::4, ::4].flatten(1), data.y_test),
                         epochs=20, lr=0.01, dropout=0.0)  # fmt: skip
    assert found.test_accuracy > 3 * chance


def test_a_preset_learns_its_twin():
    preset = presets.find("2SoftMlpMNIST")
    few = preset.blocks[0].model_copy(update={"layer": "soft-c100-t12-lr0.045-r35"})
    preset = preset.model_copy(update={"blocks": (few, preset.blocks[1])})
    net, blocks, stages = preset.build()
    for phase, settings in stages:
        data = load_data(settings, twin=True)
        reports = train_phases(net, dataclasses.replace(phase, epochs=min(5, phase.epochs)),
                               data.train, data.test, blocks=blocks)  # fmt: skip
    assert reports[-1].test_accuracy > 0.3, "chance is 0.1"
