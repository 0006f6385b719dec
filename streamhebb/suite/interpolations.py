"""From one class to another along a net's gradient: what lies on the way?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from streamhebb.evaluate.attacks import net_scores, pgd
from streamhebb.pictures.style import MUTED, new_figure, save
from streamhebb.suite.about import NetTrial
from streamhebb.suite.offline import trained
from streamhebb.suite.passes import rows_of
from streamhebb.suite.trial import Result, Work

SHOWN = 8
"""Pictures of one way, from the sample on."""
PARTS = 10
"""Places on the way where confidence is reported."""


class InterpolationTrial(NetTrial):
    r"""Move test samples towards the next class, and look where that leads.

    From each class some test samples that the net reads rightly descend the loss of the next class
    (of the last class, the first): projected gradient descent within a large L2 ball, without a
    start by chance. Measured are the net's confidence in the wanted class on the way, and the end:
    its distance to the nearest training sample of either class, and of which class the nearest
    training sample of all is. The last does not ask the net.

    Args:
        each: samples of every class.
        eps: radius of the ball.
        steps: of the descent.
    """

    kind: Literal["interpolations"] = "interpolations"
    each: int = Field(default=10, ge=1)
    eps: float = Field(default=8.0, gt=0)
    steps: int = Field(default=100, ge=1)

    def run(self, work: Work) -> Result:
        """Train, unless that is done, go, and draw."""
        trial = self.offline()
        built = trained(trial, work)
        data = work.noted(trial.read(built.stages[-1].data, work.setup.device))
        labels, scores = built.net.labels, net_scores(built.net)
        rows, test_rows = (rows_of(y, labels).to(data.x.device) for y in (data.y, data.y_test))
        x, source = begin(scores, data.x_test, test_rows, len(labels), self.each)
        target = (source + 1) % len(labels)
        way: list[Tensor] = []
        pgd(
            scores, x, target, self.eps, norm="l2", steps=self.steps, random_start=False,
            towards=True, on_step=lambda number, at: way.append(at),
        )  # fmt: skip
        result = ends(way[-1], x, source, target, data.x, rows)
        with torch.no_grad():
            for part in range(PARTS + 1):
                at = way[round(part * self.steps / PARTS)]
                sure = torch.softmax(scores(at), 1).gather(1, target[:, None])
                result[f"confidence {part / PARTS:g}"] = float(sure.mean())
        first = [int((source == row).nonzero()[0]) for row in sorted(set(source.tolist()))]
        steps = [round(part * self.steps / (SHOWN - 1)) for part in range(SHOWN)]
        walls = torch.stack([way[step][first] for step in steps], 1)
        path = work.folder.path / "interpolations.png"
        save(draw(walls, self.offline().label(), self.eps), path)
        return result | {"pictures": [path.name]}


@torch.no_grad()
def begin(scores: Any, x: Tensor, rows: Tensor, classes: int, each: int) -> tuple[Tensor, Tensor]:
    """The first samples of every class that are read rightly, and their classes."""
    found = torch.cat([scores(part).argmax(1) for part in torch.split(x, 500)])
    right = found == rows
    chosen = [((rows == row) & right).nonzero()[:each, 0] for row in range(classes)]
    places = torch.cat(chosen)
    return x[places], rows[places]


def ends(
    at: Tensor, start: Tensor, source: Tensor, target: Tensor, x: Tensor, rows: Tensor
) -> Result:
    """Distances of where the ways end, in the mean, and whose neighbours they are.

    Args:
        at: ends of the ways, shape ``(n, ...)``.
        start: where they began.
        source: classes they began in.
        target: classes they were meant to reach.
        x: training samples.
        rows: their classes.
    """
    apart = torch.cdist(at.flatten(1), x.flatten(1))
    nearest = rows[apart.argmin(1)]
    away = apart.new_full((), torch.inf)
    to = {
        name: torch.where(rows[None] == wanted[:, None], apart, away).amin(1)
        for name, wanted in (("source", source), ("target", target))
    }
    return {
        "distance to start": float((at - start).flatten(1).norm(dim=1).mean()),
        "distance to source": float(to["source"].mean()),
        "distance to target": float(to["target"].mean()),
        "nearest is target accuracy": float((nearest == target).double().mean()),
        "nearest is source accuracy": float((nearest == source).double().mean()),
    }


def draw(ways: Tensor, name: str, eps: float) -> Any:
    """Draw ways as rows of pictures.

    Args:
        ways: shape ``(ways, pictures, channels, height, width)``.
        name: of the net.
        eps: radius of the ball.
    """
    count, shown = ways.shape[:2]
    note = f"From left to right towards the next class, within an L2 distance of {eps:g}."
    figure = new_figure(0.7 * shown, 0.7 * count + 0.6, f"Interpolations: {name}", note)
    cells: Any = figure.subplots(count, shown, squeeze=False).flat
    for axes, picture in zip(cells, ways.flatten(0, 1), strict=True):
        axes.imshow(picture.permute(1, 2, 0).cpu().numpy(), vmin=0, vmax=1, cmap="gray")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color(MUTED)
            side.set_linewidth(0.5)
    return figure
