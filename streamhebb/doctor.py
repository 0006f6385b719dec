"""What this machine has, what it lacks, and what to do about each."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "streamhebb", "torch", "numpy", "numba", "river", "scikit-learn", "pydantic", "safetensors",
    "matplotlib", "rich", "typer",
)  # fmt: skip

EXTRAS = {
    "camera": ("cv2", "opencv-python-headless", "cameras, by number or address"),
    "video": ("av", "av", "video files"),
    "data": ("torchvision", "torchvision", "downloading the known data sets"),
    "spiking": ("norse.torch", "norse", "the dynamics of spiking neurons"),
    "triton": ("triton", "triton", "kernels for CUDA cards, on Linux"),
    "tracking": ("tensorboard", "tensorboard", "reports for TensorBoard"),
    "maps": ("umap", "umap-learn", "maps of samples by UMAP, as published"),
}
"""Extra -> module, package, what it is for."""

PATIENCE = 60.0  # seconds for a package to load


def examine() -> Iterator[str]:
    """Yield the report, line by line, as it becomes known. Never raises.

    Example:
        >>> next(examine())
        'versions'
    """
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "versions": _versions,
        "devices": _devices,
        "data": _data,
        "extras": _extras,
        "folders": _folders,
    }
    for name, section in sections.items():
        yield name
        try:
            for line in section():
                yield f"  {line}"
        except Exception as error:  # noqa: BLE001 - a doctor reports what is broken, whatever it is
            yield f"  could not be found out: {type(error).__name__}: {error}"


def _line(name: str, value: object, todo: str = "") -> str:
    return f"{name:<16} {value}" + (f" -> {todo}" if todo else "")


def _versions() -> Iterator[str]:
    yield _line("python", f"{platform.python_version()}  {sys.executable}")
    for package in PACKAGES:
        try:
            yield _line(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            if package == "streamhebb":
                yield _line(package, "not installed, run from a checkout", "pip install -e .")
            else:
                yield _line(package, "missing", f"pip install {package}")


def _devices() -> Iterator[str]:
    import torch

    from streamhebb.machine import cores, processor

    yield _line("processor", f"{processor()}, {cores()} cores for this process")

    threads = torch.get_num_threads()
    yield _line("torch threads", f"{threads}; a run uses 1 unless --threads says otherwise")
    if torch.version.cuda is None:
        yield _line("cuda", "none: this torch is a build without CUDA")
    elif not torch.cuda.is_available():
        todo = "if there is an NVIDIA card, check its driver with nvidia-smi"
        yield _line("cuda", "none that torch can use", todo)
    else:
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory / 2**30
            yield _line(f"cuda:{number}", f"{torch.cuda.get_device_name(number)}, {memory:.0f} GiB")


def _data() -> Iterator[str]:
    from streamhebb.sources import cache_folder, found, wanted

    for name, place in found().items():
        if place is not None:
            yield _line(name, f"found  {place}")
            continue
        todo = (
            f"streamhebb run --source {name} downloads it (needs the extra 'data' and a network), "
            f"or put it into {cache_folder()}, or set STREAMHEBB_DATA to the folder that holds it"
        )
        if name == "imagenet":
            todo = f"it cannot be downloaded: {wanted(name)}"
        yield _line(name, "not found", todo)


def _extras() -> Iterator[str]:
    # Each is loaded in a process of its own: a broken package must not take the doctor along.
    with ThreadPoolExecutor(len(EXTRAS)) as pool:
        loaded = pool.map(_loads, [module for module, _, _ in EXTRAS.values()])
    for (extra, (_, package, purpose)), trouble in zip(EXTRAS.items(), loaded, strict=True):
        install = f"pip install 'streamhebb[{extra}]'"
        if trouble is None:
            yield _line(extra, f"{package} {metadata.version(package)}  ({purpose})")
        elif trouble == "":
            yield _line(extra, f"missing  ({purpose})", install)
        else:
            todo = f"pip install --force-reinstall -c constraints.txt {package}"
            yield _line(extra, f"{package} does not load: {trouble}", todo)


def _loads(module: str) -> str | None:
    """``None`` if the module loads, ``""`` if it is not there, else what it says."""
    if importlib.util.find_spec(module) is None:
        return ""
    code = f"import {module}"
    if module == "torchvision":  # as the library loads it, beside a torch without CUDA
        code = "from streamhebb.sources._torchvision import datasets; datasets('a check')"
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, a fixed list of modules
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"it ends with exit code {done.returncode}"


def _folders() -> Iterator[str]:
    from streamhebb.sources import cache_folder

    cache = cache_folder()
    yield _line("cache", f"{cache}{_state(cache)}", _cure(cache))
    named = os.environ.get("STREAMHEBB_DATA")
    if not named:
        yield _line("STREAMHEBB_DATA", "not set: data sets are looked for in the cache only")
    else:
        folder = Path(named).expanduser()
        todo = "" if folder.is_dir() else "set it to a folder that exists, or unset it"
        yield _line("STREAMHEBB_DATA", f"{folder}{_state(folder)}", todo)
    here = Path.cwd()
    free = shutil.disk_usage(here).free / 2**30
    yield _line("runs", f"{here / 'runs'}, {free:.1f} GiB free", _cure(here / "runs"))


def _state(folder: Path) -> str:
    return "" if folder.is_dir() else " (does not exist)"


def _cure(folder: Path) -> str:
    """What to do if a folder cannot be written; the nearest parent that exists decides."""
    place = next(p for p in (folder, *folder.parents) if p.exists())
    if place.is_dir() and os.access(place, os.W_OK):
        return ""
    return f"cannot be written: change the rights of {place}"
