"""Which backend carries out the kernels: chosen by name, by variable, or left to the library."""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType

from streamhebb.errors import ConfigError

VARIABLE = "STREAMHEBB_KERNELS"
DEFAULT = "torch"
_MODULES = {name: f"streamhebb.kernels.{name}_backend" for name in ("numba", "torch", "triton")}
_NAMES = ("auto", *_MODULES)
_EXTRAS = {"triton": "triton"}  # which extra brings what

_here = threading.local()  # the choice of this thread, if it has one
_lock = threading.Lock()
# Plain calls, the last one counts; and for an instant blocks, made but not entered yet. More than
# that need not be kept, and a program that calls often must not grow.
_called: deque[use] = deque(maxlen=64)
_entered: list[use] = []  # with-blocks that are open, the last one entered counts
_found: dict[str, ModuleType] = {}  # what it comes to; empty until found out


class use:
    """Choose the backend of all kernels of this process.

    A plain call holds until the next one; in a ``with`` block the choice ends with the block, and
    the block entered last counts. The choice is the whole process's, not one thread's: layers may
    learn in threads of their own, and all of them must follow it.

    Args:
        name: ``"torch"``; ``"numba"``, compiled for the CPU when first used, which takes some
            seconds; ``"triton"``, compiled for CUDA cards likewise (extra ``triton``); or
            ``"auto"``, numba where it can be imported. What a backend does not serve, torch does:
            other devices and precisions, inputs that need gradients.

    Raises:
        ConfigError: for another name, or if what is chosen cannot be imported.

    Example:
        >>> from streamhebb import kernels
        >>> with kernels.use("torch"):
        ...     kernels.backend()
        'torch'
    """

    def __init__(self, name: str) -> None:
        load(name, "kernels.use")  # a name that cannot serve changes nothing
        self.name = name
        with _lock:
            _called.append(self)
            _found.clear()

    def __enter__(self) -> use:
        with _lock:
            if self in _called:
                _called.remove(self)  # a block is no plain call
            _entered.append(self)
            _found.clear()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _lock:
            _entered.remove(self)
            _found.clear()


@contextmanager
def during(name: str | None) -> Iterator[None]:
    """Choose the backend of what this thread calls in the block, whatever the process uses.

    Args:
        name: of a backend; ``None`` leaves the choice as it is.
    """
    if name is None:
        yield
        return
    before = getattr(_here, "module", None)
    _here.module = load(name, "kernels.during")
    try:
        yield
    finally:
        _here.module = before


def backend() -> str:
    """The backend in use: ``"torch"``, ``"numba"`` or ``"triton"``.

    Set by [`use`][streamhebb.kernels.use], else by the environment variable
    ``STREAMHEBB_KERNELS``, else ``"torch"``.

    Raises:
        ConfigError: if the variable names a backend that does not exist.
    """
    return active().__name__.rpartition(".")[2].removesuffix("_backend")


def active() -> ModuleType:
    """The module of the backend in use."""
    module: ModuleType | None = getattr(_here, "module", None) or _found.get("active")
    if module is None:
        with _lock:
            if chosen := _entered or _called:
                name, said_by = chosen[-1].name, "kernels.use"
            else:
                name, said_by = os.environ.get(VARIABLE) or DEFAULT, VARIABLE
            module = _found["active"] = load(name, said_by)
    return module


def load(name: str, said_by: str) -> ModuleType:
    """Import a backend by name."""
    if name not in _NAMES:
        raise ConfigError(f"{said_by}: there is no backend {name!r}; choose one of {_NAMES}")
    if name == "auto":
        name = "torch" if importlib.util.find_spec("numba") is None else "numba"
    extra = _EXTRAS.get(name)
    try:
        if extra is not None:
            importlib.import_module(extra)  # the backend's own module loads without it
        return importlib.import_module(_MODULES[name])
    except ImportError as error:
        missing = "numba" if extra is None else f"'streamhebb[{extra}]'"
        raise ConfigError(
            f"{said_by}: the backend {name!r} cannot be imported ({error}); choose 'torch', or "
            f"install what is missing: pip install {missing}"
        ) from error
