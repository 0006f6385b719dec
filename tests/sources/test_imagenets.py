"""ImageNet and ImageNette: folders of pictures, labels by number, scaled to a square."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest

from streamhebb.errors import ConfigError, SourceError
from streamhebb.sources import ImageFolder, _find, found, imagenet, imagenette, open_source
from streamhebb.sources.imagenets import IMAGENETTE_NAMES

image = pytest.importorskip("PIL.Image")


def write(folder: Path, names, each=2, size=(40, 30)):
    """Pictures whose red says the class and whose green the number."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for n in range(each):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[:] = (20 * number, 20 * n, 7)
            image.fromarray(pixels).save(folder / name / f"{name}_{n}.png")


@pytest.fixture
def nette(no_data, monkeypatch):
    monkeypatch.setattr("streamhebb.sources.imagenets.IMAGENETTE_ROWS", {"train": 20, "val": 10})
    folder = no_data / "imagenette2-160"
    write(folder / "train", IMAGENETTE_NAMES)
    write(folder / "val", IMAGENETTE_NAMES, each=1)
    return folder


def test_imagenette_is_a_stream_of_numbered_classes(nette):
    source = imagenette(size=16)
    assert isinstance(source, ImageFolder)
    assert (len(source), source.shape, source.classes) == (20, (3, 16, 16), tuple(range(10)))
    assert source.class_names[1] == "English springer"
    assert source.name == "imagenette/train"
    samples = list(source)
    assert [s.target for s in samples] == [n // 2 for n in range(20)]
    assert float(samples[7].x[0, 5, 5]) == pytest.approx(60 / 255)
    assert len(imagenette("val", size=16)) == 10
    assert found()["imagenette"] == nette


def test_pictures_as_bytes(nette):
    source = imagenette(size=16)
    pixels = source.pixels(7)
    assert (pixels.shape, pixels.dtype) == ((3, 16, 16), np.uint8)
    assert pixels[:, 0, 0].tolist() == [60, 20, 7]
    assert source.labels[7] == 3
    path = nette / "train" / "n02102040" / "n02102040_1.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match="n02102040_1.png cannot be read"):
        source.pixels(3)


def test_the_smallest_folder_that_will_do(nette, no_data):
    write(no_data / "imagenette2-320" / "train", IMAGENETTE_NAMES)
    assert imagenette(size=160).path == nette / "train"
    assert imagenette(size=250).path == no_data / "imagenette2-320" / "train"
    with pytest.raises(SourceError, match="imagenette2-160"):
        imagenette(size=321, download=False)


def test_an_incomplete_folder_is_refused(nette):
    (nette / "train" / "n03888257" / "n03888257_1.png").unlink()
    with pytest.raises(SourceError, match="holds 19 pictures, not 20"):
        imagenette(size=16)
    (nette / "train" / "n03888257" / "n03888257_0.png").unlink()
    with pytest.raises(SourceError, match="no pictures of n03888257"):
        imagenette(size=16)
    write(nette / "val", ["n99999999"], each=1)
    with pytest.raises(SourceError, match="pictures of n99999999"):
        imagenette("val", size=16)


def test_imagenette_is_downloaded_by_torchvision(no_data, monkeypatch):
    monkeypatch.setattr("streamhebb.sources.imagenets.IMAGENETTE_ROWS", {"train": 20, "val": 20})
    asked = []

    def fetch(root, *, split, size, download):
        asked.append((size, download))
        name = {"160px": "imagenette2-160", "320px": "imagenette2-320"}[size]
        write(Path(root) / name / "train", IMAGENETTE_NAMES)
        write(Path(root) / name / "val", IMAGENETTE_NAMES)
        (Path(root) / f"{name}.tgz").write_bytes(b"packed")

    fake = types.SimpleNamespace(Imagenette=fetch)
    monkeypatch.setattr("streamhebb.sources._torchvision.datasets", lambda purpose: fake)
    assert len(imagenette(size=16)) == 20
    assert len(imagenette("val", size=250)) == 20
    assert asked == [("160px", True), ("320px", True)]
    kept = sorted(p.name for p in _find.cache_folder().iterdir())
    assert kept == ["imagenette2-160", "imagenette2-320"]


def test_imagenet_takes_its_classes_from_its_folders(no_data):
    names = ["n01440764", "n01443537", "n01484850"]
    write(no_data / "imagenet" / "train", names)
    source = imagenet(size=16)
    assert source.classes == (0, 1, 2)
    assert source.class_names == tuple(names)
    assert len(source) == 6
    with pytest.raises(SourceError, match="imagenet/val was not found.*image-net.org"):
        imagenet("val")
    (no_data / "imagenet" / "val").mkdir()
    with pytest.raises(SourceError, match="holds no folders"):
        imagenet("val")


def test_where_nothing_is(no_data):
    with pytest.raises(SourceError, match="imagenette was not found"):
        imagenette(download=False)
    with pytest.raises(SourceError, match="n01440764 and so on"):
        imagenet()
    for load in (imagenet, imagenette):
        with pytest.raises(ConfigError, match="no split 'test'; there are train, val"):
            load("test")
        with pytest.raises(ConfigError, match="size=0"):
            load(size=0)


def test_by_name(nette):
    source = open_source("ImageNette", size=(16, 16), limit=3)
    assert (len(source), source.shape) == (3, (3, 16, 16))
    assert len(open_source("imagenette", split="val")) == 10
    with pytest.raises(ConfigError, match="to a square"):
        open_source("imagenette", size=(16, 20))
    with pytest.raises(ConfigError, match="leave out epochs"):
        open_source("imagenette", epochs=2)
    with pytest.raises(ConfigError, match="size and colours"):
        open_source("imagenette", gray=True)
