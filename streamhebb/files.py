"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Put ``data`` at ``path``: all of it or, on any failure, none of it.

    Args:
        path: the file, in a folder that exists.
        data: what it shall hold, at once or in pieces.

    Raises:
        OSError: if the disk refuses; what was there before is untouched.
    """
    # Not mkstemp: its files can be read by their owner only, and stay so after the move.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            for piece in (data,) if isinstance(data, bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # make the new name itself durable
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            # The new file is whole and in its place; some network disks cannot sync a folder.
            with contextlib.suppress(OSError):
                os.fsync(folder)
        finally:
            os.close(folder)
