"""The run folder: what lies where, and that it is always whole."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from streamhebb.errors import ConfigError, RunFolderError
from streamhebb.snapshot import replace

Row = dict[str, Any]
"""One line of ``metrics.jsonl``."""


class RunFolder:
    """A folder with settings, metrics, a snapshot, a summary and pictures.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings = self.path / "settings.json"
        self.metrics = self.path / "metrics.jsonl"
        self.snapshot = self.path / "snapshot.safetensors"
        self.summary = self.path / "summary.json"
        self.net = self.path / "net.txt"

    def check_free(self) -> None:
        """Refuse a folder that holds something.

        Raises:
            ConfigError: with the cure.
        """
        if self.path.is_dir():
            if any(self.path.iterdir()):
                raise ConfigError(
                    f"--out {self.path} is not empty, and a run never overwrites another: choose "
                    f"another folder, empty this one, or go on with it: --resume {self.path}"
                )
        elif self.path.exists():
            raise ConfigError(f"--out {self.path} is a file: choose another folder")

    def create(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: if it is not empty.
            RunFolderError: if the disk refuses.
        """
        with _refused(self.path):
            self.check_free()
            self.path.mkdir(parents=True, exist_ok=True)

    def write_json(self, path: Path, data: Any) -> None:
        """Write a file, whole or not at all."""
        self.write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    def write_text(self, path: Path, text: str) -> None:
        """Write a file, whole or not at all.

        Raises:
            RunFolderError: if the disk refuses.
        """
        with _refused(path):
            replace(path, text.encode())

    def read_settings(self) -> Any:
        """Plain data of ``settings.json``.

        Raises:
            ConfigError: if the folder is no run folder.
        """
        if not self.settings.is_file():
            raise ConfigError(
                f"--resume {self.path}: there is no {self.settings.name} in it; name the folder "
                f"of an earlier run"
            )
        try:
            return json.loads(self.settings.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.settings} cannot be read ({error}): restore it, or start a new run"
            ) from error

    def rows(self) -> list[Row]:
        """All lines of ``metrics.jsonl`` that are whole."""
        return [row for row, _ in self._lines()]

    def cut_metrics(self, position: int) -> None:
        """Drop every line beyond a position, and a line that was cut off by a crash."""
        end = 0
        for row, after in self._lines():
            if row["sample"] > position:
                break
            end = after
        if self.metrics.exists():
            with _refused(self.metrics), self.metrics.open("r+b") as file:
                file.truncate(end)

    def _lines(self) -> Iterator[tuple[Row, int]]:
        """Each whole line, and the number of bytes up to its end."""
        if not self.metrics.is_file():
            return
        end = 0
        with _refused(self.metrics), self.metrics.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    return
                if not line.endswith(b"\n") or not isinstance(row, dict) or "sample" not in row:
                    return
                end += len(line)
                yield row, end


class MetricsFile:
    """``metrics.jsonl``, open for appending.

    Args:
        path: the file; its folder exists.

    Raises:
        RunFolderError: if the disk refuses; also while writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _refused(path):
            self._file: TextIO = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; whoever follows the file sees it at once."""
        with _refused(self._path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Make sure that all lines are on the disk, before a snapshot says that they are."""
        with _refused(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # every line has been flushed, or has raised, already
            self._file.close()


def new_folder(source: str, net: str, now: datetime.datetime | None = None) -> RunFolder:
    """A folder ``runs/<date-time>-<source>-<net>`` that does not exist yet.

    Args:
        source: name of the source.
        net: name or file of the net.
        now: ``None`` is the present.
    """
    now = datetime.datetime.now() if now is None else now
    stem = f"{now:%Y%m%d-%H%M%S}-{_slug(source)}-{_slug(Path(net).stem)}"
    path, number = Path("runs") / stem, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return RunFolder(path)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")[:40] or "stream"


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn what the disk says into one clear error."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"cannot use {path}: {error.strerror or error}; free some space, or choose a folder "
            f"that can be written with --out DIR"
        ) from error
