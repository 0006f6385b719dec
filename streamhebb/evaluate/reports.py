"""Reports of training in phases and of probes: as tables, as JSON lines, and for TensorBoard.

The last two are for ``on_epoch``: each is called with one report after the other.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from streamhebb.errors import RunFolderError
from streamhebb.evaluate.measures import LayerMeasures
from streamhebb.evaluate.phase import PhaseEpoch
from streamhebb.evaluate.probe import EpochResult
from streamhebb.sources._late import late

if TYPE_CHECKING:
    from rich.table import Table

Report = PhaseEpoch | EpochResult

_NO_TAG = re.compile(r"[^-/\w.]")
_MEASURES = tuple(
    field.name
    for field in dataclasses.fields(LayerMeasures)
    if field.name not in ("name", "neurons", "rates", "radii", "wins", "ranked")
)


def scalars(report: Report) -> dict[str, float]:
    """Return all single numbers of a report that were measured, by names of paths.

    Example:
        >>> scalars(EpochResult(1, 0.5, 0.75, 0.1, 2.0))
        {'probe/train_accuracy': 0.5, 'probe/test_accuracy': 0.75, 'probe/loss': 0.1,
         'probe/seconds': 2.0}
    """
    if isinstance(report, EpochResult):
        names: tuple[str, ...] = ("train_accuracy", "test_accuracy", "loss", "seconds")
        return {f"probe/{name}": getattr(report, name) for name in names}
    start = f"phase{report.phase}"
    names = ("train_accuracy", "test_accuracy", "train_loss", "test_loss", "seconds")
    found = {f"{start}/{name}": getattr(report, name) for name in names}
    for layer, *more in _by_layer(report):
        own = dict(zip(("convergence", "converged", "rate"), more, strict=True))
        own |= {name: getattr(layer, name) for name in _MEASURES}
        found |= {f"{start}/{layer.name}/{name}": value for name, value in own.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def histograms(report: Report) -> dict[str, tuple[float, ...]]:
    """Return rates, radii and shares of wins of each layer's first neurons, by names of paths.

    Example:
        >>> histograms(EpochResult(1, 0.5, 0.75, 0.1, 2.0))
        {}
    """
    if isinstance(report, EpochResult):
        return {}
    return {
        f"phase{report.phase}/{layer.name}/{name}": getattr(layer, name)
        for layer in report.layers
        for name in ("rates", "radii", "wins", "ranked")
        if getattr(layer, name)
    }


def _by_layer(report: PhaseEpoch) -> Iterator[tuple[LayerMeasures, float, int, float]]:
    """Measures of each Hebbian layer, with those that the report itself holds."""
    rows = zip(report.layers, report.convergence, report.converged, report.rates, strict=False)
    yield from rows


# -- tables --------------------------------------------------------------------------------------


def epoch_table(reports: Iterable[Report]) -> Table:
    """Return one row an epoch: accuracies, losses, seconds.

    Example:
        >>> from rich.console import Console
        >>> Console(width=60).print(epoch_table([EpochResult(1, 0.5, 0.75, 0.1, 2.0)]))
        ┏━━━━━━━┳━━━━━━━┳━━━━━━━━━┳━━━━━━━━┳━━━━━━┳━━━━━━┳━━━━━━━━━┓
        ┃ phase ┃ epoch ┃ train % ┃ test % ┃ loss ┃ test ┃ seconds ┃
        ┡━━━━━━━╇━━━━━━━╇━━━━━━━━━╇━━━━━━━━╇━━━━━━╇━━━━━━╇━━━━━━━━━┩
        │ probe │     1 │   50.00 │  75.00 │  0.1 │    – │     2.0 │
        └───────┴───────┴─────────┴────────┴──────┴──────┴─────────┘
    """
    table = _table("phase", "epoch", "train %", "test %", "loss", "test", "seconds")
    for report in reports:
        place, losses = "probe", list[float | None]()
        if isinstance(report, EpochResult):
            losses += [report.loss, None]
        else:
            place, losses = str(report.phase), [report.train_loss, report.test_loss]
        table.add_row(
            place,
            str(report.epoch),
            _percent(report.train_accuracy),
            _percent(report.test_accuracy),
            *map(_number, losses),
            f"{report.seconds:.1f}",
        )
    return table


def radius_table(reports: Iterable[PhaseEpoch], name: str) -> Table:
    """Return one row an epoch: the radii of one Hebbian layer, and its mean rate.

    | column | |
    |---|---|
    | apart, near 1 | mean distance of the radii from 1, and how many are close to it |
    | rate | mean rate |
    | radius ±, dev, max | mean and standard deviation of the radii; mean and largest deviation |
    """
    table = _narrow("epoch", "apart", "near 1", "rate", "radius", "±", "dev", "max")
    for report in reports:
        for layer, convergence, converged, rate in _by_layer(report):
            if layer.name == name:
                table.add_row(
                    str(report.epoch),
                    _number(convergence),
                    str(converged),
                    *(_number(v) for v in (rate, *(getattr(layer, n) for n in _MEASURES[:4]))),
                )
    return table


def weight_table(reports: Iterable[PhaseEpoch], name: str) -> Table:
    """Return one row an epoch: weights and bias of one Hebbian layer, and how it learned.

    | column | |
    |---|---|
    | weight ±, bias ± | means and standard deviations |
    | Hebb %, anti % | shares of Hebbian and anti-Hebbian learning |
    """
    table = _narrow("epoch", "weight", "±", "bias", "±", "Hebb %", "anti %")
    for report in reports:
        for layer in report.layers:
            if layer.name == name:
                table.add_row(
                    str(report.epoch),
                    *(_number(getattr(layer, measure)) for measure in _MEASURES[4:8]),
                    _percent(layer.hebbian),
                    _percent(layer.anti_hebbian),
                )
    return table


def neuron_table(layer: LayerMeasures) -> Table:
    """Return the published table: rate, radius and share of wins of the first neurons.

    Where the competition turns against a neuron of some rank, also how often each had it.
    """
    columns = {"rate": layer.rates, "radius": layer.radii, "wins %": layer.wins}
    columns |= {"ranked %": layer.ranked} if layer.ranked else {}
    table = _table("neuron", *columns)
    told = [values or (None,) * len(layer.radii) for values in columns.values()]
    for number, row in enumerate(zip(*told, strict=True)):
        table.add_row(str(number), *map(_number, row))
    return table


def _table(*titles: str) -> Table:
    from rich.table import Table

    table = Table()
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left")
    return table


def _narrow(*titles: str) -> Table:
    """A table without lines between its columns: eight numbers fit 80 characters."""
    from rich.box import SIMPLE_HEAD

    table = _table(*titles)
    table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
    table.padding = (0, 1, 0, 0)
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


# -- files ---------------------------------------------------------------------------------------


class ReportLines:
    """A file of JSON, one report a line, to which ``on_epoch`` appends.

    A last line that a crash cut off is dropped.

    Args:
        path: the file; its folder is made if needed.

    Raises:
        RunFolderError: if the disk refuses; also while writing.

    Example:
        >>> import tempfile
        >>> lines = ReportLines(Path(tempfile.mkdtemp()) / "probe.jsonl")
        >>> lines(EpochResult(1, 0.5, 0.75, 0.1, 2.0))
        >>> read_lines(lines.path)
        (EpochResult(epoch=1, train_accuracy=0.5, test_accuracy=0.75, loss=0.1, seconds=2.0),)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with _refused(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                file.seek(0)
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)

    def __call__(self, report: Report) -> None:
        """Append a report; whoever follows the file sees it at once."""
        row = {"report": type(report).__name__, **dataclasses.asdict(report)}
        with _refused(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_lines(path: str | os.PathLike[str]) -> tuple[Report, ...]:
    """Return the reports of a file; of an epoch that was done again, the last.

    Raises:
        RunFolderError: if the file cannot be read, or a line is no report.
    """
    path, found = Path(path), dict[tuple[Any, ...], Report]()
    with _refused(path):
        text = path.read_text("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
            report = _KINDS[row.pop("report")](row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunFolderError(f"{path}: line {number} is no report; take it out") from error
        found[getattr(report, "phase", None), report.epoch] = report
    return tuple(found.values())


_KINDS: dict[str, Any] = {
    "PhaseEpoch": PhaseEpoch.of,
    "EpochResult": lambda row: EpochResult(**row),
}


class TensorBoard:
    """Event files for TensorBoard, to which ``on_epoch`` adds each report.

    Scalars are single numbers; histograms are rates, radii and shares of wins of the first neurons
    of each layer.

    Look at them with ``tensorboard --logdir FOLDER``. The step is the epoch. A run that goes on
    adds another file to the same folder.

    Args:
        folder: for the event files; made if needed.

    Raises:
        MissingExtraError: without the extra ``tracking``.
        RunFolderError: if the disk refuses.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        made: Any = late("torch.utils.tensorboard", "writing for TensorBoard", "tracking")
        with _refused(Path(folder)):
            self._writer = made.SummaryWriter(os.fspath(folder))

    def __call__(self, report: Report) -> None:
        """Add the scalars and histograms of a report."""
        for name, value in scalars(report).items():
            self._writer.add_scalar(_NO_TAG.sub("_", name), value, report.epoch)
        for name, values in histograms(report).items():
            self._writer.add_histogram(_NO_TAG.sub("_", name), np.array(values), report.epoch)
        self._writer.flush()

    def close(self) -> None:
        """End the files."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Name the path where the disk refuses."""
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} cannot be read or written: {error}; choose another place"
        ) from error
