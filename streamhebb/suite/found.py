"""What trials have left in their folders: results that can be reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from streamhebb.errors import RunFolderError, StreamhebbError
from streamhebb.suite.folder import TrialFolder
from streamhebb.suite.kinds import read_trial
from streamhebb.suite.running import outdated
from streamhebb.suite.trial import Result


@dataclass(frozen=True)
class Found:
    """All seeds of one trial.

    Args:
        results: what ``result.json`` of each seed holds.
        folders: where each was found.
    """

    results: tuple[Result, ...]
    folders: tuple[Path, ...] = ()

    def told(self, name: str) -> list[Any]:
        """An entry of the results of every seed that has it."""
        found = [result["result"].get(name) for result in self.results]
        return [value for value in found if value is not None]

    def values(self, measure: str) -> list[float]:
        """A measure of every seed; accuracies in percent."""
        scale = 100 if measure.endswith("accuracy") else 1
        return [scale * value for value in self.told(measure)]

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run."""
        return sorted(result["trial"]["seed"] for result in self.results)

    def layers(self) -> list[list[dict[str, Any]]]:
        """What became of each layer: a list of layers, each a list of seeds.

        Results of earlier versions say nothing of layers that learned by back-propagation.
        """
        seeds = self.told("layers")
        names = [layer["layer"] for layer in max(seeds, key=len, default=[])]
        return [[at for seed in seeds for at in seed if at["layer"] == name] for name in names]

    def converged(self) -> list[float]:
        """Share of Hebbian neurons whose radius has converged, in percent, of every seed."""
        seeds = [[at for at in seed if "converged" in at] for seed in self.told("layers")]
        return [
            100 * sum(at["converged"] for at in seed) / sum(at["neurons"] for at in seed)
            for seed in seeds
            if seed
        ]


def collect(root: Path, tell: Callable[[str], object] = lambda line: None) -> dict[str, Found]:
    """All finished trials below a root, by their keys.

    Folders that cannot be read are left out, and those whose presets have changed since.

    Args:
        root: folders of trials lie in it.
        tell: is told of each folder that is left out, and why, in one line.
    """
    found: dict[str, list[tuple[Result, Path]]] = {}
    for path in sorted(root.glob("*/seed-*/result.json")):
        folder = TrialFolder(path.parent)
        try:
            result = folder.read(path.name)
            _check_whole(result)
            trial = read_trial(result["trial"])
            if outdated(result, trial.resolved()):
                raise RunFolderError("its names stood for another net or other data when it ran")
        except (StreamhebbError, KeyError, TypeError, ValueError) as error:
            why = str(error) if isinstance(error, StreamhebbError) else repr(error)
            tell(f"{folder.path.relative_to(root)}: {' '.join(why.split())}")
            continue
        found.setdefault(trial.key, []).append((result, folder.path))
    return {key: Found(*map(tuple, zip(*pairs, strict=True))) for key, pairs in found.items()}


class _Trial(BaseModel):
    seed: int


class _Setup(BaseModel):
    threads: int
    device: str


class _Machine(BaseModel):
    processor: str
    gpu: str | None
    cores: int
    torch: str


class _Layer(BaseModel):
    layer: str
    neurons: int = Field(ge=1)
    cosine: tuple[float, float, float]
    radius: tuple[float, float, float]


class _Measures(BaseModel):
    layers: list[_Layer] | None = None


class _Whole(BaseModel):
    """What reports ask of a result; there is more in it."""

    trial: _Trial
    setup: _Setup
    result: _Measures
    date: str
    machine: _Machine


def _check_whole(result: Any) -> None:
    try:
        _Whole.model_validate(result)
    except ValidationError as error:
        places = [".".join(map(str, each["loc"])) for each in error.errors()]
        wrong = ", ".join(filter(None, places)) or "no entries"
        raise RunFolderError(
            f"result.json is not whole ({wrong}); remove the folder to run it anew"
        ) from None
