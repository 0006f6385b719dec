"""The folder of a trial: what lies where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

from streamhebb.errors import RunFolderError
from streamhebb.files import replace


class TrialFolder:
    """Settings, measures, progress and the result of one trial from one seed.

    | file | what |
    |---|---|
    | ``settings.json`` | the trial and the setup: enough to reproduce it |
    | ``measures.jsonl`` | what was measured on the way, one line an epoch |
    | ``progress-*.safetensors`` | the state after the last finished epoch; gone at the end |
    | ``net.safetensors`` | the trained net, as a snapshot |
    | ``result.json`` | what it found, with machine, versions and date; there when it is finished |

    Args:
        path: the folder; made when something is written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def result_file(self) -> Path:
        """Where the result is."""
        return self.path / "result.json"

    @property
    def root(self) -> Path:
        """Where the folders of all trials lie."""
        return self.path.parent.parent

    @property
    def net(self) -> Path:
        """The snapshot of the trained net."""
        return self.path / "net.safetensors"

    @property
    def measures(self) -> Path:
        """Reports of epochs, read by [`read_lines`][streamhebb.evaluate.reports.read_lines]."""
        return self.path / "measures.jsonl"

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.result_file.is_file()

    def lock(self) -> FileLock:
        """A lock for one process at a time; the system frees it when that process ends."""
        self._make()
        return FileLock(self.path / ".lock", timeout=0)

    def progress(self, stage: str) -> Path:
        """File of the state within a stage."""
        return self.path / f"progress-{stage}.safetensors"

    def write(self, name: str, data: Any) -> None:
        """Write JSON, whole or not at all.

        Raises:
            RunFolderError: if the disk refuses.
        """
        self._make()
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        try:
            replace(self.path / name, text.encode())
        except OSError as error:
            raise RunFolderError(f"cannot write {self.path / name}: {error}") from error

    def read(self, name: str, *entries: str) -> Any:
        """Read JSON.

        Args:
            name: of the file.
            entries: what must be in it, each with entries of its own.

        Raises:
            RunFolderError: if there is none, or it is damaged.
        """
        try:
            found = json.loads((self.path / name).read_text("utf-8"))
            for entry in entries:
                if not (isinstance(found, dict) and isinstance(found.get(entry), dict)):
                    raise ValueError(f"there is no {entry!r} in it")
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"{self.path / name} cannot be read ({error}); remove the folder to run it anew"
            ) from error
        return found

    def clear_progress(self) -> None:
        """Remove the states: the result is there, and needs none."""
        for path in self.path.glob("progress-*.safetensors"):
            path.unlink(missing_ok=True)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"cannot make {self.path}: {error.strerror or error}; choose another: --runs DIR"
            ) from error
