"""Every exception streamhebb raises on purpose.

```
StreamhebbError
├── CheckError                      a part or layer that breaks a law of the library
├── ConfigError (ValueError)        a part, net or setting that cannot be built
├── InputError (ValueError)         a sample that was refused, before anything learned from it
│   ├── ShapeError
│   ├── DTypeError
│   ├── DeviceError
│   ├── NonFiniteError
│   └── LabelError
├── DivergedError (ArithmeticError) weights left the finite numbers
├── PeerError (RuntimeError)        processes that learn together and lost each other
├── RaceError                       two tasks that came into each other's way
├── SnapshotError (ValueError)      a snapshot that cannot be written, read or does not fit
├── TraceError (ValueError)         a record of a run that cannot be written, read or replayed
├── SourceError (OSError)           data missing, truncated, or a camera that vanished
├── RunFolderError (OSError)        a run folder that cannot be read or written
│   └── BusyError                   one that another process is at
├── TrialsError                     some of several trials that could not be run
├── FeatureFileError (OSError)      features that cannot be kept on disk
└── MissingExtraError (ImportError) an optional dependency is not installed

RunawayWarning (UserWarning)        weights that grow beyond all measure, while still finite
```

A message names the value, what is allowed, and the cure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StreamhebbError(Exception):
    """Root of all exceptions raised by streamhebb."""


class CheckError(StreamhebbError):
    """A part or layer that breaks a law of the library; raised by ``streamhebb.checks`` only."""


class ConfigError(StreamhebbError, ValueError):
    """A part, net or setting that cannot be built."""


class InputError(StreamhebbError, ValueError):
    """A sample that was refused before anything learned from it."""


class ShapeError(InputError):
    """A sample of the wrong shape."""


class DTypeError(InputError, TypeError):
    """A sample of the wrong type of number."""


class DeviceError(InputError):
    """A sample that lies on another device than the net."""


class NonFiniteError(InputError):
    """A sample that holds NaN or infinite values."""


class LabelError(InputError):
    """A label outside the classes of the readout."""


class DivergedError(StreamhebbError, ArithmeticError):
    """Weights or activity are no longer finite numbers."""


class PeerError(StreamhebbError, RuntimeError):
    """Processes that learn together, and are no longer at the same place or have ended."""


class RaceError(StreamhebbError):
    """Something was written to that somebody else still needed, or read at the wrong time."""


class SnapshotError(StreamhebbError, ValueError):
    """A snapshot that cannot be written, read, or does not fit the net."""


class TraceError(StreamhebbError, ValueError):
    """A record of what ran that cannot be written, read, drawn, or run again."""


class SourceError(StreamhebbError, OSError):
    """Data that is missing or truncated, or a camera that vanished."""


class RunFolderError(StreamhebbError, OSError):
    """A run folder that cannot be read or written."""


class BusyError(RunFolderError):
    """A run folder that another process is at; it is free when that one ends."""


class TrialsError(StreamhebbError):
    """Some of several trials could not be run; the others were.

    Args:
        message: names each that could not, and why.
        results: of those that were run.
    """

    def __init__(self, message: str, results: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.results = tuple(results)


class FeatureFileError(StreamhebbError, OSError):
    """Features of a data set that cannot be kept on disk."""


class MissingExtraError(StreamhebbError, ImportError):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'streamhebb[{extra}]'")
        self.extra = extra


class RunawayWarning(UserWarning):
    """Weights grow beyond all measure; they are still finite, and nothing has been changed."""
