"""The values that travel: samples in, local updates inside, step results out.

Shape vocabulary, used in every docstring:

* ``(..., n_in)`` - leading dimensions are parallel samples (or output pixels) of one instant;
* ``n`` competitions: one per sample for a dense layer, one per output pixel for a convolution;
* ``(C, H, W)`` images, ``(B, C, H, W)`` micro-batches of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

Label = Hashable
"""A class label: an ``int``, ``str`` or ``bool``. Any hashable works until it must be saved."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of a stream: what is seen, and perhaps when, and perhaps what it is.

    Args:
        x: the observation, floating point, shape ``input_shape`` or ``(B, *input_shape)``.
        target: the label, or ``None`` when it is not known.
        t: time stamp in seconds, on the source's own clock.
        id: where the sample stands in its source (frame number, row); set by the source.

    Example:
        >>> import torch
        >>> Sample(torch.zeros(3), target=1).target
        1
    """

    x: Any
    target: Any = None
    t: float | None = None
    id: int | None = None


class Activity(NamedTuple):
    r"""All that a plasticity rule may look at (the locality law, as a type).

    Args:
        pre: presynaptic activity $x$, shape ``(n, n_in)``.
        post: postsynaptic factor $y$ after competition, shape ``(n, n_out)``.
        drive: weighted input $u$, shape ``(n, n_out)``.
        weight: the layer's weights $w$, shape ``(n_out, n_in)``; a rule may use ``w[j, i]``
            for synapse ``j, i`` only.
        voltage: membrane voltage $v$ at the instant of the decision to spike, shape
            ``(n, n_out)``; ``None`` in layers of rate units.
        modulator: the third factor, one number broadcast to all synapses. A layer multiplies it
            into the rate, unless the rule says ``modulated = True`` and uses it itself.
    """

    pre: Tensor
    post: Tensor
    drive: Tensor
    weight: Tensor
    voltage: Tensor | None = None
    modulator: float | Tensor = 1.0


class Outer(NamedTuple):
    r"""One outer product, summed over competitions: $f_{ji} \sum_n post_{nj}\, pre_{ni}$.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        factor: $f$, a function from weights ``(n_out, n_in)`` to a tensor of the same shape, or
            ``None`` for 1. This is how soft bounds are written: it is asked once for any number
            of instants. The tensor itself may stand for it.
    """

    post: Tensor
    pre: Tensor
    factor: Callable[[Tensor], Tensor] | Tensor | None = None

    def at(self, weight: Tensor) -> Tensor | None:
        """Return the factor for these weights."""
        factor = self.factor
        return factor if factor is None or isinstance(factor, Tensor) else factor(weight)


class LocalUpdate(NamedTuple):
    r"""What a rule asks for: outer products, less a decay, plus a per-synapse term.

    $$\Delta w_{ji} = \sum_k f^k_{ji} \sum_n post^k_{nj}\, pre^k_{ni}
      - \Big(\sum_n decay_{nj}\Big) w_{ji} + dense_{ji}$$

    A rule never forms the $n_{out} \times n_{in}$ matrix itself, so the same rule runs on dense,
    convolutional and grouped synapses.

    Args:
        outer: one [`Outer`][streamhebb.values.Outer] for most rules, two for pair STDP
            (potentiation, depression).
        decay: shape ``(n, n_out)``, or ``None``; of a product [`times`][streamhebb.lazy.times]
            is enough, as only its sum is used.
        dense: shape ``(n_out, n_in)``, for what no outer product can say, or ``None``.
    """

    outer: tuple[Outer, ...]
    decay: Tensor | None = None
    dense: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step returns. The prediction was made before anything was learned.

    Args:
        prediction: the label (a list of labels for a micro-batch), ``None`` without a readout,
            before the first class is known, or when the sample was skipped.
        scores: the readout's scores, shape ``(n_classes,)`` or ``(B, n_classes)``; without a
            readout the last layer's output.
        activity: layer name -> output, only when asked for with ``activity=True``.
        seconds: wall time of the step; in a ``run``, from the sample's arrival to its answer.
        sample: running number of the sample, counted from 0.
        skipped: why the sample was not used (``"non-finite"``), else ``None``.
        learned: whether the net learned from it, or will.
        missed: samples lost, and samples not learned from, between the result before and this
            one, this one included: cause -> how many. Causes are ``"dropped"``,
            ``"overtaken"``, ``"deadline"`` and ``"non-finite"``.
        passed: stages that nothing woke (see [`streamhebb.wake`][]).
        given: the sample itself, in a ``run``.
    """

    prediction: Any
    scores: Tensor | None
    seconds: float
    sample: int
    activity: Mapping[str, Tensor] = field(default_factory=dict)
    skipped: str | None = None
    learned: bool = True
    missed: Mapping[str, int] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    given: Sample | None = None
