"""Where and with what something runs; every file of figures keeps it with them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, system and versions, as plain data.

    Example:
        >>> sorted(machine())[:2]
        ['cores', 'gpu']
    """
    return {
        "processor": processor(),
        "cores": cores(),
        "gpu": gpu(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **versions("streamhebb", "numpy", "numba"),
        "threads": torch.get_num_threads(),
    }


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def gpu() -> str | None:
    """Name of the CUDA card in use, if there is one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions(*names: str) -> dict[str, str | None]:
    """Versions of packages; ``None`` for one that is not installed.

    Example:
        >>> versions("no-such-package")
        {'no-such-package': None}
    """
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
