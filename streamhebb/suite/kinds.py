"""All kinds of trials, and trials read back from files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from streamhebb.errors import ConfigError
from streamhebb.suite.interpolations import InterpolationTrial
from streamhebb.suite.offline import OfflineTrial
from streamhebb.suite.onepass import OnePassTrial
from streamhebb.suite.pictured import ImagesTrial, KernelsTrial, PreferredTrial
from streamhebb.suite.posthoc import PostHocTrial
from streamhebb.suite.robust import RobustTrial
from streamhebb.suite.speed import SpeedTrial
from streamhebb.suite.stream import StreamTrial
from streamhebb.suite.trial import Trial, parse

KINDS: Mapping[str, type[Trial]] = MappingProxyType(
    {
        "offline": OfflineTrial,
        "stream": StreamTrial,
        "post-hoc": PostHocTrial,
        "one-pass": OnePassTrial,
        "robust": RobustTrial,
        "interpolations": InterpolationTrial,
        "speed": SpeedTrial,
        "preferred": PreferredTrial,
        "images": ImagesTrial,
        "kernels": KernelsTrial,
    }
)
"""Kinds of trials by the name that files have for them."""


def read_trial(data: Any) -> Trial:
    """Check a trial that was read from a file.

    Raises:
        ConfigError: saying what is wrong.

    Example:
        >>> read_trial({"kind": "offline", "net": "2SoftMlpMNIST"}).seed
        0
    """
    kind = str(data.get("kind")) if isinstance(data, dict) else ""
    if kind not in KINDS:
        raise ConfigError(f"there is no kind of trial {kind!r}; there are {', '.join(KINDS)}")
    trial: Trial = parse(KINDS[kind], data)
    return trial
