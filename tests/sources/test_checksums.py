"""Published checksums: verified before use, once, remembered."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

from streamhebb.errors import SourceError
from streamhebb.sources import _checksums, _torchvision, cifar10, mnist

from .conftest import idx_bytes


@pytest.fixture
def summed(small_mnist, monkeypatch):
    """The checksums of the small files, as if they were published; the memory is empty."""
    known = {
        f"MNIST/raw/{path.name}": hashlib.md5(path.read_bytes()).hexdigest()
        for path in small_mnist.iterdir()
    }
    monkeypatch.setattr(_checksums, "KNOWN", known)
    monkeypatch.setattr(_checksums, "_seen", {})
    return small_mnist


@pytest.fixture
def read(monkeypatch):
    """How often files were read to be verified."""
    times = []
    real = hashlib.md5

    def counting(*args, **more):
        times.append(1)
        return real(*args, **more)

    monkeypatch.setattr("streamhebb.sources._checksums.hashlib.md5", counting)
    return times


def test_right_files_pass_and_are_read_once(summed, read, tmp_path, monkeypatch):
    mnist()
    assert len(read) == 2
    mnist()
    assert len(read) == 2, "verified twice in one process"
    monkeypatch.setattr(_checksums, "_seen", {})  # as a new process begins
    mnist()
    assert len(read) == 2, "another process verifies again"
    mnist("test")
    assert len(read) == 4
    kept = json.loads((tmp_path / "cache" / "verified.json").read_text("utf-8"))
    assert len(kept) == 4


def test_a_file_that_changed_is_read_again_and_refused(summed, read):
    mnist()
    path = summed / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit of the last pixel: as long as before, and still an IDX file
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match=r"train-images-idx3-ubyte is damaged.*fetch it again"):
        mnist()
    assert len(read) == 3
    with pytest.raises(SourceError, match="damaged"):
        mnist()


def test_another_data_set_of_the_same_name_is_refused(summed):
    (summed / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(20) % 7))
    with pytest.raises(SourceError, match="another file of that name"):
        mnist()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b'{"a": 1}'])
def test_a_damaged_memory_only_costs_time(summed, read, tmp_path, content):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "verified.json").write_bytes(content)
    mnist()
    assert len(read) == 2


def test_a_memory_that_cannot_be_kept_only_costs_time(summed, read, tmp_path, monkeypatch):
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    mnist()
    monkeypatch.setattr(_checksums, "_seen", {})
    mnist()
    assert len(read) == 4


def test_the_sums_are_those_that_torchvision_lists():
    try:
        sets = _torchvision.datasets("tests")
    except ImportError:
        pytest.skip("the extra 'data' is not installed")
    for kind in ("MNIST", "FashionMNIST"):
        for name, md5 in getattr(sets, kind).resources:
            assert _checksums.KNOWN[f"{kind}/raw/{name}"] == md5
    for name, md5 in (*sets.STL10.train_list, *sets.STL10.test_list):
        assert _checksums.KNOWN[f"{sets.STL10.base_folder}/{name}"] == md5
    assert len(_checksums.KNOWN) == 4 * 2 * 2 + 5


def test_the_real_files_pass(data, monkeypatch, tmp_path):
    if not (data / "MNIST" / "raw").is_dir():
        pytest.skip("MNIST is not in STREAMHEBB_DATA")
    monkeypatch.setattr("streamhebb.sources._find.cache_folder", lambda: tmp_path)
    monkeypatch.setattr(_checksums, "_seen", {})
    assert len(mnist("test", download=False)) == 10_000
    assert (tmp_path / "verified.json").is_file()


def test_unpacked_files_are_known_by_what_packed_ones_hold(data):
    gzip = pytest.importorskip("gzip")
    for kind in ("MNIST", "FashionMNIST"):
        for stem in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
            path = data / kind / "raw" / f"{stem}.gz"
            if not path.is_file():
                pytest.skip(f"{path.name} is not in STREAMHEBB_DATA")
            found = hashlib.md5(gzip.decompress(path.read_bytes())).hexdigest()
            assert _checksums.KNOWN[f"{kind}/raw/{stem}"] == found


def test_sheets_that_are_exchanged_are_noticed(no_data, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    folder = no_data / "cifar10"
    folder.mkdir()
    pixels = np.zeros((1280, 800, 3), np.uint8)
    for n in range(10):
        pixels[:] = n
        image.fromarray(pixels).save(folder / f"test-{n:02d}.webp", lossless=True)
    (folder / "train-00.webp").write_bytes((folder / "test-00.webp").read_bytes())
    np.save(folder / "labels.npy", np.zeros(60_000, np.uint8))
    np.save(folder / "not_lossless.npy", np.zeros(0, np.int32))
    whole = np.repeat(np.arange(10, dtype=np.uint8), 1000 * 32 * 32 * 3)
    monkeypatch.setattr(_checksums, "_seen", {})
    monkeypatch.setattr(_checksums, "SHEETS", {"test": hashlib.sha256(whole).hexdigest()})
    assert len(cifar10("test")) == 10_000
    first, second = folder / "test-01.webp", folder / "test-02.webp"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    with pytest.raises(SourceError, match="damaged or exchanged"):
        cifar10("test")
