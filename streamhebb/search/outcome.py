"""What a search found: a line for each trial, and for each setting over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from streamhebb.search.objective import Search, settings_line
from streamhebb.search.space import Value


@dataclass(frozen=True)
class Outcome:
    """One trial of a search.

    Args:
        number: of the trial.
        point: what was tried.
        state: ``"complete"``, ``"pruned"``, ``"diverged"``, ``"running"`` or ``"failed"``.
        accuracy: on held-out samples, between 0 and 1; ``None`` unless it is complete.
        prequential: samples seen and prequential accuracy, as it was reported.
        seconds: from begin to end.
    """

    number: int
    point: dict[str, Value]
    state: str
    accuracy: float | None = None
    prequential: list[tuple[int, float]] = field(default_factory=list)
    seconds: float | None = None


@dataclass(frozen=True)
class Setting:
    """A point without its seed, over its seeds.

    Args:
        point: less the seed.
        accuracies: of complete trials.
        prequentials: the last ones reported, of all trials.
        ended: how many were pruned or diverged.
    """

    point: dict[str, Value]
    accuracies: tuple[float, ...]
    prequentials: tuple[float, ...]
    ended: int

    @property
    def mean(self) -> float:
        """Of the accuracies; below all of them if there are none."""
        return statistics.mean(self.accuracies) if self.accuracies else -1.0


def settings(outcomes: Sequence[Outcome]) -> list[Setting]:
    """Gather outcomes by everything but the seed, the best first.

    Settings of which a trial was ended early come behind those with a mean of all their seeds: a
    mean of the seeds that were left would flatter them.

    Example:
        >>> rows = [Outcome(n, {"t": 1.0, "seed": n}, "complete", 0.5 + n / 4) for n in (0, 1)]
        >>> [(one.point, one.mean) for one in settings(rows)]
        [({'t': 1.0}, 0.625)]
    """
    found: dict[tuple[Any, ...], dict[tuple[Any, ...], Outcome]] = {}
    for one in outcomes:
        if one.state in ("complete", "pruned", "diverged"):
            bare = tuple((name, value) for name, value in one.point.items() if name != "seed")
            # A point that two processes tried counts once.
            found.setdefault(bare, {})[tuple(one.point.items())] = one
    rows = []
    for bare, by_point in found.items():
        mine = list(by_point.values())
        right = tuple(one.accuracy for one in mine if one.accuracy is not None)
        last = tuple(one.prequential[-1][1] for one in mine if one.prequential)
        rows.append(Setting(dict(bare), right, last, len(mine) - len(right)))
    return sorted(rows, key=lambda row: (bool(row.ended), -row.mean))


def table(search: Search, outcomes: Sequence[Outcome], most: int = 20) -> list[list[str]]:
    """The best settings as rows of text, the first row the title.

    Args:
        search: what was searched.
        outcomes: of its trials.
        most: rows; the others are left out.
    """
    names = [p.name for p in search.space.parameters if p.key != "seed"]
    rows = [[*names, "accuracy, %", "prequential, %", "pruned"]]
    for one in settings(outcomes)[:most]:
        values = [_text(one.point[name]) for name in names]
        rows.append(
            [*values, percent(one.accuracies), percent(one.prequentials), str(one.ended or "")]
        )
    return rows


def percent(values: Sequence[float]) -> str:
    """Mean ± standard deviation in percent, with the number of values.

    Example:
        >>> percent([0.5, 0.6]), percent([0.5]), percent([])
        ('55.00 ± 7.07 (2)', '50.00 (1)', '-')
    """
    if not values:
        return "-"
    found = [100 * value for value in values]
    spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.2f}{spread} ({len(found)})"


def best_lines(search: Search, outcomes: Sequence[Outcome]) -> list[str]:
    """The best setting in the mini-language, and as the trial that runs it on the test set."""
    found = [one for one in settings(outcomes) if one.accuracies]
    if not found:
        return ["no trial is complete yet"]
    point = found[0].point
    seeded = {p.name: 0 for p in search.space.parameters if p.key == "seed"} | point
    lines = [f"best: {percent(found[0].accuracies)} % of held-out samples"]
    lines += [f"  {line}" for line in settings_line(search, seeded)]
    trial = search.at(seeded)
    shown = [f"net={trial.net!r}"]
    for name in ("data", "mode", "hidden", "changes", "settings"):
        if value := getattr(trial, name):
            shown.append(f"{name}={value!r}")
    lines.append("to measure it once on the test set, as published:")
    lines.append(f"  OfflineTrial({', '.join(shown)})")
    return lines


def as_json(search: Search, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything as plain data: what was searched, every trial, and each setting over its seeds."""
    return {
        "search": search.model_dump(mode="json"),
        "trials": [asdict(one) for one in outcomes],
        "settings": [asdict(one) for one in settings(outcomes)],
    }


def _text(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
