"""The pictures of a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamhebb.errors import ConfigError, RunFolderError
from streamhebb.run.folder import Row
from streamhebb.run.job import Job
from streamhebb.run.keepsakes import Keepsakes
from streamhebb.run.measures import plastic_layers
from streamhebb.snapshot import replace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(job: Job, rows: Sequence[Row]) -> list[Path]:
    """Draw what there is to show and write it into the run folder.

    Returns:
        The files.

    Raises:
        RunFolderError: if the disk refuses.
    """
    from streamhebb.pictures import png

    files = []
    for name, figure in _figures(job, rows):
        path = job.folder.path / f"{name}.png"
        try:
            replace(path, png(figure))
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error}; free some space") from error
        files.append(path)
    return files


def _figures(job: Job, rows: Sequence[Row]) -> Iterator[tuple[str, Figure]]:
    from streamhebb import pictures

    through = "" if job.net_name == job.source_name else f" through the net {job.net_name}"
    what = f"{job.position:,} samples of {job.source_name}{through}"
    layers = plastic_layers(job.net)
    if job.labelled:
        yield (
            "learning_curve",
            pictures.learning_curve(
                [row["sample"] for row in rows],
                [row["accuracy"] for row in rows],
                [row["window_accuracy"] for row in rows],
                window=job.settings.window,
                chance=job.chance,
                title=f"Learning curve: {what}",
            ),
        )
    if not layers:
        return
    fields = _fields(job, what)
    if fields is not None:
        yield "receptive_fields", fields
    radius = {name: layer.radius() for name, layer in layers.items()}
    yield "radii", pictures.radii(radius, title=f"Weight radii: {what}")
    wins = {name: total for name, total in job.timeline.totals.items() if total.any()}
    if wins:
        yield "win_shares", pictures.win_shares(wins, title=f"Shares of wins: {what}")
    if job.keepsakes is None:
        return
    at, shares = job.timeline.shares()
    if at:
        title = f"Activity over time: {what}"
        yield "activity", pictures.activity_over_time(at, shares, title=title)
    if job.keepsakes.kept:
        yield "reconstruction", _reconstructions(job.keepsakes, what)


def _fields(job: Job, what: str) -> Figure | None:
    from streamhebb import pictures

    name, layer = next(iter(plastic_layers(job.net).items()))
    wins = job.timeline.totals[name]
    try:
        return pictures.receptive_fields(
            layer.kernel,
            shape=job.source.shape if layer.kernel.ndim == 2 else None,
            wins=wins if wins.any() else None,
            title=f"Receptive fields of {name}: {what}",
        )
    except ConfigError:
        return None  # a dense layer on features: its weights are no pictures


def _reconstructions(keepsakes: Keepsakes, what: str) -> Figure:
    from streamhebb import pictures

    kept = keepsakes.kept
    rows = [
        ("input", [keepsake.picture / 255 for keepsake in kept]),
        ("rebuilt at the time", [keepsake.rebuilt for keepsake in kept]),
    ]
    now = keepsakes.rebuilt_now()
    if now is not None:
        rows.append(("rebuilt at the end", now))
    note = (
        "Each window that the first layer sees is replaced by the weights of its winner, as they "
        "were at the time,\nand as they are at the end. Above each input stands its number."
    )
    return pictures.reconstructions(
        rows, [keepsake.sample for keepsake in kept], title=f"Reconstruction: {what}", note=note
    )
