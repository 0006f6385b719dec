"""Snapshot files: whole or refused; written in one step or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from streamhebb import snapshot
from streamhebb.errors import SnapshotError

TENSORS = {
    "weight": torch.arange(12.0).view(3, 4),
    "half": torch.arange(4.0).to(torch.bfloat16),
    "age": torch.tensor(1.5, dtype=torch.float64),
    "count": torch.tensor(7),
    "state": torch.arange(40, dtype=torch.uint8),
    "none yet": torch.zeros(0, 5),
}
META = {"text": "ü", "list": [1, 2.5, None, True], "nested": {"b": 1, "a": {"c": []}}}


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.streamhebb"
    snapshot.write(file, TENSORS, META)
    return file


def test_round_trip(path: Path) -> None:
    tensors, meta = snapshot.read(path)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name], tensor)
    assert names_in(path.parent) == [path.name]


def test_any_layout_is_written_as_it_looks(tmp_path: Path) -> None:
    tensor = torch.arange(24.0).view(2, 3, 4).permute(2, 0, 1)[::2]
    snapshot.write(tmp_path / "deep" / "er" / "x", {"t": tensor}, None)
    found, meta = snapshot.read(tmp_path / "deep" / "er" / "x")
    assert torch.equal(found["t"], tensor)
    assert meta is None


def test_nan_in_a_tensor_survives(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "x", {"t": torch.tensor([float("nan"), 1.0])}, None)
    assert snapshot.read(tmp_path / "x")[0]["t"].isnan().tolist() == [True, False]


# -- what is refused ---------------------------------------------------------------------------


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"no snapshot at .*nothing\.here"):
        snapshot.read(tmp_path / "nothing.here")
    with pytest.raises(SnapshotError, match="no snapshot at"):
        snapshot.read(tmp_path)


def test_truncated_anywhere(path: Path) -> None:
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: len(whole) * tenth // 10])
        with pytest.raises(SnapshotError, match="not a whole snapshot"):
            snapshot.read(path)
    path.write_bytes(whole[:-1])
    with pytest.raises(SnapshotError):
        snapshot.read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SnapshotError):
        snapshot.read(path)


def test_one_flipped_byte_anywhere_is_noticed(path: Path) -> None:
    """In the values, in the names, and in the JSON, where no tensor's checksum would see it."""
    whole = path.read_bytes()
    for position in range(len(whole)):
        for flip in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                tensors, meta = snapshot.read(path)
            except SnapshotError:
                continue
            # Only where a flip changes nothing that is read: white space that pads the header.
            assert chr(whole[position]).isspace(), (position, whole[position])
            assert meta == META
            assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\0" * 100, b"\xff" * 64, b"{}", b"PK\x03\x04" + b"x" * 50]
)
def test_garbage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SnapshotError, match="not a whole snapshot"):
        snapshot.read(tmp_path / "x")


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"streamhebb": "[]"}, {"streamhebb": '{"format": "x"}'}]
)
def test_safetensors_of_someone_else(tmp_path: Path, metadata: Any) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "x", metadata)
    with pytest.raises(SnapshotError, match="but not a snapshot of streamhebb"):
        snapshot.read(tmp_path / "x")


def test_header_that_is_no_json(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "x", {"streamhebb": "{"})
    with pytest.raises(SnapshotError, match="not a whole snapshot"):
        snapshot.read(tmp_path / "x")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version(tmp_path: Path, version: Any) -> None:
    header = {"format": snapshot.FORMAT, "version": version, "sha256": "", "meta": {}}
    save_file({"weight": torch.ones(2)}, tmp_path / "x", {"streamhebb": json.dumps(header)})
    with pytest.raises(SnapshotError, match=r"version .*reads version 1.*that wrote it"):
        snapshot.read(tmp_path / "x")


def test_right_header_over_other_tensors(path: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    changed = TENSORS | {"count": torch.tensor(8)}
    save_file(changed, tmp_path / "x", metadata)
    with pytest.raises(SnapshotError, match="checksum does not match"):
        snapshot.read(tmp_path / "x")


@pytest.mark.parametrize("meta", [object(), {"x": {1, 2}}, {"x": torch.ones(1)}, {(1, 2): 3}])
def test_what_json_cannot_hold_is_refused_before_the_disk_is_touched(path: Path, meta: Any) -> None:
    before = path.read_bytes()
    with pytest.raises(SnapshotError, match="Keep numbers, text, lists and dicts only"):
        snapshot.write(path, TENSORS, meta)
    assert path.read_bytes() == before
    assert names_in(path.parent) == [path.name]


# -- a disk that refuses -----------------------------------------------------------------------


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _FullFile:
    """A file on a full disk: half of the data is taken, then no more."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> _FullFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write(self, data: bytes) -> int:
        self.file.write(data[: len(data) // 2])
        full()
        return 0


@pytest.mark.parametrize("where", ["write", "fsync", "replace", "mkstemp"])
def test_a_full_disk_leaves_the_old_snapshot(
    path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    before = path.read_bytes()
    if where == "write":
        fdopen = os.fdopen
        monkeypatch.setattr(snapshot.os, "fdopen", lambda *a: _FullFile(fdopen(*a)))
    elif where == "mkstemp":
        monkeypatch.setattr(snapshot.tempfile, "mkstemp", lambda **_: full())
    else:
        monkeypatch.setattr(snapshot.os, where, full)
    with pytest.raises(SnapshotError, match=r"No space left.*untouched; free some space"):
        snapshot.write(path, {"other": torch.ones(1000)}, None)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert names_in(path.parent) == [path.name]  # no half file is left lying about
    assert snapshot.read(path)[1] == META


def test_an_interrupt_while_writing_leaves_the_old_snapshot(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = path.read_bytes()
    monkeypatch.setattr(snapshot.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        snapshot.write(path, {"other": torch.ones(1000)}, None)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert names_in(path.parent) == [path.name]


def test_a_folder_that_cannot_be_synced_is_no_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is in its place by then; to say that the old one is untouched would be false."""
    fsync = os.fsync

    def picky(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "folders are not synced here")
        fsync(handle)

    monkeypatch.setattr(snapshot.os, "fsync", picky)
    snapshot.write(path, TENSORS, "new")
    assert snapshot.read(path)[1] == "new"


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SnapshotError, match="choose another folder"):
        snapshot.write(tmp_path / "file" / "x", TENSORS, META)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SnapshotError, match="choose another folder"):
        snapshot.write(tmp_path / "folder", TENSORS, META)
    assert names_in(tmp_path) == ["file", "folder"]


LOOP = """
import sys, torch
from streamhebb import snapshot
count = 0
while True:
    count += 1
    snapshot.write(sys.argv[1], {"t": torch.full((300_000,), float(count))}, count)
    print(count, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a word of POSIX")
def test_kill_9_in_the_middle_of_saving_leaves_a_snapshot_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "x"
    root = Path(__file__).resolve().parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    try:
        for _ in range(3):
            child.stdout.readline()
        for round_ in range(6):  # stop it at many points, look, and let it go on
            time.sleep(0.003 * round_)
            child.send_signal(signal.SIGSTOP)
            tensors, count = snapshot.read(path)
            assert (tensors["t"] == count).all()
            child.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    tensors, count = snapshot.read(path)
    assert count >= 3
    assert (tensors["t"] == count).all()
    snapshot.write(path, TENSORS, META)  # and the next run writes on
    assert snapshot.read(path)[1] == META
