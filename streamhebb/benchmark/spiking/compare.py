"""The library's spiking layer beside plain torch calls, norse and BindsNET, taking turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.benchmark import beside
from streamhebb.benchmark.beside import Took
from streamhebb.benchmark.schedule.turns import Side, threads
from streamhebb.benchmark.spiking import others
from streamhebb.benchmark.spiking.plain import Present, Task, at_the_end, every_step
from streamhebb.benchmark.tuned import malloc
from streamhebb.layers import Dense
from streamhebb.net import StreamNet
from streamhebb.scaling import NoScaling

SAME = "LIF with synaptic current, pair STDP of all pairs: the same arithmetic as plain calls"
DOES = {
    "plain": "LIF with synaptic current, pair STDP of all pairs, a torch call for each term",
    "torch": SAME + "; also checks samples and keeps all state for a snapshot",
    "numba": SAME + "; also checks samples and keeps all state for a snapshot",
    "norse": SAME + "; weights are made anew, not in place",
    "bindsnet": "LIF without synaptic current, a delay of one step, pair STDP of all pairs; "
    "comparable in size and in what it is for, not in arithmetic",
}
EVERY, END = "every step", "at the end"
PRESENTATIONS = 8
"""Different ones that a side sees."""


@dataclass(frozen=True)
class SpikingStep:
    """One side of the comparison.

    Args:
        way: who makes the step.
        changes: weights at ``"every step"``, or once ``"at the end"`` of a presentation.
        threads: of torch.
        malloc: ``"default"`` or ``"tuned"``.
        does: what the side does.
        fired: share of the neurons that spike in a time step, or ``None``.
        took: per time step, beside plain calls that change weights as often; ``None`` if it
            was not measured.
        missing: why it was not, or nothing.
    """

    way: str
    changes: str
    threads: int
    malloc: str
    does: str
    fired: float | None
    took: Took | None
    missing: str = ""


def ours(task: Task, weight: Tensor, changes: str) -> Present:
    """Return the library's presentation, on a layer that begins with a copy of the weights."""
    at_once = task.steps if changes == END else 1
    layer = Dense(
        task.n_in,
        task.n_out,
        neuron=task.neuron,
        rule=task.rule,
        rate=task.lr,
        scaling=NoScaling(),
        carry=changes == EVERY,
    )
    net = StreamNet(layer, input_shape=(at_once, task.n_in), seed=None).to(weight.dtype)
    layer.set_weight(weight)
    layer.weight = weight  # so that whoever gave them sees them change

    def present(spikes: Tensor) -> float:
        count = 0.0
        for part in torch.split(spikes, at_once):
            scores = net.step(part).scores
            count += 0.0 if scores is None else float(scores.sum())
        return count

    return present


Make = Callable[[Task, Tensor], Present]


def makers(changes: str, ways: Sequence[str]) -> dict[str, tuple[Make, str]]:
    """All sides that change weights so often, each with the backend of the library's kernels."""
    found: dict[str, tuple[Make, str]] = {
        "plain": (every_step if changes == EVERY else at_the_end, "torch")
    }
    for way in ways:
        found[way] = partial(ours, changes=changes), way
    if changes == EVERY:
        found |= {"norse": (others.norse, "torch"), "bindsnet": (others.bindsnet, "torch")}
    return found


def compare(
    task: Task,
    count: int,
    *,
    ways: Sequence[str] = ("torch", "numba"),
    rounds: int = 9,
) -> list[SpikingStep]:
    """Measure all sides; a turn is one presentation.

    Args:
        task: what they do.
        count: threads of torch.
        ways: backends of the library.
        rounds: turns each side takes.
    """
    presentations = task.spikes(PRESENTATIONS)
    found = []
    with threads(count):
        for changes in (EVERY, END):
            sides: dict[str, Side] = {}
            fired: dict[str, float | None] = {}
            missing: dict[str, str] = {}
            for name, (make, backend) in makers(changes, ways).items():
                try:
                    present = make(task, task.weight())
                    with kernels.use(backend):
                        fired[name] = present(presentations[0]) / task.steps / task.n_out
                except others.Absent as reason:
                    missing[name], fired[name] = str(reason), None
                    continue
                sides[name] = _turns(present, presentations, backend)
            taken = beside.measure(sides, range(rounds))
            took = {name: beside.took(times, taken["plain"]) for name, times in taken.items()}
            found += [
                SpikingStep(
                    name,
                    changes,
                    count,
                    malloc(),
                    DOES[name],
                    fired[name],
                    took.get(name),
                    missing.get(name, ""),
                )
                for name in fired
            ]
    return found


def _turns(present: Present, presentations: Tensor, backend: str) -> Side:
    """Turns of one presentation each, in seconds a time step."""
    number = 0

    def turn() -> float:
        nonlocal number
        number += 1
        spikes = presentations[number % len(presentations)]
        with kernels.use(backend):
            start = perf_counter()
            present(spikes)
            return (perf_counter() - start) / len(spikes)

    return turn


def draw(found: Sequence[SpikingStep], path: Path) -> Path:
    """Draw how many times as fast as plain calls each side learns, as a PNG file.

    Raises:
        ConfigError: if the folder or disk refuses.
    """
    bars: dict[str, dict[str, Took]] = {}
    for row in found:
        if row.took is not None and row.way != "plain":
            group = beside.group(row.changes, row.threads)
            bars.setdefault(row.way, {})[group] = row.took
    note = "Median over rounds, with the worst and best one. The line is plain torch calls."
    title = "A layer of LIF neurons with pair STDP, by when weights change"
    return beside.draw(title, note, bars, path)
