"""Folders of pictures: labels, order, and pictures that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from streamhebb.errors import ConfigError, MissingExtraError, SourceError
from streamhebb.sources import ImageFolder

image = pytest.importorskip("PIL.Image", reason="the extra 'data' is not installed")


def put(path, value, mode="RGB", size=(10, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    color = (value,) * 3 if mode == "RGB" else value
    image.new(mode, size, color).save(path, **options)
    return path


@pytest.fixture
def labelled(tmp_path):
    for label, name, value in (("cat", "a.png", 0), ("cat", "b.jpg", 51), ("dog", "c.webp", 102)):
        put(tmp_path / label / name, value)
    return tmp_path


def value(sample):
    return round(float(sample.x.mean()) * 255)


def test_sub_folders_are_labels(labelled):
    source = ImageFolder(labelled, size=(4, 6))
    got = list(source)
    assert source.classes == ("cat", "dog")
    assert [(s.target, s.id, value(s)) for s in got] == [
        ("cat", 0, 0),
        ("cat", 1, 51),
        ("dog", 2, 102),
    ]
    assert got[0].x.shape == source.shape == (3, 4, 6)
    assert len(source) == 3
    assert source.name == labelled.name


def test_a_flat_folder_has_no_labels(tmp_path):
    put(tmp_path / "1.png", 10)
    (tmp_path / "thumbs").mkdir()
    source = ImageFolder(tmp_path, size=(8, 10), gray=True)
    (got,) = source
    assert (source.classes, got.target, got.x.shape) == (None, None, (1, 8, 10))


def test_pictures_beside_the_labels_are_refused_and_counted(labelled):
    put(labelled / "stray.png", 200)
    source = ImageFolder(labelled, size=(4, 4))
    assert len(list(source)) == 3
    assert source.counts == {"unreadable": 0, "unlabelled": 1}


def test_deeper_folders_belong_to_their_label_and_hidden_files_to_nobody(labelled):
    put(labelled / "dog" / "more" / "d.png", 153)
    put(labelled / "dog" / ".hidden.png", 153)
    put(labelled / ".git" / "x.png", 153)
    (labelled / "dog" / "notes.txt").write_text("no picture")
    assert [s.target for s in ImageFolder(labelled, size=(4, 4))] == ["cat", "cat", "dog", "dog"]


def test_unreadable_pictures_are_skipped_counted_and_named(labelled, caplog):
    whole = (labelled / "cat" / "b.jpg").read_bytes()
    (labelled / "cat" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (labelled / "dog" / "empty.png").write_bytes(b"")
    (labelled / "dog" / "page.png").write_text("<html>")
    source = ImageFolder(labelled, size=(4, 4))
    for _ in range(2):
        caplog.clear()
        assert [value(s) for s in source] == [0, 51, 102]
        assert source.counts["unreadable"] == 3, "counts are of the current pass"
        assert "empty.png" in caplog.text


def test_resuming_counts_samples_not_files(tmp_path):
    for n in range(12):
        put(tmp_path / f"{n:02d}.png", 10 * n)
    for n in (2, 5):
        (tmp_path / f"{n:02d}.png").write_bytes(b"broken")
    whole = [s.id for s in ImageFolder(tmp_path, size=(4, 4), seed=3)]
    assert sorted(whole) == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]
    assert whole != sorted(whole)
    tail = ImageFolder(tmp_path, size=(4, 4), seed=3, start=4, limit=7)
    assert [s.id for s in tail] == whole[4:7]
    assert len(tail) == 3
    assert list(ImageFolder(tmp_path, size=(4, 4), start=7, limit=7)) == []


def test_a_folder_of_broken_pictures_raises(tmp_path):
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match="none of the 1 pictures"):
        list(ImageFolder(tmp_path, size=(4, 4)))


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None, lambda p: p.touch()])
def test_nothing_there(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(SourceError, match="it "):
        ImageFolder(tmp_path / "it", size=(4, 4))


def test_bombs_are_refused_by_their_header(labelled, monkeypatch):
    monkeypatch.setattr("streamhebb.sources.folder.MAX_PIXELS", 100)
    put(labelled / "dog" / "huge.png", 1, size=(101, 1))
    source = ImageFolder(labelled, size=(4, 4))
    assert len(list(source)) == 3
    assert source.counts["unreadable"] == 1


@pytest.mark.filterwarnings("error")
def test_modes_of_pictures(tmp_path):
    put(tmp_path / "1.png", (255, 0, 0, 255), "RGBA")
    deep = np.full((8, 10), 0x8000, np.uint16)
    image.fromarray(deep).save(tmp_path / "2.png")
    put(tmp_path / "3.png", 1, "1")
    red, half, white = ImageFolder(tmp_path, size=(8, 10))
    assert red.x[:, 0, 0].tolist() == [1, 0, 0]
    assert half.x.mean() == pytest.approx(0.5, abs=0.01)
    assert white.x.min() == 1


def test_pictures_are_turned_upright(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    picture = image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    picture.save(tmp_path / "a.png", exif=exif)
    (got,) = ImageFolder(tmp_path, size=(16, 8))
    assert got.x[:, :8].min() == 1
    assert got.x[:, 8:].max() == 0


@pytest.mark.parametrize("options", [{"size": (0, 1)}, {"size": None}, {"seed": -1}])
def test_bad_options(labelled, options):
    with pytest.raises(ConfigError):
        ImageFolder(labelled, **{"size": (4, 4), **options})


def test_without_pillow_the_message_names_the_extra(labelled, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtraError, match=r"streamhebb\[data\]"):
        ImageFolder(labelled, size=(4, 4))
