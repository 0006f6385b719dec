"""Trained nets on test samples that were disturbed: by noise, and by attacks along the gradient."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from streamhebb.evaluate.attacks import Norm, Scores, fgsm, net_scores, noise, pgd, slopes
from streamhebb.parts import LARGEST_SEED
from streamhebb.suite.about import NetTrial
from streamhebb.suite.offline import Changes, trained
from streamhebb.suite.passes import rows_of
from streamhebb.suite.trial import Result, Work

SIGMAS = tuple(round(0.1 * step, 1) for step in range(11))
"""Standard deviations of the noise; pixels lie between 0 and 1."""
LINF = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Largest changes of a pixel."""
L2 = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Largest lengths of a change."""
TOGETHER = 250


class RobustTrial(NetTrial):
    """Test a trained net on disturbed samples.

    Noise is normal; ``noise`` leaves it as it is, of mean 0, and ``clipped noise`` brings pixels
    back between 0 and 1, so that dark ones become brighter in the mean. Attacks know the net (white
    box): they follow the gradient of its cross-entropy; or, with ``made_on``, that of
    another net, which tells a net that withstands from one that only hides its gradient.

    Args:
        attacked: attacks are made on so many test samples, the first of the set.
        steps: of projected gradient ascent.
        made_on: name of a preset on whose net the attacks are made; ``None`` is the net itself.
        made_on_changes: settings of that preset, as ``changes``.

    Example:
        >>> RobustTrial(net="2SoftMlpMNIST", made_on="backprop-mnist-mlp").label()
        'robust 2SoftMlpMNIST made on backprop-mnist-mlp'
    """

    kind: Literal["robust"] = "robust"
    attacked: int = Field(default=1000, ge=1)
    steps: int = Field(default=20, ge=1)
    made_on: str | None = None
    made_on_changes: Changes = Field(default_factory=dict)

    def label(self) -> str:
        """A few words that name it."""
        return super().label() + (f" made on {self.made_on}" if self.made_on else "")

    def run(self, work: Work) -> Result:
        """Train, unless that is done, and test."""
        trial = self.offline()
        built = trained(trial, work)
        data = work.noted(trial.read(built.stages[-1].data, work.setup.device))
        scores, rows = net_scores(built.net), rows_of(data.y_test, built.net.labels)
        rows = rows.to(data.x_test.device)
        result: Result = {"test_accuracy": accuracy(scores, data.x_test, rows)}
        if self.made_on is None:
            for sigma in SIGMAS:
                for name, clip in (("noise", False), ("clipped noise", True)):
                    noisy = noise(data.x_test, sigma, self.seed, clip=clip)
                    result[f"{name} {sigma:g} accuracy"] = accuracy(scores, noisy, rows)
        x, rows = data.x_test[: self.attacked], rows[: self.attacked]
        result["attacked accuracy"] = accuracy(scores, x, rows)
        along = scores
        if self.made_on is not None:
            other = self.offline(net=self.made_on, changes=self.made_on_changes)
            along = net_scores(trained(other, work).net)
        result["flat"] = flat_share(along, x, rows)
        work.tell(f"{100 * result['flat']:.1f} % of the samples have a gradient of 0")
        for name, norm, sizes in (("linf", "linf", LINF), ("l2", "l2", L2)):
            for eps in sizes:
                made = self.attack(along, x, rows, eps, norm)
                result[f"{name} {eps:g} accuracy"] = accuracy(scores, made, rows)
        for eps in LINF:
            parts = zip(torch.split(x, TOGETHER), torch.split(rows, TOGETHER), strict=True)
            made = torch.cat([fgsm(along, part, wanted, eps) for part, wanted in parts])
            result[f"fgsm {eps:g} accuracy"] = accuracy(scores, made, rows)
        return result

    def attack(self, along: Scores, x: Tensor, rows: Tensor, eps: float, norm: Any) -> Tensor:
        """Projected gradient ascent on all samples, some at a time."""
        kind: Norm = norm
        parts = zip(torch.split(x, TOGETHER), torch.split(rows, TOGETHER), strict=True)
        seeds = [(self.seed * 10_000 + n) % (LARGEST_SEED + 1) for n in range(10_000)]
        return torch.cat(
            [
                pgd(along, part, wanted, eps, norm=kind, steps=self.steps, seed=seed)
                for (part, wanted), seed in zip(parts, seeds, strict=False)
            ]
        )


@torch.no_grad()
def accuracy(scores: Scores, x: Tensor, rows: Tensor) -> float:
    """Share of samples whose highest score is that of their class."""
    found = torch.cat([scores(part).argmax(1) for part in torch.split(x, 500)])
    return float((found == rows).double().mean())


def flat_share(scores: Scores, x: Tensor, rows: Tensor) -> float:
    """Share of samples without any slope, where an attack along the gradient cannot begin."""
    parts = zip(torch.split(x, TOGETHER), torch.split(rows, TOGETHER), strict=True)
    found = [(slopes(scores, part, wanted)[1] == 0).flatten(1).all(1) for part, wanted in parts]
    return float(torch.cat(found).double().mean())
