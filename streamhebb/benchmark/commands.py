"""``streamhebb bench``: the figures in the documentation, each by one command."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import torch
import typer

from streamhebb.benchmark.dense.command import dense
from streamhebb.benchmark.offline.command import cifar10, probe
from streamhebb.benchmark.record import Out as _Out
from streamhebb.benchmark.record import finish as _finish
from streamhebb.benchmark.record import whole_numbers
from streamhebb.benchmark.schedule.commands import app as schedule
from streamhebb.benchmark.search import search
from streamhebb.benchmark.speed.command import speed
from streamhebb.benchmark.spiking.command import spiking
from streamhebb.benchmark.suite import again, list_experiments, measures, report, run
from streamhebb.parts import require

app = typer.Typer(
    help="Measure: one command for each figure in the documentation.", no_args_is_help=True
)
app.add_typer(schedule, name="schedule")
app.command("list")(list_experiments)
app.command()(run)
app.command()(again)
app.command()(measures)
app.command()(report)
app.command()(search)
app.command()(speed)
app.command()(dense)
app.command()(spiking)
app.command()(cifar10)
app.command()(probe)


@app.command()
def step(
    threads: Annotated[str, typer.Option(help="Numbers of threads, e.g. 1,2")] = "1,2",
    rounds: Annotated[int, typer.Option(help="Turns each side takes.")] = 40,
    out: _Out = None,
) -> None:
    """784 -> 2000 SoftHebb with readout at batch 1, against plain torch calls, interleaved."""
    from dataclasses import asdict

    from streamhebb.benchmark.step import compare

    require("bench step", "rounds", rounds, at_least=1, whole=True)
    rows = []
    for count in whole_numbers("bench step", "threads", threads):
        cost = compare(count, rounds)
        rows.append(asdict(cost))
        typer.echo(
            f"{cost.threads} threads: step {cost.net_us:.0f} us, plain calls {cost.plain_us:.0f} "
            f"us, ratio {cost.ratio:.2f}; weights apart {cost.apart:.1e}"
        )
    _finish(out, {"step": rows})


@app.command()
def mnist(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    net: Annotated[str, typer.Option(help="A built-in net or a file.")] = "mnist",
    limit: Annotated[int | None, typer.Option(help="Samples of the stream.")] = None,
    probe_epochs: Annotated[int, typer.Option(help="Epochs of the probe; 0: none.")] = 50,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
    out: _Out = None,
) -> None:
    """MNIST, one pass, one sample at a time: online readout and linear probe, several seeds."""
    from streamhebb.benchmark.mnist import run_seed

    torch.set_num_threads(threads)
    rows = []
    for seed in (int(part) for part in seeds.split(",")):
        result = run_seed(
            seed,
            net=net,
            limit=limit,
            probe_epochs=probe_epochs,
            on_progress=lambda n, a: typer.echo(f"  {n} samples, prequential {100 * a:.2f} %"),
        )
        rows.append(result.row())
        typer.echo(
            f"seed {seed}: prequential {100 * result.prequential:.2f} %, last quarter "
            f"{100 * result.last_quarter:.2f} %, test {100 * result.test:.2f} %; stream "
            f"{result.stream_seconds:.0f} s"
        )
        if result.probe is not None:
            typer.echo(f"  probe {100 * result.probe:.2f} %, {result.probe_seconds:.0f} s")
    for name in ("last_quarter", "test", "probe") if probe_epochs else ("last_quarter", "test"):
        values = [100 * row[name] for row in rows]
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        typer.echo(f"{name}: {statistics.mean(values):.2f}{spread} % over {len(values)} seeds")
    _finish(out, {"net": net, "mnist": rows})


@app.command()
def memory(
    steps: Annotated[int, typer.Option(help="Steps after the warm-up.")] = 100_000,
    out: _Out = None,
) -> None:
    """Resident memory over a long stream."""
    from dataclasses import asdict

    from streamhebb.benchmark.memory import trace

    torch.set_num_threads(1)
    found = trace(steps)
    typer.echo(
        f"{found.steps} steps: {found.start:.1f} MiB after warm-up, then between {found.low:.1f} "
        f"and {found.high:.1f}, at the end {found.end:.1f}"
    )
    _finish(out, {"memory": asdict(found)})


@app.command()
def scaling(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    samples: Annotated[int, typer.Option(help="Samples learned from, without labels.")] = 3000,
    out: _Out = None,
) -> None:
    """What each scaling of a change earns on MNIST, beside random weights."""
    from dataclasses import asdict

    from streamhebb.benchmark.scaling import CHOICES, described, run_choice

    torch.set_num_threads(1)
    rows = []
    for name, choice, lr in CHOICES:
        found = [run_choice(name, choice, lr, int(seed), samples) for seed in seeds.split(",")]
        rows += [asdict(result) for result in found]
        values = [100 * result.test for result in found]
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        last = found[-1]
        typer.echo(
            f"{name:<21} lr {lr:<7g} test {statistics.mean(values):.2f}{spread} %   radius "
            f"{last.radius:.2f}, cosine to the first weights {last.turned:.2f}"
        )
    _finish(out, {"samples": samples, "choices": described(), "scaling": rows})


@app.command()
def stdp(
    tau_plus: Annotated[float, typer.Option(help="Seconds, of potentiation.")] = 0.0168,
    tau_minus: Annotated[float, typer.Option(help="Seconds, of depression.")] = 0.0337,
    dt: Annotated[float, typer.Option(help="Seconds per time step.")] = 0.001,
    picture: Annotated[Path | None, typer.Option(help="Draw the window to this PNG file.")] = None,
    out: _Out = None,
) -> None:
    """The window of pair STDP from the running rule, and the time constants fitted to it."""
    from dataclasses import asdict

    from streamhebb.benchmark.stdp import draw, measure
    from streamhebb.parts import describe
    from streamhebb.rules import STDP

    rule = STDP(tau_plus=tau_plus, tau_minus=tau_minus, dt=dt)
    window = measure(rule, reach=5 * max(tau_plus, tau_minus))
    for side, given, found in (
        ("plus", rule.tau_plus, window.tau_plus),
        ("minus", rule.tau_minus, window.tau_minus),
    ):
        apart = abs(found / given - 1)
        typer.echo(f"tau_{side}: {1000 * given:g} ms, fitted {1000 * found:.6g} ms ({apart:.0e})")
    typer.echo(
        f"a_plus: {rule.a_plus:g}, fitted {window.a_plus:.6g}; a_minus: {rule.a_minus:g}, fitted "
        f"{window.a_minus:.6g}; the fit misses by {window.apart:.0e} at most"
    )
    if picture is not None:
        typer.echo(f"written to {draw(window, picture)}")
    _finish(out, {"rule": describe(rule), "stdp": asdict(window)})


@app.command()
def readouts(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    samples: Annotated[int, typer.Option(help="Samples of the stream.")] = 5000,
    wide: Annotated[int, typer.Option(help="Features of noise that cost is measured on.")] = 2000,
    out: _Out = None,
) -> None:
    """What each readout earns and costs on MNIST, one sample at a time, taking turns."""
    from dataclasses import asdict

    from streamhebb.benchmark.readouts import FEATURES, choices, cost, features, race

    torch.set_num_threads(1)
    rows = []
    for kind in FEATURES:
        found = []
        for seed in (int(part) for part in seeds.split(",")):
            found += race(choices(kind), *features(kind, seed, samples), kind, seed)
        rows += found
        for name in choices(kind):
            mine = [result for result in found if result.name == name]
            means = [
                statistics.mean(values)
                for values in zip(*((r.prequential, r.last_fifth, r.ms) for r in mine), strict=True)
            ]
            lasts = [100 * result.last_fifth for result in mine]
            spread = f" ± {statistics.stdev(lasts):.2f}" if len(lasts) > 1 else ""
            typer.echo(
                f"{kind} ({mine[0].n_in}) {name:<20} prequential {100 * means[0]:.2f} %, last "
                f"fifth {100 * means[1]:.2f}{spread} %, {means[2]:.2f} ms a sample"
            )
    for result in cost(wide):
        rows.append(result)
        typer.echo(f"{result.features} ({wide}) {result.name:<20} {result.ms:.2f} ms a sample")
    _finish(out, {"samples": samples, "readouts": [asdict(row) for row in rows]})


@app.command()
def rules(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    limit: Annotated[int | None, typer.Option(help="Images each rule learns from.")] = None,
    out: _Out = None,
) -> None:
    """What classical rules are known for, on MNIST: components, selectivity, decorrelation."""
    from rich.console import Console
    from rich.table import Table

    from streamhebb.benchmark.rules import LawResult, run_seed

    torch.set_num_threads(1)

    def tell(result: LawResult) -> None:
        typer.echo(
            f"seed {result.seed}: {result.rule}, {result.measure}: {result.start:.3f} -> "
            f"{result.end:.4f} after {result.samples} images"
        )

    found = [result for s in seeds.split(",") for result in run_seed(int(s), limit, tell)]
    table = Table("rule", "measure", "images", "at first", "at the end, each seed")
    for name, measure in dict.fromkeys((r.rule, r.measure) for r in found):
        mine = [r for r in found if (r.rule, r.measure) == (name, measure)]
        first = statistics.mean(r.start for r in mine)
        ends = ", ".join(f"{r.end:.4f}" for r in mine)
        table.add_row(name, measure, f"{mine[0].samples:,}", f"{first:.3f}", ends)
    Console().print(table)
    _finish(out, {"rules": [result.row() for result in found]})


@app.command()
def forward(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    limit: Annotated[int | None, typer.Option(help="Images learned from.")] = None,
    out: _Out = None,
) -> None:
    """Forward-Forward on MNIST, two steps an image: with labels, and self-contrastive."""
    from streamhebb.benchmark.forward import ForwardResult, run_seed

    torch.set_num_threads(1)

    def tell(result: ForwardResult) -> None:
        typer.echo(
            f"seed {result.seed}: {result.way}: test {100 * result.before:.2f} -> "
            f"{100 * result.test:.2f} % after {result.samples} images"
        )

    found = [result for s in seeds.split(",") for result in run_seed(int(s), limit, tell)]
    for way in dict.fromkeys(result.way for result in found):
        values = [100 * result.test for result in found if result.way == way]
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        typer.echo(f"{way}: {statistics.mean(values):.2f}{spread} % over {len(values)} seeds")
    _finish(out, {"forward": [result.row() for result in found]})


@app.command()
def sides(
    seeds: Annotated[str, typer.Option(help="Seeds, e.g. 0,1,2")] = "0,1,2",
    neurons: Annotated[int, typer.Option(help="Neurons of the layer.")] = 2000,
    limit: Annotated[int | None, typer.Option(help="Training images; all if left out.")] = None,
    only: Annotated[str, typer.Option(help="Contestants, separated by ;")] = "",
    out: _Out = None,
) -> None:
    """One layer on MNIST, one pass without labels, then a probe: rules side by side."""
    from dataclasses import asdict

    from streamhebb.benchmark.sides import names, run
    from streamhebb.parts import require_choice

    torch.set_num_threads(1)
    chosen = [name.strip() for name in only.split(";") if name.strip()] or list(names())
    for name in chosen:
        require_choice("bench sides", "only", name, names())
    rows = []
    for seed in (int(part) for part in seeds.split(",")):
        for name in chosen:  # in turns, so that all share good and bad minutes
            rows.append(result := run(name, seed, neurons, limit))
            turned = "" if result.turned is None else f", median cosine {result.turned:.3f}"
            typer.echo(
                f"seed {seed} {name}: probe {100 * result.probe:.2f} %, ridge "
                f"{100 * result.ridge:.2f} %, pass {result.seconds:.0f} s{turned}"
            )
    for name in chosen:
        words = []
        for measure in ("probe", "ridge"):
            found = [100 * getattr(row, measure) for row in rows if row.name == name]
            spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
            words.append(f"{measure} {statistics.mean(found):.2f}{spread} %")
        typer.echo(f"{name}: {', '.join(words)}")
    _finish(out, {"neurons": neurons, "limit": limit, "sides": [asdict(row) for row in rows]})
