"""``streamhebb bench cifar10`` and ``streamhebb bench probe``."""

from __future__ import annotations

import statistics
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from streamhebb import kernels as backends
from streamhebb.benchmark.record import Out, finish, seeds_of, show
from streamhebb.parts import require


def cifar10(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0",
    threads: Annotated[int, typer.Option(help="Threads; layers learn in them at once.")] = 2,
    method: Annotated[
        str, typer.Option(help="direct, winograd2, winograd4, or tune, which measures.")
    ] = "winograd4",
    precision: Annotated[str, typer.Option(help="Of products: full or bfloat16.")] = "full",
    kernels: Annotated[
        str | None, typer.Option(help="torch or numba.", show_default="as the environment says")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images a step, without labels.")] = 10,
    epochs: Annotated[int, typer.Option(help="Of the probe; 50 are published.")] = 50,
    limit: Annotated[int | None, typer.Option(help="Images of each set.")] = None,
    net: Annotated[str, typer.Option(help="A built-in net or a file.")] = "softhebb-cifar10",
    keep: Annotated[
        Path | None, typer.Option(help="Keep features in this folder, and find them again.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store features in half precision.")] = False,
    out: Out = None,
) -> None:
    """CIFAR-10 as published: a pass without labels, features once, a linear probe of 50 epochs."""
    from streamhebb.benchmark.offline.cifar10 import read, run_seed
    from streamhebb.suite import Setup

    require("bench cifar10", "threads", threads, at_least=1, whole=True)
    chosen = seeds_of("bench cifar10", seeds)
    Setup.of(threads=threads, kernels=kernels).check()
    torch.set_num_threads(1)  # layers and mini-batches share the threads, not operators
    train, test = read(limit)
    with nullcontext() if kernels is None else backends.use(kernels):
        found = [
            run_seed(
                seed,
                train,
                test,
                net=net,
                threads=threads,
                method=method,
                precision=precision,
                batch_size=batch_size,
                epochs=epochs,
                keep=keep,
                half=half,
                tell=typer.echo,
            )
            for seed in chosen
        ]
        backend = backends.backend()
    values = [100 * result.test_accuracy for result in found]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    seconds = statistics.mean(result.seconds for result in found)
    typer.echo(
        f"test {statistics.mean(values):.2f}{spread} % over {len(values)} seeds, "
        f"{seconds / 60:.1f} minutes each"
    )
    settings = {
        "net": net,
        "workers": threads,
        "method": method,
        "precision": precision,
        "backend": backend,
        "batch_size": batch_size,
        "epochs": epochs,
        "half": half,
        "kept": keep is not None,
    }
    finish(out, {"settings": settings, "cifar10": [result.row() for result in found]})


def probe(
    features: Annotated[int, typer.Option(help="Of a sample.")] = 24_576,
    batch_size: Annotated[int, typer.Option(help="Samples a step.")] = 64,
    samples: Annotated[int, typer.Option(help="That steps draw their rows from.")] = 4096,
    dropout: Annotated[float, typer.Option(help="Share of the features left out.")] = 0.5,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
    rounds: Annotated[int, typer.Option(help="Turns each way takes.")] = 15,
    out: Out = None,
) -> None:
    """A step of the linear probe, beside torch's modules, autograd and generator; interleaved."""
    from streamhebb.benchmark.offline.probe import compare

    for name, value in (
        ("features", features), ("batch-size", batch_size), ("samples", samples),
        ("threads", threads), ("rounds", rounds),
    ):  # fmt: skip
        require("bench probe", name, value, at_least=1, whole=True)
    found = compare(
        features=features,
        batch=batch_size,
        samples=samples,
        dropout=dropout,
        count=threads,
        rounds=rounds,
    )
    table = [["way", "ms", "times as fast", "worst, best"]]
    for row in found:
        spread = f"{row.lowest:.1f}, {row.highest:.1f}"
        table.append([row.way, f"{row.ms:.2f}", f"{row.times:.1f}", spread])
    show(table)
    settings = {
        "features": features,
        "batch_size": batch_size,
        "samples": samples,
        "dropout": dropout,
        "threads": threads,
        "rounds": rounds,
    }
    finish(out, {"settings": settings, "probe": [asdict(row) for row in found]})
