r"""Weights changed a few neurons at a time, so that their change never leaves the cache.

$$w_{ji} \leftarrow w_{ji} + s_j \Big(\sum_n post_{nj}\, pre_{ni} - decay_j w_{ji}\Big)$$

Written out whole, the change of a large layer passes through memory several times: to be made, to
be measured, to be added, and once more for the norms that the next rate asks for. This needs the
step $s_j$ before the change of other neurons is known. Where it depends on the largest change of
the layer, that is found first, from a bound that every neuron's change keeps:

$$b_j = \sum_n |post_{nj}| \max_i |pre_{ni}| + |decay_j| \max_i |w_{ji}|$$

The neurons with the highest bounds are computed; when the largest change among them is above the
bounds of all others, it is the largest of all. In the published nets a handful will do. Of few
competitions a handful will also do if the length of a neuron's weights stands for its largest
weight, which then need not be looked for at every step.

Of few competitions the change itself is written nowhere, where the backend can: it is made, added
and the new weights are measured in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from streamhebb.kernels.choice import active
from streamhebb.kernels.coarse import margin, rounded
from streamhebb.kernels.dispatch import check_update, over_competitions
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.passes import WORTH, cut_rows
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.sharing import in_pieces
from streamhebb.values import LocalUpdate

LARGE = 1 << 20  # weights; below, a change stays in the cache as it is, if made by itself
AT_ONCE = 1 << 20  # numbers of a change that are made at a time: 4 MiB in float32
TRIED = (8, 16, 64)  # neurons whose change is computed to find the largest, one try after the other
FEW = 16  # competitions; of so few, the length of a neuron's weights bounds the largest well enough
LOST = 1.1e-19  # squares of smaller weights are lost in float32

Step = Tensor | Callable[[slice, Tensor], Tensor]
"""Shape ``(n_out, 1)``; or a function that gives the rows of it, from them and their change."""


class Rows:
    """What is known of every neuron's weights, as long as they do not change.

    Args:
        weight: shape ``(n_out, n_in)``.
        norm: length, shape ``(n_out,)``.
        top: largest absolute weight, shape ``(n_out,)``; ``None`` to look when it is asked for.
        memory: of the shape of the weights, for them rounded; holds them already.
    """

    def __init__(
        self,
        weight: Tensor,
        norm: Tensor,
        top: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> None:
        self.norm, self.memory = norm, memory
        self._weight, self._top = weight, top

    @property
    def rounded(self) -> Tensor:
        """The weights in bfloat16; where it cannot be multiplied see `coarse.rounded`."""
        if self.memory is None:
            self.memory = rounded(self._weight)
        return self.memory

    @property
    def top(self) -> Tensor:
        """Largest absolute weight, shape ``(n_out,)``."""
        top = self._top
        if top is None:
            top = torch.empty_like(self.norm)
            _look(self._weight, torch.empty_like(self.norm), top)
            self._top = top  # only now: another thread may ask meanwhile
        return top

    def bounds(self, competitions: int) -> Iterator[Tensor]:
        """Bounds of the largest absolute weight, ``(n_out,)``; first what is known already.

        Args:
            competitions: in which the neurons take part.
        """
        if competitions <= FEW:
            yield self.norm + LOST
        yield self.top


def rows_of(weight: Tensor) -> Rows:
    """Look at every neuron's weights, ``(n_out, n_in)``.

    Example:
        >>> rows = rows_of(torch.tensor([[3.0, -4.0]]))
        >>> rows.norm, rows.top
        (tensor([5.]), tensor([4.]))
    """
    norm = weight.new_empty(weight.shape[0])
    _look(weight, norm, None)
    return Rows(weight, norm)


def _look(weight: Tensor, norm: Tensor, top: Tensor | None) -> None:
    """Write the length and, if wanted, the largest absolute weight of every neuron."""
    pieces = cut_rows(weight, WORTH * weight.numel())

    def piece(number: int) -> None:
        own = pieces[number]
        active().look(weight[own], norm[own], _of(top, own))

    in_pieces(piece, len(pieces))


def _of(value: Tensor | None, rows: slice) -> Tensor | None:
    return None if value is None else value[rows]


def in_cache(
    update: LocalUpdate,
    weight: Tensor,
    index: Tensor | None,
    coarse: bool = False,
    searched: bool | None = None,
) -> bool:
    """Whether an update can be carried out without its change written out whole, and is worth it.

    Args:
        update: what is asked for.
        weight: shape ``(n_out, n_in)``.
        index: of a sparse layer.
        coarse: whether the factors of the product are rounded first.
        searched: whether the largest change must be found before; ``None`` if what the change is
            divided by needs all of it.
    """
    if index is not None or len(update.outer) != 1 or update.dense is not None:
        return False
    (outer,) = update.outer
    if outer.factor is not None or outer.pre.ndim != 2 or torch.is_grad_enabled():
        return False
    if by_rows(weight) or searched is None:
        return by_rows(weight)
    post, pre, _ = outer
    found: bool = active().renews(post, pre, update.decay, weight, coarse, searched)
    return found


def by_rows(weight: Tensor) -> bool:
    """Whether a matrix is worth changing a few rows at a time."""
    return weight.device.type == "cpu" and weight.numel() >= LARGE


def change(
    update: LocalUpdate,
    weight: Tensor,
    step: Step,
    coarse: bool = False,
    memory: Tensor | None = None,
) -> Rows:
    """Change weights in place as an update asks for.

    Args:
        update: one outer product, and perhaps a decay.
        weight: shape ``(n_out, n_in)``.
        step: what the change is multiplied with, by neuron.
        coarse: whether the factors of the product are rounded first.
        memory: of the shape of the weights; is given the new ones, rounded, while they are near.

    Returns:
        What is known of the new weights.

    Raises:
        ConfigError: for an update whose shapes are not those of the weights.

    Example:
        >>> from streamhebb.values import Outer
        >>> update = LocalUpdate((Outer(torch.ones(1, 1), torch.tensor([[2.0, 3.0]])),))
        >>> weight = torch.zeros(1, 2)
        >>> _ = change(update, weight, torch.tensor([[0.5]]))
        >>> weight
        tensor([[1.0000, 1.5000]])
    """
    (outer,), backend = update.outer, active()
    post, pre = outer.post, outer.pre
    rows = _renewal(update, weight, step if isinstance(step, Tensor) else None, memory)
    found = Rows(weight, rows.norm, rows.top, memory)
    if isinstance(step, Tensor) and backend.renew(post, pre, rows, coarse):
        return found
    pieces = cut_rows(weight, weight.numel() * pre.shape[0])
    if isinstance(pre, Patches) and len(pieces) > 1:
        pre.ready()
    at_once = max(16, AT_ONCE // weight.shape[1] // 16 * 16)

    def piece(number: int) -> None:
        own = pieces[number]
        for start in range(own.start, own.stop, at_once):
            few = slice(start, min(start + at_once, own.stop))
            made, some = fresh((few.stop - few.start, weight.shape[1]), weight), rows.of(few)
            backend.product(post, pre, made, None, coarse, few)
            if not isinstance(step, Tensor):
                if some.decay is not None:
                    made.addcmul_(some.weight, some.decay[:, None], value=-1)
                some = some._replace(decay=None, step=step(few, made)[:, 0])
            backend.add(made, some)

    in_pieces(piece, len(pieces))
    return found


def change_by_own(
    update: LocalUpdate,
    weight: Tensor,
    step: Tensor,
    running: Tensor,
    coarse: bool = False,
    memory: Tensor | None = None,
) -> Rows | None:
    r"""Change weights in place, each neuron by its change over the running size of its changes.

    Args:
        update: see `change`.
        weight: see `change`.
        step: shape ``(n_out, 1)``.
        running: see [`Renewal`][streamhebb.kernels.renewal.Renewal], shape ``(n_out, 2)``; written.
        coarse: see `change`.
        memory: see `change`.

    Returns:
        What is known of the new weights; ``None`` if there is no one pass for that here, and
        nothing was done.

    Raises:
        ConfigError: for an update whose shapes are not those of the weights.

    Example:
        >>> from streamhebb.values import Outer
        >>> update = LocalUpdate((Outer(torch.ones(1, 1), torch.tensor([[3.0, 4.0]])),))
        >>> running = torch.tensor([[0.0, 1.0]])  # nothing so far; the present one is all
        >>> change_by_own(update, torch.zeros(1, 2), torch.ones(1, 1), running) is None  # by torch
        True
    """
    (outer,) = update.outer
    rows = _renewal(update, weight, step, memory)._replace(running=running)
    if not active().renew(outer.post, outer.pre, rows, coarse):
        return None
    return Rows(weight, rows.norm, rows.top, memory)


def _renewal(
    update: LocalUpdate, weight: Tensor, step: Tensor | None, memory: Tensor | None
) -> Renewal:
    """What is to be done to each neuron; its length stands for a step that is not known yet."""
    check_update(update, weight, weight, None)
    (outer,) = update.outer
    decay = None if update.decay is None else over_competitions(update.decay)
    norm = weight.new_empty(weight.shape[0])
    top = torch.empty_like(norm) if outer.pre.shape[0] > FEW else None
    return Renewal(decay, norm if step is None else step[:, 0], weight, norm, top, memory)


def change_events(update: LocalUpdate, weight: Tensor, step: Tensor | float) -> bool:
    """Change only weights of inputs or neurons that did something, if few did.

    Args:
        update: outer products.
        weight: shape ``(n_out, n_in)``; changed.
        step: what the change is multiplied with: one number, or shape ``(n_out, 1)``.

    Returns:
        Whether it was done; if not, nothing was.

    Example:
        >>> change_events(LocalUpdate(()), torch.zeros(1, 2), 1.0)
        False
    """
    if not update.outer or update.decay is not None or update.dense is not None:
        return False
    if weight.device.type != "cpu" or torch.is_grad_enabled():
        return False
    done: bool = active().change_events(update.outer, weight, by_neuron(step, weight))
    return done


def by_neuron(step: Tensor | float, weight: Tensor) -> Tensor:
    """The step of each neuron, shape ``(n_out,)``, where the weights are and of their type.

    Args:
        step: one number, or shape ``(n_out, 1)``.
        weight: shape ``(n_out, n_in)``.

    Example:
        >>> by_neuron(0.5, torch.zeros(2, 3))
        tensor([0.5000, 0.5000])
    """
    if not isinstance(step, Tensor):
        return weight.new_full((len(weight),), step)  # filled there: a card is not waited for
    each = step[:, 0] if step.ndim > 1 else step
    return each.to(weight).expand(len(weight)).contiguous()


def add_change(weight: Tensor, change: Tensor, step: Tensor | float) -> Rows:
    r"""Add a change that is made already, $w_{ji} \leftarrow w_{ji} + s_j\, c_{ji}$.

    Args:
        weight: shape ``(n_out, n_in)``.
        change: same shape; may be overwritten.
        step: one number, or shape ``(n_out, 1)``.

    Returns:
        What is known of the new weights.

    Example:
        >>> weight = torch.zeros(1, 2)
        >>> add_change(weight, torch.tensor([[3.0, 4.0]]), 2.0).norm, weight
        (tensor([10.]), tensor([[6., 8.]]))
    """
    norm = weight.new_empty(weight.shape[0])
    rows = Renewal(None, by_neuron(step, weight), weight, norm)
    pieces = cut_rows(weight, WORTH * weight.numel())

    def piece(number: int) -> None:
        own = pieces[number]
        active().add(change[own], rows.of(own))

    in_pieces(piece, len(pieces))
    return Rows(weight, norm)


def largest_change(
    update: LocalUpdate, weight: Tensor, top: Tensor, coarse: bool = False
) -> Tensor | None:
    """Find the largest absolute change of a layer without computing all of them.

    Args:
        update: one outer product, and perhaps a decay.
        weight: shape ``(n_out, n_in)``.
        top: largest absolute weight of each neuron or a bound of it, shape ``(n_out,)``.
        coarse: whether the factors of the product are rounded first.

    Returns:
        A scalar; ``None`` if many neurons would have to be computed.

    Example:
        >>> from streamhebb.values import Outer
        >>> post = torch.zeros(1, 64)
        >>> post[0, 7] = -2.0
        >>> update = LocalUpdate((Outer(post, torch.tensor([[2.0, 3.0]])),))
        >>> largest_change(update, torch.zeros(64, 2), torch.zeros(64))
        tensor(6.)
    """
    (outer,) = update.outer
    decay = None if update.decay is None else over_competitions(update.decay)
    backend, post, pre = active(), outer.post, outer.pre
    quick: Tensor | bool | None = backend.largest_change(
        post, pre, decay, weight, top, coarse, sum(TRIED)
    )
    if not isinstance(quick, bool):
        return quick
    bound = backend.bounds(post, backend.tops(pre), decay, top, margin(coarse))
    order = bound.topk(min(bound.shape[0], sum(TRIED) + 1))
    found, after = weight.new_zeros(()), 0
    for count in TRIED:
        few = order.indices[after : after + count]
        made = fresh((few.shape[0], weight.shape[1]), weight)
        backend.product(post[:, few], pre, made, None, coarse)
        if decay is not None:
            made.addcmul_(weight[few], decay[few, None], value=-1)
        found = torch.maximum(found, made.abs_().amax())
        after += few.shape[0]
        if after == bound.shape[0] or found >= order.values[after] or found.isnan():
            return found  # nothing is larger, nor than what is not a number
    return None
