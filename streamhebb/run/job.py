"""From settings to everything a run needs, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streamhebb import snapshot, spec
from streamhebb.chain import trace_shapes
from streamhebb.errors import ConfigError, SnapshotError
from streamhebb.evaluate.prequential import Prequential
from streamhebb.histogram import Histogram
from streamhebb.net import StreamNet
from streamhebb.run.folder import RunFolder, new_folder
from streamhebb.run.keepsakes import Keepsakes
from streamhebb.run.measures import Convergence, Timeline, plastic_layers
from streamhebb.run.settings import RunSettings, has_lost_password, without_password
from streamhebb.running import Run
from streamhebb.schedule import Serial, Threads, Trace
from streamhebb.sources import Source, open_source, source_names

ROWS = 200
"""Lines of metrics that a stream of known length gets, about."""
EVERY_UNKNOWN = 50
"""Samples between two lines, where the length is not known."""
EVERY_LEAST = 10
"""Samples between two lines, in a short stream. What is in flight is learned from before a line is
taken, so lines cost time."""
CAMERA_SIZE = (48, 64)
VIDEO_SIDE = 64
"""Shorter side that videos are scaled to when no size is asked for."""


@dataclass
class Job:
    """A run that is ready to start, or to go on.

    Args:
        settings: what was asked for, with the net's name filled in.
        folder: where it will be kept.
        source: opened at the position where the run begins.
        net: fresh, or as the snapshot has it.
        position: samples seen before.
        total: length of the stream, counted from its beginning, if known.
        every: samples between two lines of metrics.
        seconds: time learned before.
    """

    settings: RunSettings
    folder: RunFolder
    source: Source
    net: StreamNet
    position: int
    total: int | None
    every: int
    seconds: float
    resumed: bool = False
    trace: Trace | None = None
    latency: Histogram | None = None

    def __post_init__(self) -> None:
        layers = plastic_layers(self.net)
        self.labelled = self.source.classes is not None and self.net.readout is not None
        self.prequential = Prequential(window=self.settings.window)
        self.convergence = Convergence(layers)
        self.timeline = Timeline(layers)
        self.keepsakes = None if self.labelled else Keepsakes(self.net)
        _set_scheduler(self.net, self.settings.scheduler)

    @property
    def source_name(self) -> str:
        """The source's name for displays."""
        return self.source.name

    @property
    def net_name(self) -> str:
        """The net's name for displays."""
        return Path(str(self.settings.net)).stem

    @property
    def chance(self) -> float | None:
        """Accuracy of a guess."""
        return 1 / len(self.source.classes) if self.source.classes else None

    def accuracies(self) -> tuple[float | None, float | None]:
        """Prequential accuracy over all samples and over the window; ``None`` without a label."""
        if not self.prequential.count:
            return None, None
        return self.prequential.accuracy, self.prequential.window_accuracy

    def is_due(self, position: int) -> bool:
        """Whether metrics are taken after so many samples."""
        quarter = self.total is not None and position == math.ceil(0.75 * self.total)
        return position % self.every == 0 or quarter

    def is_mark(self, position: int) -> bool:
        """Whether the net is looked at or saved after so many samples, so all must be learned."""
        save_every = self.settings.save_every
        return (
            self.is_due(position)
            or position % self.convergence.EVERY == 0
            or bool(save_every and position % save_every == 0)
        )

    def run(self) -> Run:
        """The source passing through the net."""
        settings = self.settings
        if settings.tune and not self.resumed:  # then the snapshot has told
            self.net.choose_kernels(torch.zeros(self.source.shape).uniform_(generator=_chance()))
        self.net.scheduler.trace = self.trace
        run = self.net.run(
            self.source,
            policy=settings.policy,
            waiting=settings.waiting,
            depth=settings.depth,
            deadline=settings.deadline,
            activity=self.is_due,
            pause=self.is_mark,
        )
        self.latency = run.report.latency
        return run

    def state(self, seconds: float) -> dict[str, Any]:
        """What a snapshot keeps beside the net, as plain JSON data."""
        return {
            "position": self.position,
            "every": self.every,
            "seconds": seconds,
            "prequential": self.prequential.state(),
            "convergence": self.convergence.state(),
            "timeline": self.timeline.state(),
            "keepsakes": None if self.keepsakes is None else self.keepsakes.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.prequential.restore(state["prequential"])
        self.convergence.restore(state["convergence"])
        self.timeline.restore(state["timeline"])
        if self.keepsakes is not None and state["keepsakes"] is not None:
            self.keepsakes.restore(state["keepsakes"])

    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Shape of one sample as it comes, and after every layer."""
        layers: Any = list(self.net.layers)
        found = trace_shapes(layers, self.net.names, self.source.shape)
        return list(zip(("the source", *self.net.names), found, strict=True))


def _chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)  # not torch's own: nobody else's draws may change


def _set_scheduler(net: StreamNet, name: str) -> None:
    kind, _, workers = name.partition(":")
    if kind == "auto":
        net.choose_later()
    else:
        net.scheduler = Serial() if kind == "serial" else Threads(int(workers) if workers else None)


def prepare(settings: RunSettings, out: Path | None = None) -> Job:
    """Get a new run ready; nothing is written yet.

    Args:
        settings: what to do.
        out: the run folder; ``None`` makes up a name below ``runs``.

    Raises:
        StreamhebbError: if source, net or folder cannot be used.
    """
    if out is not None:
        RunFolder(out).check_free()
    torch.set_num_threads(settings.threads)
    source = _open(settings, 0)
    name = settings.net or _default_net(settings.source)
    net = spec.build(
        name,
        input_shape=source.shape,
        classes=source.classes,
        seed=settings.seed,
        on_bad=settings.on_bad,
        readout=source.classes is not None,
    )
    folder = new_folder(source.name, name) if out is None else RunFolder(out)
    total = _total(source, settings, 0)
    every = EVERY_UNKNOWN if total is None else max(EVERY_LEAST, round(total / ROWS))
    return Job(settings.but(net=name), folder, source, net, 0, total, every, 0.0)


def prepare_resumed(path: Path, **changes: Any) -> Job:
    """Get a run ready to go on where its snapshot was taken; nothing is written yet.

    Args:
        path: its run folder.
        changes: settings that may differ from then: limit, save_every, on_bad, download, source.

    Raises:
        ConfigError: if the folder is not one of a run.
        SnapshotError: if its snapshot is missing or damaged.
    """
    folder = RunFolder(path)
    kept = RunSettings.parse(folder.read_settings(), f"{folder.settings}: ")
    settings = kept.but(**changes)
    if without_password(settings.source) != kept.source:
        raise ConfigError(
            f"--source {without_password(settings.source)} is not the source of this run, which is "
            f"{kept.source}: leave it out with --resume, or start a new run"
        )
    if has_lost_password(settings.source):
        raise ConfigError(
            f"the password of {settings.source} is not kept in the run folder; give the whole "
            f"address again with --source"
        )
    if not folder.snapshot.is_file():
        raise SnapshotError(
            f"there is no snapshot in {path}: that run ended before its first one; start it anew"
        )
    torch.set_num_threads(settings.threads)
    net = spec.load(folder.snapshot)
    net.on_bad = settings.on_bad
    state = snapshot.read(folder.snapshot)[1]["extra"]
    if not isinstance(state, dict) or "position" not in state:
        raise SnapshotError(f"{folder.snapshot} was not written by a run, so it has no position")
    position = state["position"]
    counts = net.counts
    source = _open(settings, position + counts.get("dropped", 0) + counts.get("overtaken", 0))
    if source.shape != net.input_shape:
        raise ConfigError(
            f"{source.name} gives samples of shape {source.shape}, but the run learned from "
            f"{net.input_shape}; give back the file or size it had"
        )
    total = _total(source, settings, position)
    job = Job(
        settings, folder, source, net, position, total, state["every"], state["seconds"], True
    )
    job.restore(state)
    return job


def _default_net(source: str) -> str:
    name = source.strip().lower().replace("_", "-").removesuffix("-twin")
    return spec.default_net(name if name in source_names() else source)


def _open(settings: RunSettings, position: int) -> Source:
    name = settings.source.strip().lower().replace("_", "-")
    size = settings.size
    if size is None and (name.startswith("camera:") or "://" in name):
        size = CAMERA_SIZE

    def opened(size: tuple[int, int] | None) -> Source:
        return open_source(
            settings.source,
            seed=settings.seed,
            size=size,
            gray=settings.gray,
            limit=settings.limit,
            start=position,
            epochs=settings.epochs,
            download=settings.download,
        )

    source = opened(size)
    if size is None and Path(settings.source).is_file():
        height, width = source.shape[1:]
        if min(height, width) > VIDEO_SIDE:
            by = VIDEO_SIDE / min(height, width)
            return opened((round(height * by), round(width * by)))
    return source


def _total(source: Any, settings: RunSettings, position: int) -> int | None:
    try:
        return position + len(source)
    except TypeError:
        return settings.limit
