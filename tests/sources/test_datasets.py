"""The built-in data sets: found, checked, complete, and refused when damaged."""

from __future__ import annotations

import gc
import gzip
import hashlib
import pickle
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from streamhebb.errors import ConfigError, MissingExtraError, SourceError
from streamhebb.sources import (
    _find,
    _torchvision,
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    found,
    mnist,
)
from streamhebb.sources.datasets import inexact_cifar10

from .conftest import idx_bytes


def test_digits_work_on_a_bare_machine(no_data):
    source = digits()
    assert (len(source), source.shape, source.classes) == (1797, (1, 8, 8), tuple(range(10)))
    assert source.x.min() == 0
    assert source.x.max() == 1


def test_digits_splits_part_the_whole():
    parts = [digits(split) for split in ("train", "test")]
    assert [len(p) for p in parts] == [1437, 360]
    rows = {row.tobytes() for part in parts for row in part.x}
    assert rows == {row.tobytes() for row in digits().x}
    assert np.bincount(parts[1].y).min() >= 25, "a class is nearly absent from the test set"


def test_plain_and_packed_files(small_mnist):
    train, test = mnist(), mnist("test")
    assert (len(train), len(test), train.shape) == (20, 10, (1, 28, 28))
    assert train.x.dtype == np.uint8
    assert (train.x.ravel() == np.arange(20 * 784) % 256).all()
    assert [s.target for s in test] == list(range(10))
    assert found()["mnist"] == small_mnist


def test_stream_options_pass_through(small_mnist):
    source = mnist(seed=1, epochs=2, start=5, limit=30)
    assert len(source) == 25
    assert [s.id for s in source] == [s.id for s in mnist(seed=1, epochs=2)][5:30]


def test_the_cache_is_searched_after_the_data_folder(small_mnist, tmp_path):
    (tmp_path / "cache").mkdir()
    shutil.move(str(small_mnist.parent), tmp_path / "cache" / "MNIST")
    assert len(mnist(download=False)) == 20
    assert found()["mnist"] == tmp_path / "cache" / "MNIST" / "raw"


def test_what_is_missing_says_what_to_put_where(no_data, tmp_path):
    with pytest.raises(SourceError) as caught:
        mnist(download=False)
    for part in ("train-images-idx3-ubyte.gz", str(no_data / "MNIST"), str(tmp_path / "cache")):
        assert part in str(caught.value)
    with pytest.raises(SourceError, match="cifar-100-python"):
        cifar100(download=False)
    assert found()["mnist"] is None


def test_without_a_data_folder_the_message_names_the_variable(no_data, monkeypatch):
    monkeypatch.delenv("STREAMHEBB_DATA")
    with pytest.raises(SourceError, match="STREAMHEBB_DATA"):
        fashion_mnist(download=False)


@pytest.mark.parametrize("load", [mnist, fashion_mnist, cifar10, cifar100, digits])
def test_an_unknown_split_is_refused(load):
    with pytest.raises(ConfigError, match=r"valid.*test"):
        load("valid")


def damage(path, how):
    whole = path.read_bytes()
    path.write_bytes(how(whole))


PLAIN = {
    "empty": (lambda b: b"", "empty"),
    "two bytes": (lambda b: b[:2], "truncated"),
    "header cut": (lambda b: b[:9], "truncated"),
    "one byte short": (lambda b: b[:-1], "truncated"),
    "one byte long": (lambda b: b + b"\0", "longer"),
    "labels as images": (lambda b: idx_bytes(np.arange(20)), "starts with 00000801"),
    "a web page": (lambda b: b"<!DOCTYPE html>", "starts with"),
    "huge": (lambda b: b[:4] + b"\xff" * 12 + b[16:], "truncated"),
    "no rows": (lambda b: b[:4] + bytes(4) + b[8:16], "no samples"),
    "other pictures": (lambda b: idx_bytes(np.zeros((20, 8, 8))), r"\(8, 8\), not \(28, 28\)"),
    "another count": (lambda b: idx_bytes(np.zeros((19, 28, 28))), "19 pictures.*20 labels"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_damaged_plain_files(small_mnist, case):
    how, said = PLAIN[case]
    path = small_mnist / "train-images-idx3-ubyte"
    damage(path, how)
    with pytest.raises(SourceError, match=said) as caught:
        mnist()
    assert str(path) in str(caught.value)
    assert "again" in str(caught.value), "no cure"


def flipped(b):
    middle = len(b) // 2
    return b[:middle] + bytes((b[middle] ^ 0xFF,)) + b[middle + 1 :]


PACKED = {
    "empty": (lambda b: b"", "empty"),
    "not gzip": (lambda b: b"not gzip at all", "gzip"),
    "cut": (lambda b: b[: len(b) // 2], "truncated"),
    "checksum cut": (lambda b: b[:-4], "truncated"),
    "bit flipped": (flipped, "gzip|truncated|longer"),
    "checksum wrong": (lambda b: b[:-8] + b"\0" * 4 + b[-4:], "gzip"),
    "too long": (lambda b: gzip.compress(gzip.decompress(b) + b"\0"), "longer"),
    "huge": (lambda b: gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "truncated"),
}


@pytest.mark.parametrize("case", PACKED)
def test_damaged_packed_files(small_mnist, case):
    how, said = PACKED[case]
    path = small_mnist / "t10k-images-idx3-ubyte.gz"
    damage(path, how)
    with pytest.raises(SourceError, match=said) as caught:
        mnist("test")
    assert str(path) in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(small_mnist, monkeypatch):
    # 200 MB of zeros behind a header that declares ten pictures.
    path = small_mnist / "t10k-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(idx_bytes(np.zeros((10, 28, 28))))
        for _ in range(200):
            file.write(bytes(1 << 20))
    unpacked = 0
    real = gzip.GzipFile.readinto

    def counting(self, buffer):
        nonlocal unpacked
        got = real(self, buffer)
        unpacked += got
        return got

    monkeypatch.setattr(gzip.GzipFile, "readinto", counting)
    with pytest.raises(SourceError, match="longer"):
        mnist("test")
    assert unpacked == 7840


def test_labels_outside_the_classes(small_mnist):
    (small_mnist / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(20, 10)))
    with pytest.raises(SourceError, match="label 10"):
        mnist()


@pytest.mark.parametrize(("load", "folder"), [(mnist, "MNIST"), (fashion_mnist, "FashionMNIST")])
def test_the_real_files(data, load, folder):
    if not (data / folder / "raw").is_dir():
        pytest.skip(f"{folder} is not in STREAMHEBB_DATA")
    test = load("test", download=False)
    assert (len(test), test.shape) == (10_000, (1, 28, 28))
    if load is mnist:
        assert np.bincount(test.y)[:3].tolist() == [980, 1135, 1032]
        train = load(download=False)
        assert np.bincount(train.y)[:3].tolist() == [5923, 6742, 5958]
        assert train.x.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    else:
        assert set(np.bincount(test.y)) == {1000}


def test_the_real_sheets(data):
    if not (data / "cifar10" / "labels.npy").is_file():
        pytest.skip("the CIFAR-10 sheets are not in STREAMHEBB_DATA")
    test = cifar10("test", download=False)
    assert (len(test), test.shape) == (10_000, (3, 32, 32))
    assert test.class_names[test.y[0]] == "cat"
    assert test.class_names[test.y[1]] == "ship"
    rows = np.ascontiguousarray(test.x.transpose(0, 2, 3, 1)).tobytes()
    assert hashlib.sha256(rows).hexdigest() == (
        "1249626010949d8f448e0faf792debbc3da0c50ed31bfff3678c99c37fbc7e48"
    )
    assert len(test.inexact) == 20
    ships = [test.class_names[test.y[row]] for row in test.inexact]
    assert ships.count("ship") > 15
    assert len(cifar10("test", download=False, exact=True)) == 9_980


@pytest.fixture
def sheets(no_data):
    """Sheets of a test set only: one colour for each picture, its label from its colour."""
    image = pytest.importorskip("PIL.Image")
    folder = no_data / "cifar10"
    folder.mkdir()
    one = image.fromarray(np.zeros((1280, 800, 3), np.uint8))
    for n in range(10):
        one.save(folder / f"test-{n:02d}.webp", lossless=True)
    one.save(folder / "train-00.webp", lossless=True)
    np.save(folder / "labels.npy", np.arange(60_000).astype(np.uint8) % 10)
    np.save(folder / "not_lossless.npy", np.array([3, 50_001, 59_999], np.int32))
    return folder


def test_sheets_are_cut_in_order(sheets):
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros((1280, 800, 3), np.uint8)
    for n in range(1000):
        row, column = divmod(n, 25)
        pixels[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = (n % 250, n // 250, 7)
    image.fromarray(pixels).save(sheets / "test-03.webp", lossless=True)
    source = cifar10("test")
    assert source.x[3000 + 777, :, 0, 0].tolist() == [777 % 250, 3, 7]
    assert source.x[3000 + 777, :, 31, 31].tolist() == [777 % 250, 3, 7]
    assert source.x[2999].max() == 0
    assert source.y[:3] == [0, 1, 2]


def small_sheet(path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (32, 32)).save(path, lossless=True)


def png_sheet(path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (800, 1280)).save(path, format="PNG")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda p: p.unlink(), "missing"),
        (lambda p: p.write_bytes(b""), "not an intact"),
        (lambda p: p.write_bytes(p.read_bytes()[:30]), "not an intact"),
        (small_sheet, "32 x 32"),
        (png_sheet, "not an intact"),
    ],
)
def test_damaged_sheets(sheets, how, said):
    path = sheets / "test-04.webp"
    how(path)
    with pytest.raises(SourceError, match=said) as caught:
        cifar10("test")
    assert "test-04.webp" in str(caught.value)


def lying_npy(path):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 45,)}
        )


def pickled_npy(path):
    np.save(path, np.array([print], object), allow_pickle=True)


@pytest.mark.parametrize(
    "how",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"not numpy"),
        lambda p: p.write_bytes(p.read_bytes()[:1000]),
        lambda p: np.save(p, np.zeros(60_000, np.int64)),
        lambda p: np.save(p, np.zeros(10, np.uint8)),
        lambda p: np.save(p, np.full(60_000, 10, np.uint8)),
        lying_npy,
        pickled_npy,
    ],
)
def test_damaged_labels_of_sheets(sheets, how):
    how(sheets / "labels.npy")
    with pytest.raises(SourceError, match=r"labels\.npy"):
        cifar10("test")


def test_what_is_not_exact_is_named_or_left_out(sheets):
    source = cifar10("test")
    assert source.inexact == (1, 9_999), "rows of the test set, not of the sheets"
    exact = cifar10("test", exact=True)
    assert (len(exact), exact.inexact) == (9_998, ())
    assert exact.y[:3] == [0, 2, 3], "labels do not follow their pictures"
    assert sum(inexact_cifar10()) == len(np.load(sheets / "not_lossless.npy"))
    assert inexact_cifar10()[1] == 2
    np.save(sheets / "not_lossless.npy", np.array([3], np.int32))
    assert inexact_cifar10() == (1, 0)
    assert cifar10("test").inexact == ()


def test_the_list_of_what_is_not_exact_is_needed_and_checked(sheets):
    (sheets / "not_lossless.npy").unlink()
    with pytest.raises(SourceError, match=r"not_lossless\.npy is missing"):
        cifar10("test")
    np.save(sheets / "not_lossless.npy", np.array([-1], np.int32))
    with pytest.raises(SourceError, match="outside"):
        cifar10("test", exact=True)


# --- torchvision -----------------------------------------------------------------------------


@pytest.fixture
def torchvision_sets():
    pytest.importorskip("importlib.metadata")
    try:
        return _torchvision.datasets("tests")
    except MissingExtraError:
        pytest.skip("the extra 'data' is not installed")


def batch_files(root, kind):
    """Tiny batches of torchvision's layout, and their checksums instead of the real ones."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    fine = kind.__name__ == "CIFAR100"

    def put(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(first):
        data = np.full((2, 3072), first, np.uint8)
        data[:, 1024:2048] += 1  # the green plane
        return {"data": data, "fine_labels" if fine else "labels": [first, first + 1]}

    names = [name for name, _ in kind.train_list]
    train = [put(name, batch(n)) for n, name in enumerate(names)]
    test = [put(kind.test_list[0][0], batch(9))] if fine else [put("test_batch", batch(8))]
    key = kind.meta["key"]
    filename, md5 = put(kind.meta["filename"], {key: [f"n{i}" for i in range(100 if fine else 10)]})
    return {
        "train_list": train,
        "test_list": test,
        "meta": {"filename": filename, "key": key, "md5": md5},
    }


@pytest.mark.parametrize(("load", "kind"), [(cifar10, "CIFAR10"), (cifar100, "CIFAR100")])
def test_batches_are_read_by_torchvision(no_data, monkeypatch, torchvision_sets, load, kind):
    kind = getattr(torchvision_sets, kind)
    for name, value in batch_files(no_data, kind).items():
        monkeypatch.setattr(kind, name, value)
    train, test = load(), load("test")
    assert train.shape == (3, 32, 32)
    assert train.x[1, :, 5, 5].tolist() == [0, 1, 0], "planes are mixed up"
    assert [s.target for s in train][:2] == [0, 1]
    assert len(test) == 2
    assert found()[train.name.partition("/")[0]] == no_data / kind.base_folder
    path = next((no_data / kind.base_folder).glob("test*"))
    damage(path, lambda b: b[:-1])
    with pytest.raises(SourceError, match="incomplete or damaged"):
        load()


def test_without_torchvision_the_message_names_the_extra(no_data, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets", None)
    with pytest.raises(MissingExtraError, match=r"downloading mnist.*streamhebb\[data\]") as caught:
        mnist()
    assert caught.value.extra == "data"
    assert "MNIST/raw" in str(caught.value)


def test_torchvision_is_mended_once_and_stays(torchvision_sets):
    assert _torchvision.datasets("tests") is torchvision_sets


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_download_puts_whole_files_into_the_cache(
    small_mnist, tmp_path, monkeypatch, torchvision_sets
):
    """torchvision downloads from a mirror on loopback."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    resources = []
    for name, _ in torchvision_sets.MNIST.resources:
        plain = small_mnist / name.removesuffix(".gz")
        packed = gzip.compress(plain.read_bytes()) if plain.exists() else None
        (mirror / name).write_bytes(packed or (small_mnist / name).read_bytes())
        resources.append((name, hashlib.md5((mirror / name).read_bytes()).hexdigest()))
    shutil.rmtree(small_mnist.parent)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(mirror))

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(torchvision_sets.MNIST, "mirrors", [url])
    monkeypatch.setattr(torchvision_sets.MNIST, "resources", resources)
    cache = _find.cache_folder()
    try:
        (mirror / resources[3][0]).rename(mirror / "away")  # the last file is not served
        with pytest.raises(SourceError, match=r"cannot be downloaded.*put train-images"):
            mnist()
        assert list(cache.iterdir()) == [], "half a download was left behind"
        (mirror / "away").rename(mirror / resources[3][0])
        assert len(mnist()) == 20
    finally:
        server.shutdown()
        server.server_close()
        gc.collect()  # torchvision leaves the socket of a failed request open: let it warn here
    assert len(mnist("test", download=False)) == 10
    assert [p.name for p in cache.iterdir()] == ["MNIST"]
