"""``streamhebb bench schedule``: what schedulers gain and cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer

from streamhebb.benchmark.record import Out, finish, show, whole_numbers
from streamhebb.parts import require, require_choice

app = typer.Typer(help="What schedulers gain and cost.", no_args_is_help=True)


@app.callback()
def _one_thread() -> None:
    """What schedulers gain and cost."""
    torch.set_num_threads(1)


Picture = Annotated[Path | None, typer.Option(help="Also draw the result to this PNG file.")]
Workers = Annotated[int, typer.Option(help="Threads that work at the same time.")]
Rounds = Annotated[int, typer.Option(help="Turns each side takes.")]


@app.command()
def speed(
    batches: Annotated[str, typer.Option(help="Samples a step, e.g. 10,1")] = "10,1",
    busy: Annotated[
        int, typer.Option(help="Measure also beside so many processes that keep a core busy.")
    ] = 0,
    rounds: Rounds = 9,
    steps: Annotated[int, typer.Option(help="Timed steps of a turn at batch 10 or more.")] = 10,
    depth: Annotated[int | None, typer.Option(help="Steps in flight.")] = None,
    workers: Workers = 2,
    picture: Picture = None,
    out: Out = None,
) -> None:
    """The published CIFAR-10 net: one thread, OpenMP and layers in threads, taking turns."""
    from streamhebb.benchmark.schedule.speed import compare, draw

    for name, value in (("rounds", rounds), ("steps", steps), ("workers", workers)):
        require("bench schedule speed", name, value, at_least=1, whole=True)
    require("bench schedule speed", "busy", busy, at_least=0, whole=True)
    found = []
    for batch in whole_numbers("bench schedule", "batches", batches):
        turn = steps * (4 if batch < 10 else 1)  # short steps, longer turns
        found += compare(batch, busy=busy, rounds=rounds, steps=turn, depth=depth, workers=workers)
    table = [
        [
            "batch",
            "busy beside it",
            "way",
            "threads",
            "ms a step",
            "times as fast",
            "worst, best",
            "same bits",
        ]
    ]
    for row in found:
        times, spread = f"{row.times:.2f}", f"{row.lowest:.2f}, {row.highest:.2f}"
        cells = row.batch, row.busy, row.way, row.threads, f"{row.ms:.1f}", times, spread
        table.append([*map(str, cells), "yes" if row.same_bits else "no"])
    show(table)
    if picture is not None:
        typer.echo(f"written to {draw(found, picture)}")
    settings = {"rounds": rounds, "steps": steps, "depth": depth, "workers": workers}
    finish(out, {"settings": settings, "speed": [asdict(row) for row in found]})


@app.command()
def overhead(
    rounds: Rounds = 15,
    frames: Annotated[int, typer.Option(help="Frames, or samples of the net, of a turn.")] = 1000,
    out: Out = None,
) -> None:
    """Microseconds a task of schedulers over tasks, and over layers, that do nothing."""
    from streamhebb.benchmark.schedule.overhead import of_nets, of_plans
    from streamhebb.benchmark.schedule.untraced import untraced

    for name, value in (("rounds", rounds), ("frames", frames)):
        require("bench schedule overhead", name, value, at_least=1, whole=True)
    found = [*of_plans(rounds, frames), *of_nets(rounds, frames)]
    title = "what|way|in flight|traced|µs a task|more than bare|µs a sample besides"
    table = [title.split("|")]
    for row in found:
        besides = f"{row.per_frame:.1f}" if row.what == "net" else ""
        traced = "yes" if row.traced else ""
        costs = [f"{row.us:.2f}", f"{row.added:.2f}", besides]
        table.append([row.what, row.way, str(row.in_flight), traced, *costs])
    show(table)
    off = untraced(rounds, 40 * frames)
    typer.echo(
        f"tracing off costs a task {off.serial:.0f} ns in Serial; in Threads {off.check:.0f} ns, "
        f"and {off.clock:.0f} ns if two looks at the clock are counted that it takes anyway"
    )
    result = {"overhead": [asdict(row) for row in found], "untraced": asdict(off)}
    finish(out, {"settings": {"rounds": rounds, "frames": frames}} | result)


@app.command()
def host(
    batches: Annotated[str, typer.Option(help="Samples a step, e.g. 1,10")] = "1",
    together: Annotated[int, typer.Option(help="Steps of a block, and of a wavefront.")] = 32,
    rounds: Rounds = 15,
    blocks: Annotated[int, typer.Option(help="Blocks of a turn.")] = 8,
    out: Out = None,
) -> None:
    """What a recorded step costs the host, on a device that does nothing: in blocks, and singly."""
    from streamhebb.benchmark.schedule.host import compare

    for name, value in (("together", together), ("rounds", rounds), ("blocks", blocks)):
        require("bench schedule host", name, value, at_least=1, whole=True)
    found = []
    for batch in whole_numbers("bench schedule", "batches", batches):
        found += compare(batch, together=together, rounds=rounds, turn=blocks)
    table = [["batch", "way", "steps together", "µs a step", "best, worst"]]
    for row in found:
        spread = f"{row.lowest:.1f}, {row.highest:.1f}"
        table.append([str(row.batch), row.way, str(row.together), f"{row.us:.1f}", spread])
    show(table)
    settings = {"together": together, "rounds": rounds, "blocks": blocks}
    finish(out, {"settings": settings, "host": [asdict(row) for row in found]})


@app.command()
def balance(
    widths: Annotated[str, typer.Option(help="Neurons a layer, e.g. 900,1500")] = "900,1500",
    batch: Annotated[int, typer.Option(help="Samples a step.")] = 256,
    rounds: Rounds = 9,
    steps: Annotated[int, typer.Option(help="Timed steps of a turn.")] = 40,
    workers: Workers = 2,
    out: Out = None,
) -> None:
    """Three layers that weigh the same: how near to the bound layers in threads come."""
    from streamhebb.benchmark.schedule.balance import compare

    for name, value in (("batch", batch), ("rounds", rounds), ("steps", steps)):
        require("bench schedule balance", name, value, at_least=1, whole=True)
    found = []
    for width in whole_numbers("bench schedule", "widths", widths):
        found += compare(width, batch=batch, workers=workers, rounds=rounds, steps=steps)
    title = "neurons|pieces|shared|layers, ms|1 thread, ms|bound, ms|apart, ms|took, ms"
    table = [[*title.split("|"), "times as fast", "of the bound", "of apart", "same bits"]]
    for row in found:
        layers = " ".join(f"{ms:.2f}" for ms in row.layers)
        times = [f"{ms:.2f}" for ms in (row.serial, row.bound, row.apart, row.ms, row.times)]
        cells = row.width, row.pieces, "yes" if row.shared else "no", layers, *times
        reached = f"{100 * row.reached:.0f} %", f"{100 * row.of_apart:.0f} %"
        table.append([*map(str, cells), *reached, "yes" if row.same_bits else "no"])
    show(table)
    settings = {"batch": batch, "rounds": rounds, "steps": steps}
    finish(out, {"settings": settings, "balance": [asdict(row) for row in found]})


@app.command()
def orders(
    data: Annotated[str, typer.Option(help="Data sets, e.g. mnist,cifar10")] = "mnist,cifar10",
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    samples: Annotated[int, typer.Option(help="Samples of the stream.")] = 1500,
    tested: Annotated[int, typer.Option(help="Test images.")] = 1000,
    only: Annotated[str, typer.Option(help="Ways beside 'in order', separated by ;")] = "",
    picture: Picture = None,
    out: Out = None,
) -> None:
    """What orders that do not keep step cost in accuracy, on MNIST and CIFAR-10."""
    from streamhebb.benchmark.schedule.orders import WAYS, Cost, compare, draw
    from streamhebb.benchmark.schedule.small import NETS, load

    names = [name.strip() for name in only.split(";") if name.strip()]
    for name in names:
        require_choice("bench schedule orders", "only", name, tuple(way.name for way in WAYS))
    chosen = [way for way in WAYS if way is WAYS[0] or way.name in names or not names]
    for name in data.split(","):
        require_choice("bench schedule orders", "data", name, tuple(NETS))
    found: list[Cost] = []
    for seed in whole_numbers("bench schedule", "seeds", seeds, 0):
        for name in data.split(","):
            for row in compare(load(name, seed, samples, tested), seed, chosen):
                found.append(row)
                typer.echo(
                    f"{row.data}, seed {row.seed}, {row.way}: test {100 * row.test:.2f} %, "
                    f"{row.per_second:.0f} samples a second"
                )
    title = "data|way|test, %|ridge, %|in the stream, %|behind, mean|most|samples a second"
    table = [title.split("|")]
    for name, way in dict.fromkeys((row.data, row.way) for row in found):
        mine = [row for row in found if (row.data, row.way) == (name, way)]
        accuracies = [
            _spread([100 * getattr(row, measure) for row in mine])
            for measure in ("test", "ridge", "prequential")
        ]
        behind = statistics.mean(row.behind for row in mine)
        pace = statistics.mean(row.per_second for row in mine)
        most = max(row.most for row in mine)
        table.append([name, way, *accuracies, f"{behind:.2f}", str(most), f"{pace:.0f}"])
    show(table)
    if picture is not None:
        typer.echo(f"written to {draw(found, picture)}")
    settings = {"samples": samples, "tested": tested}
    finish(out, {"settings": settings, "orders": [asdict(row) for row in found]})


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


@app.command()
def latency(
    source: Annotated[str, typer.Option(help="A data set.")] = "mnist",
    net: Annotated[str | None, typer.Option(help="A net; by default the source's own.")] = None,
    factor: Annotated[float, typer.Option(help="Pace, in speeds of learning.")] = 1.5,
    seconds: Annotated[float, typer.Option(help="Of stream, for each policy.")] = 10.0,
    deadline: Annotated[float, typer.Option(help="Milliseconds, for skip_learning.")] = 50.0,
    waiting: Annotated[
        int | None,
        typer.Option(help="Samples that may wait before the net; by default 2, or 64 to skip."),
    ] = None,
    workers: Workers = 2,
    warmup: Annotated[int, typer.Option(help="Samples that tell the speed of learning.")] = 300,
    out: Out = None,
) -> None:
    """Samples that come faster than the net learns: what each policy makes of them."""
    from streamhebb import spec
    from streamhebb.benchmark.schedule.latency import learning_speed, measure
    from streamhebb.sources import open_source

    for name, value in (("factor", factor), ("seconds", seconds), ("deadline", deadline)):
        require("bench schedule latency", name, value, above=0)
    require("bench schedule latency", "warmup", warmup, at_least=1, whole=True)
    opened = open_source(source, limit=warmup)
    name = spec.default_net(source) if net is None else net
    model = spec.build(name, input_shape=opened.shape, classes=opened.classes, seed=0)
    speed = learning_speed(model, list(opened), workers)
    count = max(2, math.ceil(factor * speed * seconds))
    epochs = math.ceil(count / len(open_source(source)))  # type: ignore[arg-type]
    samples = list(open_source(source, limit=count, epochs=epochs))
    typer.echo(f"{name} learns from {speed:.0f} samples a second; {factor * speed:.0f} come")
    found = measure(
        model, samples, factor * speed, deadline=deadline, waiting=waiting, workers=workers
    )
    title = "policy|p50, ms|p99, ms|max, ms|results|learned|source late, s|missed"
    table = [title.split("|")]
    for row in found:
        times = (f"{ms:.1f}" for ms in (row.p50, row.p99, row.max))
        missed = ", ".join(f"{count} {cause}" for cause, count in sorted(row.missed.items()))
        counts = str(row.results), str(row.learned), f"{row.late:.1f}"
        table.append([row.policy, *times, *counts, missed])
    show(table)
    settings = {
        "source": source,
        "net": name,
        "learning_speed": speed,
        "factor": factor,
        "waiting": waiting,
        "workers": workers,
    }
    finish(out, {"settings": settings, "latency": [asdict(row) for row in found]})
