"""One trial of a search: how well a preset with some settings changed does on held-out samples.

While layers learn without labels, a readout that gives no feedback predicts each mini-batch from
what they make of it, and only then learns its labels: this *prequential* accuracy is known long
before the result, and says whether to go on.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.evaluate import Prequential
from streamhebb.readouts import DeltaReadout
from streamhebb.search.space import Parameter, Space, Value
from streamhebb.suite import OfflineTrial, Setup, TrialFolder, Work
from streamhebb.suite.trial import Result
from streamhebb.values import Label

Report = Callable[[int, float], object]
"""Is given samples seen so far, and prequential accuracy; what it raises ends the trial."""

Point = Mapping[str, Value]
"""A value for the name of each parameter of a space."""

PRUNERS = ("median", "halving", "none")
MOST_SEED = 2**32 - 1
"""Of the order of points; samplers draw by numpy, which takes none above it."""


class Search(BaseModel):
    """What is searched, said in full: the same for optuna and for Ray.

    Args:
        space: what varies.
        trial: what is run with each point; it is tested on a share of the training samples, and the
            test set is never looked at.
        prune: ``"median"`` ends a trial that is below the median of those before it at the same
            sample, ``"halving"`` all but the best third at each of some rungs, ``"none"`` ends
            none.
        window: labelled samples that the reported accuracy looks back.
        report_every: samples between two reports.
        seed: draws the points that are tried, and their order.

    Raises:
        ConfigError: for a parameter that the preset does not have, or that changes nothing in it.

    Example:
        >>> from streamhebb.search.space import find_space
        >>> search = Search(space=find_space("radius"), trial=OfflineTrial(net="2SoftMlpMNIST"))
        >>> search.at({"block 0 r": 8.0, "seed": 2}).label()
        '2SoftMlpMNIST b0-radius8.0'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: Space
    trial: OfflineTrial
    prune: Literal["median", "halving", "none"] = "median"
    window: int = Field(default=1000, ge=1)
    report_every: int = Field(default=1000, ge=1)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    @model_validator(mode="after")
    def _preset_has_all_of_it(self) -> Self:
        readout = len(self.trial.preset().blocks) - 1
        for parameter in self.space.parameters:
            for value in parameter.values or (parameter.low, parameter.high):
                if parameter.block == readout:
                    raise ConfigError(
                        f"{parameter.name}: block {readout} of {self.trial.net} is its readout; "
                        f"hidden blocks are searched, 0 to {readout - 1}"
                    )
                if parameter.key != "seed":
                    one = {str(parameter.block): {parameter.key: _value(parameter, value)}}
                    self.trial.but(changes=_merged(self.trial.changes, one)).preset()
        return self

    @model_validator(mode="after")
    def _preset_uses_all_of_it(self) -> Self:
        rules = {p.name: p.values for p in self.space.parameters if p.key == "rule"}
        for parameter in self.space.parameters:
            values = parameter.values or (parameter.low, parameter.high)
            if parameter.key in ("seed", "rule") or len(values) < 2:
                continue
            # What one rule ignores another may use, where rules are searched too.
            if not any(
                self._differs(parameter, values, dict(zip(rules, chosen, strict=True)))
                for chosen in itertools.product(*rules.values())
            ):
                raise ConfigError(
                    f"{parameter.name}: whatever its value, {self.trial.net} stays the same, for "
                    f"its rule ignores it; search over other settings"
                )
        return self

    def _differs(self, parameter: Parameter, values: Sequence[Any], rules: Point) -> bool:
        """Whether another value makes another net, or another way to train it."""
        first = None
        for value in values:
            fixed = [p for p in self.space.parameters if p.name in rules or p is parameter]
            point = {**rules, parameter.name: _value(parameter, value)}
            changes, _ = self.space.model_copy(update={"parameters": tuple(fixed)}).changes(point)
            trial = self.trial.but(changes=_merged(self.trial.changes, changes))
            preset, data = trial.preset(), trial.chosen(self.trial.preset())
            made = preset.describe(*data), preset.stages(*data)
            if first is not None and made != first:
                return True
            first = made
        return False

    @property
    def name(self) -> str:
        """Of the study."""
        return f"{self.trial.net} {self.space.name}"

    def at(self, point: Point) -> OfflineTrial:
        """The trial of one point."""
        changes, seed = self.space.changes(point)
        more: dict[str, Any] = {} if seed is None else {"seed": seed}
        merged = _merged(self.trial.changes, changes)
        return self.trial.but(changes=merged, validation=True, **more)

    def run(self, point: Point, setup: Setup, report: Report | None = None) -> Result:
        """Train and test one point.

        Args:
            point: a value for the name of each parameter.
            setup: with what.
            report: is told how it goes; what it raises ends the trial.

        Returns:
            What the trial found, and ``prequential``: samples and accuracy of each report.
            ``test_accuracy`` is of held-out training samples.
        """
        lookout = Lookout(self.window, self.report_every, report)
        with tempfile.TemporaryDirectory() as folder, setup.ready() as scheduler:
            work = Work(TrialFolder(Path(folder)), setup, scheduler, watch=lookout.watch)
            found = self.at(point).run(work)
        return found | {"prequential": lookout.reports}


class Lookout:
    """Keeps the prequential accuracy of what layers make of samples while they learn.

    Each phase has a readout of its own: the features of another layer are others. It is a
    [`DeltaReadout`][streamhebb.readouts.delta.DeltaReadout], normalised and without a bias: cheap
    for many features, and the same whatever their size.

    Args:
        window: labelled samples that the accuracy looks back.
        report_every: samples between two reports.
        report: is given samples and accuracy.

    Example:
        >>> import torch
        >>> lookout = Lookout(window=4, report_every=2)
        >>> on_batch = lookout.watch(0, ["a", "a", "a", "b"])
        >>> for rows in (torch.tensor([2, 0]), torch.tensor([1, 3])):
        ...     on_batch(rows, torch.ones(2, 3))
        >>> lookout.reports
        [(2, 0.0), (4, 0.25)]
    """

    def __init__(self, window: int, report_every: int, report: Report | None = None) -> None:
        self.window = window
        self.report_every = report_every
        self.report = report
        self.samples = 0
        self.reports: list[tuple[int, float]] = []

    def watch(
        self, phase: int, labels: Sequence[Label | None]
    ) -> Callable[[Tensor, Tensor], object]:
        """Begin a phase.

        Args:
            phase: its number.
            labels: of all samples.

        Returns:
            What is called with each mini-batch: numbers of samples, and what layers made of them.
        """
        score = Prequential(self.window)
        readout: DeltaReadout | None = None

        def on_batch(rows: Tensor, out: Tensor) -> None:
            nonlocal readout
            x = out.flatten(1).float()
            if readout is None:
                readout = DeltaReadout(x.shape[1], with_bias=False).to(x.device)
            scores, seen = readout.observe(x)
            known = readout.labels
            guesses = [known[i] for i in scores.argmax(1).tolist()] if known else None
            told = [labels[row] for row in rows.tolist()]
            score.update(told, guesses)
            readout.learn(seen, told)
            self._count(len(told), score)

        return on_batch

    def _count(self, samples: int, score: Prequential) -> None:
        before, self.samples = self.samples, self.samples + samples
        if self.samples // self.report_every > before // self.report_every and score.count:
            at = self.samples // self.report_every * self.report_every
            self.reports.append((at, score.window_accuracy))
            if self.report is not None:
                self.report(at, score.window_accuracy)


def _value(parameter: Parameter, value: Any) -> Any:
    return int(value) if parameter.whole else value


def _merged(
    one: Mapping[str, Mapping[str, Any]], two: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    places = dict.fromkeys((*one, *two))
    return {place: {**one.get(place, {}), **two.get(place, {})} for place in places}


def settings_line(search: Search, point: Point) -> list[str]:
    """The layers of a point as the mini-language writes them, readout included.

    Raises:
        ConfigError: if the preset cannot be so.

    Example:
        >>> from streamhebb.search.space import find_space
        >>> search = Search(space=find_space("radius"), trial=OfflineTrial(net="2SoftMlpMNIST"))
        >>> settings_line(search, {"block 0 r": 8.0, "seed": 0})
        ['soft-c2000-t12-lr0.045-r8  softmax_5', 'BP-c10']
    """
    blocks = search.at(point).preset().blocks
    return [f"{block.layer}  {block.activation}".rstrip() for block in blocks]


def default_prune(space: Space) -> str:
    """``"median"``, or ``"none"`` where only seeds differ: their mean must not lose the worst."""
    return "none" if space.only_seeds else "median"


def check_pruning(search: Search) -> None:
    """Refuse a search whose trials are over before the first report."""
    if search.prune != "none" and search.trial.samples is not None:
        learned = int(0.8 * search.trial.samples)
        if learned < search.report_every:
            raise ConfigError(
                f"{learned} of {search.trial.samples} samples are learned from, and the first "
                f"report is due after {search.report_every}: take --report {max(1, learned // 8)}, "
                f"or --prune none"
            )
