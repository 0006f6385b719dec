"""Other processes that keep cores busy while something is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Ends by itself once its parent is gone, however that one died.
_LOOP = """
import os, sys
parent = int(sys.argv[1])
print("running", flush=True)
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def neighbours(count: int) -> Iterator[list[int]]:
    """While this is open, ``count`` processes keep a core each busy; gives their ids.

    They are ended however the block is left.
    """
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            words = [sys.executable, "-c", _LOOP, str(os.getpid())]
            running.append(
                subprocess.Popen(  # noqa: S603 - this interpreter, on the text above
                    words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            )
        for process in running:
            if process.stdout is not None:
                process.stdout.readline()  # it has begun
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
