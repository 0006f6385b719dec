"""One pass of mini-batches through a net that learns, with the scores from before each change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.net import StreamNet


class Learner:
    """Lets a net learn mini-batch by mini-batch, by its own rules, or by back-propagation.

    Layers that have parameters follow the gradient of the cross-entropy by Adam, as in
    [`train_phases`][streamhebb.evaluate.phases.train_phases]; the others learn by ``learn``.
    All predict before anything changes.

    Args:
        net: changed in place; it knows its classes.
        readout: whether the readout learns, too.
        lr: of Adam for layers with parameters.

    Example:
        >>> from streamhebb import Dense, SoftmaxReadout
        >>> net = StreamNet(Dense(4, 8), readout=SoftmaxReadout(8, classes=2))
        >>> Learner(net).step(torch.rand(3, 4), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 2])
    """

    def __init__(self, net: StreamNet, *, readout: bool = True, lr: float = 1e-3) -> None:
        self.layers: list[Any] = list(net.layers)
        self.readout: Any = net.readout
        self.labels = net.labels
        self.reads = readout
        parameters = [p for layer in self.layers for p in layer.parameters()]
        self.adam = torch.optim.Adam(parameters, lr=lr) if parameters else None

    @torch.no_grad()
    def step(self, x: Tensor, rows: Tensor) -> Tensor:
        """Predict, then learn.

        Args:
            x: shape ``(B, *input_shape)``.
            rows: classes by number, as the readout has them, shape ``(B,)``.

        Returns:
            The scores from before, shape ``(B, classes)``.
        """
        seen: list[tuple[Any, Any]] = []
        with torch.set_grad_enabled(self.adam is not None):
            for layer in self.layers:
                if layer.learns:
                    x, kept = layer.observe(x)
                    seen.append((layer, kept))
                else:
                    x = layer.respond(x)
            scores: Tensor = self.readout.respond(x)
            if self.adam is not None:
                self.adam.zero_grad()
                F.cross_entropy(scores, rows).backward()  # type: ignore[no-untyped-call, unused-ignore]
        told = self.readout.observe(x.detach())[1] if self.reads else None
        for layer, kept in seen:
            layer.learn(kept)
        if told is not None:
            self.readout.learn(told, [self.labels[row] for row in rows.tolist()])
        if self.adam is not None:
            self.adam.step()
        return scores.detach()


def batches_between(
    count: int, batch_size: int, seed: int, stops: Sequence[int] = ()
) -> Iterator[tuple[int, Tensor]]:
    """Yield rows of mini-batches, in the order of a phase of this seed, with the rows seen by then.

    Args:
        count: samples there are.
        batch_size: the last mini-batch before a stop, and the last of all, may be smaller.
        seed: of the order.
        stops: numbers of samples at which a mini-batch ends.

    Example:
        >>> [(seen, len(rows)) for seen, rows in batches_between(10, 4, 0, (6,))]
        [(4, 4), (6, 2), (10, 4)]
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    inner = sorted({stop for stop in stops if 0 < stop < count})
    for first, last in zip([0, *inner], [*inner, count], strict=True):
        for rows in torch.split(order[first:last], batch_size):
            first += len(rows)
            yield first, rows


def rows_of(labels: Sequence[Any], known: Sequence[Any]) -> Tensor:
    """Labels as numbers of classes, ``int64``.

    Example:
        >>> rows_of(["b", "a"], ("a", "b"))
        tensor([1, 0])
    """
    index = {label: row for row, label in enumerate(known)}
    return torch.tensor([index[label] for label in labels])


@torch.no_grad()
def loss_and_accuracy(net: Any, x: Tensor, rows: Tensor, size: int = 500) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a net's readout over a set; nothing learns."""
    loss, right = 0.0, 0
    for part, wanted in zip(torch.split(x, size), torch.split(rows, size), strict=True):
        for layer in net.layers:
            part = layer.respond(part)
        scores = net.readout.respond(part)
        loss += float(F.cross_entropy(scores, wanted, reduction="sum"))
        right += int((scores.argmax(1) == wanted).sum())
    return loss / len(rows), right / len(rows)
