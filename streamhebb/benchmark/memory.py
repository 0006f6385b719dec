"""Does memory stay flat over a long stream?"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from streamhebb import spec
from streamhebb.errors import ConfigError


@dataclass(frozen=True)
class MemoryTrace:
    """Resident memory during a run, in MiB.

    Args:
        steps: after warm-up.
        start: at the end of the warm-up.
        low: least, from then on.
        high: most, from then on.
        end: after the last step.
    """

    steps: int
    start: float
    low: float
    high: float
    end: float


def resident_mib() -> float:
    """Resident memory of this process in MiB.

    Raises:
        ConfigError: where the system does not tell (there is no ``/proc``).
    """
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
    except OSError as error:
        raise ConfigError("this system does not tell the memory of a process: no /proc") from error
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def trace(
    steps: int = 100_000,
    *,
    net: str = "digits",
    warmup: int = 2000,
    every: int = 1000,
    on_progress: Callable[[int, float], None] | None = None,
) -> MemoryTrace:
    """Step through random images and watch resident memory."""
    model = spec.build(net, input_shape=(1, 8, 8))
    chance = torch.Generator().manual_seed(0)
    seen: list[float] = []
    for number in range(1, warmup + steps + 1):
        image = torch.rand(1, 8, 8, generator=chance)
        model.step(image, number % 10)
        if number == warmup or (number > warmup and number % every == 0):
            gc.collect()
            seen.append(resident_mib())
            if on_progress is not None:
                on_progress(number - warmup, seen[-1])
    return MemoryTrace(steps, seen[0], min(seen), max(seen), seen[-1])
