"""One word in, one source out, or a message that lists what there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streamhebb import sources
from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import (
    ArraySource,
    Camera,
    ImageFolder,
    VideoFile,
    digits,
    found,
    open_source,
    source_names,
)


@pytest.mark.parametrize("spec", ["digits", " Digits "])
def test_digits(spec):
    with open_source(spec, seed=3, limit=10, start=4, epochs=2) as source:
        assert isinstance(source, ArraySource)
        assert [s.id for s in source] == [s.id for s in digits(seed=3)][4:10]


def test_data_sets_and_their_splits(small_mnist):
    assert len(open_source("mnist")) == 20
    assert len(open_source("mnist", split="test", epochs=3)) == 30
    ids = [s.id for s in open_source("mnist")]
    assert sorted(ids) == list(range(20))
    assert ids != list(range(20)), "the default is a seeded order"
    assert [s.id for s in open_source("mnist", seed=None)] == list(range(20))
    with pytest.raises(SourceError, match="FashionMNIST"):
        open_source("fashion_mnist", download=False)
    with pytest.raises(ConfigError, match="split 'all'"):
        open_source("mnist", split="all")


def test_a_video_file(make_clip):
    source = open_source(str(make_clip("a b.MP4".lower())), size=(8, 8), gray=True, limit=3)
    assert isinstance(source, VideoFile)
    assert [s.x.shape for s in source] == [(1, 8, 8)] * 3


def test_a_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    source = open_source(str(tmp_path))
    assert isinstance(source, ImageFolder)
    assert source.shape == (3, 32, 32)
    assert open_source(str(tmp_path), size=(4, 5), gray=True).shape == (1, 4, 5)


@pytest.mark.parametrize(
    ("spec", "device"),
    [("camera:3", 3), ("http://cam.local/v", "http://cam.local/v"), ("RTSP://h/x", "RTSP://h/x")],
)
def test_cameras(spec, device):
    pytest.importorskip("cv2", reason="the extra 'camera' is not installed")
    source = open_source(spec, size=(8, 8), limit=10, start=4)
    assert isinstance(source, Camera)
    assert (source.device, source.limit, source.shape) == (device, 6, (3, 8, 8))
    assert open_source(spec, limit=4, start=9).limit == 0


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("minst", "Did you mean 'mnist'"),
        ("cifar-10", "Did you mean 'cifar10'"),
        ("nothing like it", "camera:N"),
        ("", "camera:N"),
        ("ftp://me:secret@host/x", "unknown source 'ftp://...'"),
        ("camera:front", "camera:0"),
        ("camera:", "camera:0"),
        ("gone.mp4", "gone.mp4 does not exist"),
    ],
)
def test_unknown_or_missing(spec, said):
    with pytest.raises(SourceError) as caught:
        open_source(spec)
    assert said in str(caught.value)


def test_an_unknown_source_lists_what_there_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.touch()
    with pytest.raises(SourceError, match="suffix is not one of a video") as caught:
        open_source(str(path))
    for part in (*source_names(), ".mp4", "FOLDER", "camera:N", "rtsp://"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("digits", {"size": (8, 8)}),
        ("digits", {"gray": True}),
        ("digits", {"limit": -1}),
        ("camera:0", {"epochs": 2}),
        ("camera:0", {"split": "test"}),
        ("camera:0", {"start": -1, "limit": 3}),
        (".", {"epochs": 2}),
        ("a.mp4", {"split": "test"}),
    ],
)
def test_options_that_do_not_fit_are_refused(spec, options):
    with pytest.raises(ConfigError):
        open_source(spec, **options)


def test_found_tells_without_loading(no_data):
    places = found()
    assert tuple(places) == source_names()
    assert places["digits"] is not None
    assert [name for name, place in places.items() if place] == ["digits"]


def test_exports_are_sorted_and_there():
    assert sorted(sources.__all__) == sources.__all__
    assert all(hasattr(sources, name) for name in sources.__all__)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, streamhebb.sources; "
        "print([m for m in ('cv2', 'av', 'torchvision', 'sklearn', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_source_is_a_source(make_clip, tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "pictures").mkdir()
    image.new("RGB", (9, 9)).save(tmp_path / "pictures" / "a.png")
    specs = ["digits", str(make_clip()), str(tmp_path / "pictures")]
    for source in [open_source(spec) for spec in specs]:
        assert isinstance(source.name, str)
        assert isinstance(source.counts, dict)
        with source as opened:
            first = next(iter(opened))
        assert tuple(first.x.shape) == tuple(source.shape)
        assert len(source) > 0
        assert source.classes is None or first.target in source.classes
