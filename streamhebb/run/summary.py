"""A run in a few numbers."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch

from streamhebb.run.folder import Row
from streamhebb.run.job import Job


def summarise(
    job: Job,
    rows: Sequence[Row],
    status: str,
    trouble: Exception | None,
    source_counts: dict[str, int],
) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    Args:
        job: the run.
        rows: all lines of metrics; the last one is of the present position.
        status: ``"finished"``, ``"interrupted"`` or ``"failed"``.
        trouble: why it failed.
        source_counts: samples the source dropped or refused.
    """
    last = rows[-1]
    summary: dict[str, Any] = {
        "status": status,
        "source": job.source_name,
        "net": job.net_name,
        "seed": job.settings.seed,
        "samples": job.position,
        "seconds": last["seconds"],
        "samples_per_second": round(job.position / max(last["seconds"], 1e-9), 2),
    }
    if trouble is not None:
        summary["error"] = str(trouble)
    if job.labelled:
        summary["accuracy"], summary["window_accuracy"] = job.accuracies()
        summary["window"] = job.settings.window
        summary["last_quarter"] = last_quarter(rows)
    net = job.net
    summary["scheduler"] = repr(net.scheduler) if net.choice is None else str(net.choice)
    if job.settings.tune:
        summary["kernels"] = net.kernels()
    if job.latency is not None:
        summary["latency"] = job.latency.summary()
    summary["neurons"] = job.convergence.neurons
    summary["converged"] = job.convergence.share
    summary["radius"] = last["radius"]
    summary["counts"] = {**job.net.counts, **source_counts}
    summary["nonlocal_parts"] = {k: list(v) for k, v in job.net.nonlocal_parts().items()}
    summary["versions"] = {
        "streamhebb": version("streamhebb"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    return summary


def last_quarter(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Prequential accuracy over the last quarter of the samples seen.

    It begins at the line of metrics that is nearest to three quarters; a stream of known length
    that is seen to its end has a line exactly there.

    Example:
        >>> rows = [
        ...     {"sample": 3, "accuracy": 0.0, "labelled": 3},
        ...     {"sample": 4, "accuracy": 0.25, "labelled": 4},
        ... ]
        >>> last_quarter(rows)
        {'accuracy': 1.0, 'from': 3, 'samples': 1}
    """
    end = rows[-1]
    start: Row = {"sample": 0, "accuracy": 0.0, "labelled": 0}
    for row in rows:
        near = abs(row["sample"] - 0.75 * end["sample"])
        if row["labelled"] < end["labelled"] and near <= abs(
            start["sample"] - 0.75 * end["sample"]
        ):
            start = row
    count = end["labelled"] - start["labelled"]
    if not count:
        return None
    right = _right(end) - _right(start)
    return {"accuracy": right / count, "from": start["sample"], "samples": count}


def _right(row: Row) -> int:
    return round(float(row["accuracy"] or 0.0) * int(row["labelled"]))


def in_words(summary: dict[str, Any]) -> list[str]:
    """The summary as two lines for people.

    Example:
        >>> in_words(
        ...     {
        ...         "samples": 10,
        ...         "seconds": 2.0,
        ...         "samples_per_second": 5.0,
        ...         "neurons": 4,
        ...         "converged": None,
        ...         "status": "finished",
        ...     }
        ... )
        ['10 samples in 2.0 s (5 a second); finished', '4 neurons, too short to tell how many ...']
    """
    latency = summary.get("latency")
    first = (
        f"{summary['samples']:,} samples in {summary['seconds']:.1f} s "
        f"({summary['samples_per_second']:,.0f} a second)"
    )
    if latency and latency["count"]:
        first += f", answers after {_ms(latency['p50'])} (99 %: {_ms(latency['p99'])})"
    share = summary["converged"]
    neurons = f"{summary['neurons']:,} neurons, " + (
        "too short to tell how many have converged" if share is None else f"{share:.0%} converged"
    )
    if "accuracy" not in summary:
        return [f"{first}; {summary['status']}", neurons]
    accuracy = "prequential accuracy unknown: no sample had a label"
    if summary["accuracy"] is not None:
        accuracy = f"prequential accuracy {summary['accuracy']:.1%} overall"
        if summary["last_quarter"] is not None:
            accuracy += f", {summary['last_quarter']['accuracy']:.1%} over the last quarter"
    return [accuracy, f"{first}; {neurons}; {summary['status']}"]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def version(package: str) -> str | None:
    """Version of an installed package, ``None`` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
