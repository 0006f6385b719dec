"""Post hoc: does learning without labels lower the loss of a readout that was fitted afterwards?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from streamhebb.evaluate import features, linear_probe
from streamhebb.net import StreamNet
from streamhebb.presets import Built, Prepared
from streamhebb.suite.about import NetTrial
from streamhebb.suite.offline import OfflineTrial, give, tell_epoch, trained
from streamhebb.suite.passes import Learner, batches_between, loss_and_accuracy, rows_of
from streamhebb.suite.trial import Result, Work

PARTS = 20
"""Equal stretches of the pass whose mean loss is reported by name."""
POINTS = 200
"""Most points of a curve that is kept."""
READOUT_EPOCHS = 100
"""In which the readout is fitted, as published; presets have fewer."""


class PostHocTrial(NetTrial):
    """Record loss and accuracy of every mini-batch, by a readout that is fitted already.

    1. Layers learn without labels, as the preset says, and then the readout on top of them, in 100
       epochs as published, or in ``epochs``.
    2. Layers go back to their first weights, and learn again from the same samples in the same
       order. The readout stays; before each change it says what it makes of the mini-batch.

    A net by back-propagation is the published control: the readout is fitted to the untrained
    layers and stays; then they follow the gradient of its loss, one pass.

    Args:
        batch_size: samples a change of the weights.

    Example:
        >>> PostHocTrial(net="2SoftMlpMNIST", batch_size=1).label()
        'post-hoc 2SoftMlpMNIST batch1'
    """

    kind: Literal["post-hoc"] = "post-hoc"
    batch_size: int = Field(default=32, ge=1)

    def label(self) -> str:
        """A few words that name it."""
        return f"{super().label()} batch{self.batch_size}"

    def offline(self, **more: Any) -> OfflineTrial:
        """The trial that trains this net, in mini-batches of this size, and fits the readout."""
        own = super().offline(**{"epochs": self.epochs or READOUT_EPOCHS} | more)
        if own.preset().unsupervised is None:
            return own
        return own.but(settings={"batch_size": self.batch_size})

    def run(self, work: Work) -> Result:
        """Fit the readout, begin anew, and record."""
        trial = self.offline()
        built = trial.build()
        built = built._replace(net=built.net.to(work.setup.device))
        data = work.noted(trial.read(built.stages[-1].data, work.setup.device))
        if any(True for layer in built.net.layers for _ in layer.parameters()):
            fit(built, data, work)
        else:
            done: Any = trained(trial, work).net
            fitted: Any = built.net.readout
            fitted.load_state_dict(done.readout.state_dict())
        return record(built.net, data, self.batch_size, self.seed)


def fit(built: Built, data: Prepared, work: Work) -> None:
    """Fit the readout of a net to its layers as they are, or go on with that after a kill."""
    net, phase = built.net, built.stages[-1].phase
    made = [(features(net, x), y) for x, y in (data.train, data.test)]
    more: dict[str, Any] = {"schedule": phase.halving, "dropout": phase.dropout}
    found = linear_probe(
        None, *made, epochs=phase.epochs, batch_size=phase.batch_size, seed=phase.seed,
        on_epoch=lambda epoch: tell_epoch(epoch, work),
        progress=work.folder.progress("readout"), **more,
    )  # fmt: skip
    give(net, found)


def record(net: StreamNet, data: Prepared, batch_size: int, seed: int) -> Result:
    """Let the layers learn once from everything, and say what the readout makes of it."""
    rows, test_rows = rows_of(data.y, net.labels), rows_of(data.y_test, net.labels)
    rows, test_rows = rows.to(data.x.device), test_rows.to(data.x.device)
    before = loss_and_accuracy(net, data.x_test, test_rows)
    learner = Learner(net, readout=False)
    losses, hits = [], []
    for _, part in batches_between(len(data.x), batch_size, seed):
        part = part.to(data.x.device)
        scores = learner.step(data.x[part], rows[part])
        losses.append(F.cross_entropy(scores, rows[part], reduction="none"))
        hits.append(scores.argmax(1) == rows[part])
    after = loss_and_accuracy(net, data.x_test, test_rows)
    loss, hit = torch.cat(losses).double().cpu(), torch.cat(hits).double().cpu()
    result: Result = {
        "curve": {
            "samples": stretches(torch.arange(1.0, len(loss) + 1), POINTS, last=True),
            "loss": stretches(loss, POINTS),
            "accuracy": stretches(hit, POINTS),
        },
        "first test loss": before[0],
        "last test loss": after[0],
        "first test accuracy": before[1],
        "last test accuracy": after[1],
    }
    ends = zip(stretches(loss, PARTS), stretches(hit, PARTS), strict=True)
    for number, (mean, share) in enumerate(ends, 1):
        result[f"loss {number}"] = mean
        result[f"{number} accuracy"] = share
    return result


def stretches(values: Tensor, count: int, *, last: bool = False) -> list[float]:
    """Means over so many equal stretches, or their last values.

    Example:
        >>> stretches(torch.tensor([1.0, 3.0, 5.0, 7.0]), 2)
        [2.0, 6.0]
    """
    parts = torch.tensor_split(values, min(count, len(values)))
    return [float(part[-1] if last else part.mean()) for part in parts]
