from __future__ import annotations

from pathlib import Path

import pytest

from streamhebb.files import replace


def pieces(*, fail: bool = False):
    yield b"one "
    yield b"two"
    if fail:
        raise ValueError("no third piece")


def test_bytes_and_pieces_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"old")
    assert path.read_bytes() == b"old"
    replace(path, pieces())
    assert path.read_bytes() == b"one two"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"old")
    with pytest.raises(ValueError, match="no third piece"):
        replace(path, pieces(fail=True))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
