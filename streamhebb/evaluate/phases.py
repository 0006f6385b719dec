"""Training in phases, as published: in each some blocks learn, and the others are frozen.

A *block* is one layer that has weights, with the normalisation before it and the activation and
pooling after it; the readout is the last block. Hebbian layers learn by the same ``observe`` and
``learn`` as in a stream, the readout by its own ``learn``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.evaluate.phase import Phase, PhaseEpoch
from streamhebb.evaluate.standing import Standing
from streamhebb.evaluate.trainer import Trainer
from streamhebb.net import StreamNet
from streamhebb.parts import require, require_choice
from streamhebb.schedule import Scheduler

MODES = ("successive", "consecutive", "simultaneous")


def split_blocks(net: StreamNet) -> tuple[range, ...]:
    """Split a net's layers into blocks of one layer with weights each; the readout is not listed.

    A block begins with the first layer that learns, or has parameters, after one with weights.

    Example:
        >>> from streamhebb import Dense, ReLU, RunningNorm
        >>> split_blocks(StreamNet(RunningNorm(4), Dense(4, 3), ReLU(), Dense(3, 2)))
        (range(0, 3), range(3, 4))
    """
    starts, weighty = [0], False
    layers = list(net.layers)
    for position, layer in enumerate(layers):
        graded = _graded(net, position)
        if weighty and (layer.learns or graded):
            starts.append(position)
            weighty = False
        weighty = weighty or bool(layer.plastic) or graded
    return tuple(range(a, b) for a, b in zip(starts, [*starts[1:], len(layers)], strict=True))


def plan_phases(
    net: StreamNet,
    mode: str = "successive",
    *,
    unsupervised: Phase | None = None,
    supervised: Phase | None = None,
    only: Sequence[int] | None = None,
    blocks: Sequence[range] | None = None,
) -> tuple[Phase, ...]:
    """Plan one of the published modes.

    | mode | phases |
    |---|---|
    | successive | one for each block, from the input on |
    | consecutive | all Hebbian blocks together, then all the rest |
    | simultaneous | one, in which everything learns |

    Blocks trained by labels, and everything in the simultaneous mode, take the settings of
    ``supervised``; the others those of ``unsupervised``.

    Args:
        net: says which blocks are Hebbian. A block with parameters, and the readout, are not.
        mode: ``"successive"``, ``"consecutive"`` or ``"simultaneous"``.
        unsupervised: settings of Hebbian phases; ``None`` is one epoch in mini-batches of 10.
        supervised: settings of the others; ``None`` is 50 epochs, mini-batches of 64, dropout 0.5.
        only: the blocks to train; the others stay as they are. ``[the readout's number]`` is the
            published control of random weights. There normalisation is never in training either:
            its statistics stay at mean 0 and variance 1, so such a net runs un-normalised.
        blocks: see [`train_phases`][streamhebb.evaluate.phases.train_phases].

    Raises:
        ConfigError: for another mode, or a block that does not exist.

    Example:
        >>> from streamhebb import Dense, SoftmaxReadout
        >>> net = StreamNet(Dense(4, 8), Dense(8, 6), readout=SoftmaxReadout(6, classes=2))
        >>> [phase.blocks for phase in plan_phases(net, "consecutive")]
        [(0, 1), (2,)]

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """
    parts = split_blocks(net) if blocks is None else tuple(blocks)
    taught = [any(_graded(net, i) for i in part) for part in parts]
    if net.readout is not None:
        taught.append(True)
    return plan_blocks(taught, mode, unsupervised=unsupervised, supervised=supervised, only=only)


def plan_blocks(
    taught: Sequence[bool],
    mode: str = "successive",
    *,
    unsupervised: Phase | None = None,
    supervised: Phase | None = None,
    only: Sequence[int] | None = None,
) -> tuple[Phase, ...]:
    """Plan as [`plan_phases`][streamhebb.evaluate.phases.plan_phases] does, before there is a net.

    Args:
        taught: of every block, from the input to the readout, whether it learns from labels.
        mode: ``"successive"``, ``"consecutive"`` or ``"simultaneous"``.
        unsupervised: settings of Hebbian phases; ``None`` is one epoch in mini-batches of 10.
        supervised: settings of the others; ``None`` is 50 epochs, mini-batches of 64, dropout 0.5.
        only: the blocks to train.

    Raises:
        ConfigError: for another mode, or a block that does not exist.

    Example:
        >>> [phase.blocks for phase in plan_blocks([False, False, True])]
        [(0,), (1,), (2,)]
    """
    require_choice("plan_phases", "mode", mode, MODES)
    hebbian = Phase(epochs=1, batch_size=10) if unsupervised is None else unsupervised
    rest = Phase(epochs=50, batch_size=64, dropout=0.5) if supervised is None else supervised
    chosen = tuple(range(len(taught))) if only is None else tuple(sorted(set(only)))
    _check_numbers(chosen, len(taught))
    own = tuple(number for number in chosen if not taught[number])
    told = tuple(number for number in chosen if taught[number])
    if mode == "simultaneous":
        groups = [(rest, chosen)]
    elif mode == "consecutive":
        groups = [(hebbian, own), (rest, told)]
    else:
        groups = [(rest if taught[n] else hebbian, (n,)) for n in chosen]
    return tuple(dataclasses.replace(base, blocks=group) for base, group in groups if group)


def train_phases(
    net: StreamNet,
    phases: Phase | Sequence[Phase],
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    blocks: Sequence[range] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    scheduler: Scheduler | None = None,
    tune: bool = False,
    report_every: int = 1,
    on_epoch: Callable[[PhaseEpoch], None] | None = None,
    progress: str | os.PathLike[str] | None = None,
    on_batch: Callable[[Tensor, Tensor], object] | None = None,
) -> tuple[PhaseEpoch, ...]:
    """Train a net phase by phase on a whole set, and measure it.

    In each mini-batch the blocks of the phase respond as while learning (``observe``: a
    ``BatchNorm`` there uses the mini-batch), all others as always (``respond``); only then does
    anything learn, so all changes are made from the weights before. What lies in front of the first
    block that learns is frozen, and is computed once for all epochs.

    A readout in the phase learns the labels by its own rule; ``SoftmaxReadout`` is Adam on the
    cross-entropy. A layer that has parameters (a layer of your own that wraps torch modules: the
    back-propagation control) is trained by Adam, with gradients of the cross-entropy through
    whatever follows it. Nothing else follows a gradient.

    Args:
        net: changed in place; samples learned from are counted as in a stream.
        phases: see [`plan_phases`][streamhebb.evaluate.phases.plan_phases], or your own.
        train: inputs ``(N, *input_shape)`` and labels; ``None`` for labels in a phase without any.
        test: the same, measured after every reported epoch; ``None`` leaves this out.
        blocks: which layers make a block, if not as
            [`split_blocks`][streamhebb.evaluate.phases.split_blocks] says: consecutive ranges that
            cover all layers.
        augment: changes each mini-batch of inputs before use; nothing is computed once then.
        scheduler: runs the phases in which nobody learns labels, as ``net.run`` does: with
            [`Threads`][streamhebb.schedule.threads.Threads] layers learn at the same time. The
            weights are the same, to the bit. It is left open. ``None`` is
            [`Serial`][streamhebb.schedule.serial.Serial]. Where labels are learned, one mini-batch
            follows the other.
        tune: measure at the beginning of each phase which kernels are fastest for its mini-batches,
            and use them from then on. Off, so that the same seed gives the same bits: which kernel
            wins depends on time, and results differ by rounding.
        report_every: report epochs 1, multiples of this, and the last.
        on_epoch: called with every report.
        progress: a file in which everything needed to go on is kept after every finished epoch. If
            it is there, training goes on after that epoch, whatever the net has learned since, and
            ends with the weights and reports of a run that was never interrupted, to the bit (with
            the same kernels, device and threads). Reports from before come back with the others;
            ``on_epoch`` is not called with them again. The file stays: delete it to train anew.
        on_batch: in phases in which nobody learns labels, called for every mini-batch, in order:
            with its samples' numbers, and what the last layer of the phase made of them before it
            learned from them. It changes no weight; what it raises ends the training.

    Returns:
        The reports of all phases, in order.

    Raises:
        ConfigError: for blocks that do not exist, or a phase of blocks that cannot learn.
        SnapshotError: if ``progress`` is damaged or that of another run (other phases, net, data or
            settings); the net is then untouched. Or if it cannot be written.
        InputError: for inputs or labels that are refused; nothing has learned then.
        DivergedError: if weights are no longer finite after an epoch.

    Example:
        >>> import torch
        >>> from streamhebb import Dense, SoftmaxReadout
        >>> net = StreamNet(Dense(4, 8), readout=SoftmaxReadout(8, classes=4, lr=0.05))
        >>> x, y = torch.eye(4).repeat(8, 1), [0, 1, 2, 3] * 8
        >>> plan = plan_phases(net, supervised=Phase(epochs=30, batch_size=8))
        >>> train_phases(net, plan, (x, y), (x, y))[-1].test_accuracy
        1.0
    """
    plan = (phases,) if isinstance(phases, Phase) else tuple(phases)
    require("train_phases", "report_every", report_every, at_least=1, whole=True)
    parts = split_blocks(net) if blocks is None else tuple(blocks)
    if [i for part in parts for i in part] != list(range(len(net.layers))):
        raise ConfigError(
            f"train_phases: blocks={blocks!r} is not allowed; give consecutive ranges that cover "
            f"the {len(net.layers)} layers"
        )
    trainer = Trainer(net, parts, train, test, augment, scheduler, tune, on_batch)
    for phase in plan:
        if not isinstance(phase, Phase):
            raise ConfigError(f"train_phases: {phase!r} is not a Phase")
        _check_numbers(phase.blocks, len(parts) + (net.readout is not None))
        trainer.check(phase)
    standing = Standing(trainer, plan, report_every, progress)
    for phase in plan[standing.phase :]:
        trainer.run(phase, standing, report_every, on_epoch or (lambda report: None))
    return tuple(standing.reports)


def _graded(net: StreamNet, position: int) -> bool:
    return any(True for _ in net.layers[position].parameters())


def _check_numbers(numbers: Sequence[int], count: int) -> None:
    if not numbers or not all(type(n) is int and 0 <= n < count for n in numbers):
        raise ConfigError(
            f"blocks {tuple(numbers)} are not allowed; name some of the {count} blocks, counted "
            f"from 0 (the readout is the last)"
        )
