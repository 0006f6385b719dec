"""STL-10: read column by column, checked, mapped; refused when damaged."""

from __future__ import annotations

import types

import numpy as np
import pytest

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import _find, _stl10, found, open_source, stl10

ROWS = {"train": 6, "test": 4, "unlabeled": 8}


@pytest.fixture
def files(no_data, monkeypatch):
    """Small binary files: pixel (row, column) of picture n is 10 row + column + n, plus channel."""
    monkeypatch.setattr(_stl10, "ROWS", ROWS)
    folder = no_data / "stl10_binary"
    folder.mkdir()
    for part, rows in ROWS.items():
        write(folder, part, rows)
    return folder


def picture(n):
    row, column, channel = np.ogrid[:96, :96, :3]
    return (10 * row + column + channel + n) % 256


def write(folder, part, rows):
    # as published: each channel column by column
    x = np.stack([picture(n).transpose(2, 1, 0) for n in range(rows)]).astype(np.uint8)
    x.tofile(folder / f"{part}_X.bin")
    if part != "unlabeled":
        (np.arange(rows) % 10 + 1).astype(np.uint8).tofile(folder / f"{part}_y.bin")


def test_pictures_stand_upright_and_labels_begin_with_0(files):
    source = stl10()
    assert (len(source), source.shape, source.classes) == (6, (3, 96, 96), tuple(range(10)))
    assert (source.x[2].transpose(1, 2, 0) == picture(2)).all()
    assert source.y == [0, 1, 2, 3, 4, 5]
    assert source.class_names[2] == "car"
    sample = next(iter(stl10("test")))
    assert float(sample.x[1, 2, 3]) == pytest.approx(picture(0)[2, 3, 1] / 255)
    assert sample.x.is_contiguous()
    assert found()["stl10"] == files


def test_pictures_stay_in_the_file(files):
    assert isinstance(stl10("unlabeled").x.base, np.memmap)


def test_samples_without_labels(files):
    assert stl10("unlabeled").y == [None] * 8
    both = stl10("train+unlabeled")
    assert both.y == [0, 1, 2, 3, 4, 5, *[None] * 8]
    assert (both.x[6] == both.x[0]).all()
    assert [s.target for s in open_source("stl10", split="unlabeled", limit=2)] == [None, None]


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        ("train_X.bin", lambda b: b[:-1], "truncated"),
        ("train_X.bin", lambda b: b + b"0", "longer"),
        ("train_X.bin", lambda b: b"", "truncated"),
        ("train_y.bin", lambda b: b[:-1], "truncated"),
        ("train_y.bin", lambda b: b"\0" + b[1:], "labels from 0"),
        ("train_y.bin", lambda b: b"\x0b" + b[1:], "to 11"),
    ],
)
def test_damaged_files(files, name, how, said):
    path = files / name
    path.write_bytes(how(path.read_bytes()))
    with pytest.raises(SourceError, match=said) as caught:
        stl10()
    assert str(path) in str(caught.value)
    assert "again" in str(caught.value)


def test_a_part_that_is_missing(files):
    (files / "train_y.bin").unlink()
    with pytest.raises(SourceError, match=r"train_y.bin cannot be read \(No such.*: put the unp"):
        stl10()
    assert len(stl10("test")) == 4


def test_nothing_there(no_data):
    with pytest.raises(SourceError, match="unlabeled_X.bin into .*stl10_binary"):
        stl10(download=False)
    with pytest.raises(ConfigError, match=r"train\+unlabeled"):
        stl10("valid")


def test_it_is_downloaded_by_torchvision(no_data, monkeypatch):
    monkeypatch.setattr(_stl10, "ROWS", ROWS)

    def fetch(root, *, split, download):
        assert download
        assert split in ("train", "test")
        folder = no_data.__class__(root) / "stl10_binary"
        folder.mkdir()
        (folder.parent / "stl10_binary.tar.gz").write_bytes(b"packed")
        for part, rows in ROWS.items():
            write(folder, part, rows)

    fake = types.SimpleNamespace(STL10=fetch)
    monkeypatch.setattr("streamhebb.sources._torchvision.datasets", lambda purpose: fake)
    assert len(stl10("unlabeled")) == 8
    assert [p.name for p in _find.cache_folder().iterdir()] == ["stl10_binary"]
