"""An experiment: a figure or a table of a paper, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from streamhebb.errors import ConfigError
from streamhebb.suite.trial import Trial

T = TypeVar("T", str, str | float)


@dataclass(frozen=True)
class Cell:
    """One number of a figure or a table, over several seeds.

    Args:
        row: the line of the table, or the series of the figure.
        column: the column, or the place on the axis below.
        trial: what is run; its seed is replaced.
        published: the published number, in the unit of the measure.
        measure: which part of a result it is.
    """

    row: str
    column: str | float
    trial: Trial
    published: float | None = None
    measure: str = "test_accuracy"

    def but(self, **changes: Any) -> Cell:
        """The same of a changed trial."""
        return replace(self, trial=self.trial.but(**changes))


@dataclass(frozen=True)
class Experiment:
    """What is run, and how it is shown.

    Args:
        name: for the command line.
        title: one line.
        about: what it asks, and what to look at; Markdown.
        cells: all numbers.
        axis: what columns are.
        quantity: what cells are, with its unit: the axis upwards of the picture.
        show: ``"lines"`` over the axis below, ``"log"`` the same with a logarithmic one, or
            ``"table"``, no picture. ``"curves"`` is what trials recorded on the way.
        beside: what the picture has on a second axis: ``"R1"``, the share of Hebbian neurons whose
            radius has converged, or nothing.
        seeds: as many as were published.
        cost: about how long one seed of all cells takes on 2 cores.
        source: of the published figures.
    """

    name: str
    title: str
    about: str
    cells: tuple[Cell, ...]
    axis: str = "layers"
    quantity: str = "test accuracy, %"
    show: Literal["lines", "log", "table", "curves"] = "lines"
    beside: Literal["", "R1"] = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    cost: str = ""
    source: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """Rows in their order."""
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> tuple[str | float, ...]:
        """Columns in their order."""
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    def but(self, **changes: Any) -> Experiment:
        """The same of changed trials, reduced ones for example."""
        return replace(self, cells=tuple(cell.but(**changes) for cell in self.cells))

    def only(self, rows: str | None = None, columns: str | None = None) -> Experiment:
        """Keep some of the cells.

        Args:
            rows: the whole name of a row, or words between commas: rows that hold one of them.
            columns: the whole name of a column, or names or numbers between commas; ``"/10"`` keeps
                every tenth.

        Raises:
            ConfigError: for a word that names nothing, or if nothing is left; says what there is.

        Example:
            >>> from streamhebb.suite import find
            >>> [cell.column for cell in find("figure-1").only(columns="1,3").cells]
            [1, 3]
        """
        kept = self.cells
        if rows is not None:
            chosen_rows = _rows(self.rows, rows)
            kept = tuple(c for c in kept if c.row in chosen_rows)
        if columns is not None:
            chosen = _columns(self.columns, columns)
            kept = tuple(c for c in kept if c.column in chosen)
        if not kept:
            raise ConfigError(
                f"{self.name} has no cells in rows {rows!r} and columns {columns!r}; rows are "
                f"{', '.join(self.rows)}; columns {', '.join(map(str, self.columns))}"
            )
        return replace(self, cells=kept)

    def trials(self) -> tuple[Trial, ...]:
        """Every trial once, in the order of the cells; seeds are still to be given."""
        return tuple({cell.trial.key: cell.trial for cell in self.cells}.values())


def _rows(known: tuple[str, ...], text: str) -> set[str]:
    """A name may have commas of its own: whole, it is taken before words are."""
    whole = {row for row in known if row.lower() == text.strip().lower()}
    return whole or {
        row
        for word in text.split(",")
        for row in _named("rows", word, known, lambda word, row: bool(word) and word in row)
    }


def _columns(known: tuple[str | float, ...], text: str) -> set[str | float]:
    if text.startswith("/"):
        if not text[1:].isdigit() or not int(text[1:]):
            raise ConfigError(f"columns={text!r} is not allowed; every tenth is /10")
        return set(known[:: int(text[1:])])
    whole = {column for column in known if _name(column).lower() == text.strip().lower()}
    return whole or {
        column
        for word in text.split(",")
        for column in _named("columns", word, known, lambda word, column: word == column)
    }


def _named(kind: str, word: str, known: Iterable[T], fits: Callable[[str, str], bool]) -> list[T]:
    """What a word names: something, or it is refused."""
    found = [each for each in known if fits(word.strip().lower(), _name(each).lower())]
    if not found:
        raise ConfigError(
            f"{kind}: {word.strip()!r} names nothing; {kind} are "
            f"{'; '.join(_name(each) for each in known)}"
        )
    return found


def _name(column: str | float) -> str:
    return column if isinstance(column, str) else f"{column:g}"
