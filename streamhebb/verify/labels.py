"""Replays the naming of neurons by the class they win most often."""

from __future__ import annotations

from streamhebb.errors import SourceError
from streamhebb.evaluate.neuron_labels import NeuronLabels
from streamhebb.verify.cases import Case
from streamhebb.verify.compare import Comparison


def is_labels(case: Case) -> bool:
    """Whether the case is about naming neurons."""
    return "winners" in case and "targets" in case


def replay_labels(case: Case, comparison: Comparison) -> None:
    """Count sample by sample, as a stream would, and name the neurons."""
    case.need(("labels", "accuracy"))
    pre = case.shaped("pre", (None, None))
    post = comparison.tensor(case.shaped("wta", pre.shape))
    targets = case.shaped("targets", (len(pre),))
    if targets.dtype.kind not in "iu":
        raise SourceError(f"targets have dtype {targets.dtype}; whole numbers are needed")
    comparison.used("pre", "wta", "targets")
    drive, told = comparison.tensor(pre), targets.tolist()
    named = NeuronLabels(pre.shape[1], classes=max(told) + 1)
    for one, label, y in zip(drive, told, post, strict=True):
        named.update(one, label, y)
    comparison.check("winners", drive.argmax(1))
    comparison.check("labels", [-1 if label is None else label for label in named.labels])
    comparison.check("accuracy", 100 * named.accuracy(drive, told))
