"""The command line: ``streamhebb run``, ``nets``, ``presets``, ``doctor``, ``verify`` and more."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from streamhebb.errors import ConfigError, StreamhebbError

app = typer.Typer(
    help="Networks that never stop learning: one sample in, every layer learns, a prediction out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_SOURCE = (
    "digits, mnist, fashion-mnist, cifar10, cifar100, stl10, imagenette, imagenet, the synthetic "
    "twin of one (cifar10-twin), a video FILE, a FOLDER of pictures, camera:N, or an http://, "
    "https:// or rtsp:// address."
)
_NET = "A net's name (see streamhebb nets), or a .yaml or .toml file."
_SIZE = "Scale pictures of a video, camera or folder to HEIGHTxWIDTH."
_ON_BAD = "NaN or infinite values: 'raise' ends the run, 'skip' counts the sample and goes on."
_THREADS = (
    "Threads of torch. With 1, the same seed gives the same weights on every machine of a kind, "
    "and nets that learn from one sample at a time are seldom faster with more."
)
_SCHEDULER = (
    "serial, threads, threads:N for N workers, or auto, which measures. All give the same weights."
)
_POLICY = (
    "When samples come faster than the net learns: block (the source waits), drop_oldest, latest, "
    "or skip_learning (predict all, learn where the deadline allows)."
)
_TUNE = (
    "Measure first which kernels are fastest here. Weights then differ by rounding from run to run."
)
_CONVERGED = (
    "A neuron counts as converged when its weight radius has changed by less than 10 % over the "
    "last 500 samples."
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@contextlib.contextmanager
def _clear_errors(debug: bool) -> Iterator[None]:
    """One red line and exit code 2 for whatever the library raises on purpose."""
    try:
        yield
    except StreamhebbError as error:
        if debug:
            raise
        lines = [f"error: {error}", *getattr(error, "__notes__", ())]
        typer.secho(lines[0], err=True, fg=typer.colors.RED)
        for line in lines[1:]:
            typer.echo(line, err=True)
        raise typer.Exit(2) from None


def _show_version(asked: bool) -> None:
    if asked:
        from streamhebb.run.summary import version

        typer.echo(f"streamhebb {version('streamhebb') or '(not installed, run from a checkout)'}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Networks that never stop learning: one sample in, every layer learns, a prediction out."""


def _default(text: str, default: str) -> Any:
    """An option whose default is filled in later, because a run that goes on keeps its own."""
    return typer.Option(help=f"{text} [dim]\\[default: {default}][/dim]", show_default=False)


_RUN = (
    "Let a network learn from a stream, live, one sample at a time.\n\n"
    "The run folder then holds settings.json, metrics.jsonl, snapshot.safetensors, summary.json "
    "and pictures. Ctrl-C ends a run cleanly; --resume goes on as if it had never been stopped."
)


@app.command(help=_RUN, epilog=_CONVERGED)
def run(
    source: Annotated[str | None, _default(_SOURCE, "digits")] = None,
    net: Annotated[str | None, _default(_NET, "the one that suits the source")] = None,
    limit: Annotated[int | None, _default("End after so many samples.", "the whole stream")] = None,
    epochs: Annotated[int | None, _default("Passes over a data set.", "1")] = None,
    seed: Annotated[
        int | None, _default("First weights, and the order of the samples.", "0")
    ] = None,
    out: Annotated[Path | None, _default("Run folder.", "runs/<date-time>-<source>-<net>")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with an earlier run, exactly where its snapshot was taken."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would run; write nothing.")
    ] = False,
    size: Annotated[str | None, _default(_SIZE, "small")] = None,
    gray: Annotated[
        bool | None, typer.Option("--gray", help="Videos, cameras, folders in grey.")
    ] = None,
    window: Annotated[int | None, _default("Samples of the accuracy window.", "500")] = None,
    save_every: Annotated[
        int | None, _default("Samples between snapshots; 0 saves at the end only.", "5000")
    ] = None,
    on_bad: Annotated[str | None, _default(_ON_BAD, "raise")] = None,
    threads: Annotated[int | None, _default(_THREADS, "1")] = None,
    no_download: Annotated[
        bool | None, typer.Option("--no-download", help="Never fetch a missing data set.")
    ] = None,
    scheduler: Annotated[str | None, _default(_SCHEDULER, "auto")] = None,
    depth: Annotated[
        int | None, _default("Samples in flight.", "two more than the net has stages")
    ] = None,
    policy: Annotated[str | None, _default(_POLICY, "block")] = None,
    waiting: Annotated[
        int | None, _default("Samples that may wait before the net.", "2; 64 for skip_learning")
    ] = None,
    deadline: Annotated[
        float | None, _default("Milliseconds from arrival; for skip_learning.", "none")
    ] = None,
    tune: Annotated[bool | None, typer.Option("--tune", help=_TUNE)] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="Write what ran when to this file; see streamhebb trace, or Perfetto."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only the summary.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Let a network learn from a stream."""
    with _clear_errors(debug):
        from streamhebb.run import command
        from streamhebb.run.settings import parse_size

        given: dict[str, Any] = {
            "source": source,
            "net": net,
            "limit": limit,
            "epochs": epochs,
            "seed": seed,
            "size": None if size is None else parse_size(size),
            "gray": gray,
            "window": window,
            "save_every": save_every,
            "on_bad": on_bad,
            "threads": threads,
            "download": False if no_download else None,
            "scheduler": scheduler,
            "depth": depth,
            "policy": policy,
            "waiting": waiting,
            "deadline": deadline,
            "tune": tune,
        }
        job = command.get_ready(given, out, resume)
        if dry_run:
            typer.echo(command.describe(job))
            return
        code = command.carry_out(job, quiet=quiet, trace=trace)
    raise typer.Exit(code)


@app.command()
def nets(
    name: Annotated[str | None, typer.Argument(help="Show this net's file.")] = None,
    debug: Debug = False,
) -> None:
    """List the nets that come with the library, or show the file of one."""
    with _clear_errors(debug):
        from streamhebb import spec

        if name is not None:
            typer.echo(spec.net_text(name), nl=False)
            return
        names = spec.net_names()
        width = max(map(len, names), default=0)
        for each in names:
            typer.echo(f"{each:<{width}}  {spec.describe_net(each)}")


presets = typer.Typer(
    help="Look at the published nets, what they saw, and how they were trained.",
    no_args_is_help=True,
)
app.add_typer(presets, name="presets")

_PAIR = "Data set of a published experiment (stl10, ...) instead of the preset's own."


@presets.command("list")
def list_presets(
    part: Annotated[str, typer.Argument(help="Only those with this in a name.")] = "",
    debug: Debug = False,
) -> None:
    """List the presets: published name, a name that explains itself, what it is."""
    with _clear_errors(debug):
        from streamhebb import presets

        rows = []
        for name in presets.names():
            preset = presets.find(name)
            aliases = ", ".join(preset.aliases)
            if part.lower() in f"{name} {aliases}".lower():
                rows.append((name, aliases or "-", preset.about))
        if not rows:
            raise ConfigError(f"no preset has {part!r} in its name; leave it out to see all")
        _table(rows)


@presets.command("show")
def show_preset(
    name: Annotated[str, typer.Argument(help="A preset's name or alias.")],
    data: Annotated[str | None, typer.Option(help=_PAIR)] = None,
    net: Annotated[bool, typer.Option("--net", help="Only the net, as a net file.")] = False,
    debug: Debug = False,
) -> None:
    """Show a preset as YAML: blocks and what they come to, phases, data."""
    with _clear_errors(debug):
        from streamhebb import presets

        show = presets.net_yaml if net else presets.preset_yaml
        typer.echo(show(presets.find(name), data), nl=False)


@presets.command("data")
def show_data(
    name: Annotated[str | None, typer.Argument(help="Show these settings as YAML.")] = None,
    debug: Debug = False,
) -> None:
    """List how published runs read their data, or show one of them."""
    with _clear_errors(debug):
        from streamhebb import presets

        if name is not None:
            typer.echo(presets.data_yaml(presets.data_settings(name)), nl=False)
            return
        each = map(presets.data_settings, presets.data_names())
        _table([(settings.name, presets.describe_data(settings)) for settings in each])


@presets.command("layer")
def explain_layer(
    text: Annotated[str, typer.Argument(help="A layer, as softkrotov-c96-k5-t1.")],
    debug: Debug = False,
) -> None:
    """Read a layer of the published mini-language, and say what it means."""
    with _clear_errors(debug):
        from streamhebb.presets.language import KEYS, read_layer

        code = read_layer(text)
        full = code.filled()
        typer.echo(f"{code}: {'a convolution' if code.conv else 'a dense layer'}")
        rows = []
        for key in KEYS:
            value = getattr(full, key.name)
            if value is not None:
                default = "" if getattr(code, key.name) is not None else "  (default)"
                rows.append((f"  {key.letters}", f"{value}", f"{key.what}{default}"))
        _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="A recorded trace.", metavar="FILE")],
    out: Annotated[Path | None, _default("Picture.", "FILE with .png")] = None,
    first: Annotated[
        int | None, _default("Number of the first sample to draw.", "in the middle of the run")
    ] = None,
    frames: Annotated[int | None, _default("How many samples to draw.", "8")] = None,
    debug: Debug = False,
) -> None:
    """Draw what ran where and when, and say how long tasks take and how busy workers are."""
    with _clear_errors(debug):
        from streamhebb.schedule.report import report
        from streamhebb.schedule.trace import read_trace

        recorded = read_trace(file)
        picture = file.with_suffix(".png") if out is None else out
        if picture.exists() and picture.samefile(file):
            raise ConfigError(f"the picture would replace the trace {file}; choose another --out")
        from streamhebb.pictures import save, timeline  # takes a second; the file may be bad

        figure = timeline(recorded, first=first, frames=frames, title=file.name)
        saved = save(figure, picture)
        for line in (*report(recorded), "", f"drawn: {saved}"):
            typer.echo(line)


@app.command()
def doctor() -> None:
    """Show versions, devices, data and extras, and what to do about what is missing."""
    from streamhebb.doctor import examine

    for line in examine():
        typer.echo(line)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of reference vectors.", metavar="DIR")],
    pattern: Annotated[str, typer.Option(help="Only cases whose name matches.")] = "*",
    debug: Debug = False,
) -> None:
    """Replay reference vectors through the library; exit code 0 if all of them agree."""
    with _clear_errors(debug):
        try:
            from streamhebb.verify import format_line, verify_folder
        except ModuleNotFoundError as error:
            raise ConfigError(f"this streamhebb cannot verify: {error}") from error

        def show(result: Any) -> None:
            typer.echo(format_line(result))
            sys.stdout.flush()

        summary = verify_folder(folder, pattern=pattern, report=show)
        typer.echo(summary.line())
    raise typer.Exit(summary.exit_code)


class _Clear(TyperGroup):
    """A group of commands whose errors are said as elsewhere."""

    def invoke(self, ctx: Any) -> Any:
        with _clear_errors(debug=False):
            return super().invoke(ctx)


def _add_benchmarks() -> None:
    from streamhebb.benchmark.commands import app as benchmarks

    app.add_typer(benchmarks, name="bench", cls=_Clear)


_add_benchmarks()
