"""Launches of the kernels that change weights, one after the other, and nothing to wait for.

See `triton_learning_kernels`. With few competitions the change is made twice and written nowhere;
with many it is made once and written, and a pass over the weights adds it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from streamhebb.kernels import triton_learning_kernels as on_card
from streamhebb.kernels._triton import launch
from streamhebb.kernels.at_once import Running
from streamhebb.kernels.passes import Rates
from streamhebb.kernels.triton_launch import TALL, WIDE, Cut, pieces, reading, seen
from streamhebb.lazy import Times

FEW = {"tf32x3": 128, "ieee": 32, "bf16": 512}
"""Competitions, of which a product made twice takes less than passes over the change, by
precision. From a count of bytes and operations, not measured on a card: 4 TB/s, and 300, 60 and 500
of 10^12 operations a second, of which three are needed for one in TF32."""
AT_A_TIME = 1024
"""Tiles whose largest numbers are gone through at a time."""
BROAD = 256
"""Columns of a tile of weights that a change is added to."""


def learn(
    post: Tensor, pre: Tensor, decay: Tensor | Times | None, weight: Tensor, step: Tensor,
    by: str, tiny: float, running: Running | None, precision: str,
) -> None:  # fmt: skip
    """Change the weights; see `streamhebb.kernels.at_once`.

    Args:
        post: shape ``(n, n_out)``.
        pre: shape ``(n, n_in)``.
        decay: summed over competitions, ``(n_out,)``; or ``post`` times what is to be summed.
        weight: shape ``(n_out, n_in)``; changed.
        step: shape ``(n_out, 1)``, or `Rates` by the lengths of these weights.
        by: see there.
        tiny: see there.
        running: see there.
        precision: of products.
    """
    if not weight.numel():
        return
    a, b, (m, n), k = post.mT, seen(pre), weight.shape, len(post)
    cut = Cut.of(m, n, k, precision)
    again = cut.parts == 1 and k <= FEW[precision]
    rate = step if isinstance(step, Rates) else None
    summed = isinstance(decay, Times)
    like = decay.two.mT if isinstance(decay, Times) else a
    decays = "like" if summed else "no" if decay is None else "given"
    own = a.new_empty(cut.parts, m) if summed else weight if decay is None else decay.contiguous()
    wide = WIDE if cut.parts > 1 else cut.tiles.n
    noted, found = pieces(n, wide), pieces(m, TALL if cut.parts > 1 else cut.tiles.m)
    # An argument that is not there is another one.
    change = weight if again else weight.new_empty(m, n)
    largest = weight.new_empty(found * noted) if by == "largest" else weight
    squares = weight.new_empty(m, noted) if by == "squares" else weight
    lengths = weight if rate is None else weight.new_empty(m, noted)
    looks = not again or by != "no" or rate is not None or summed
    notes: dict[str, Any] = {"BY": by, "LENGTHS": rate is not None}
    sides = *b.strides, *b.places
    if looks:
        parts = change if cut.parts == 1 else weight.new_empty(cut.parts, m, n)
        launch(
            on_card.search, cut.grid,
            a, like, b.memory, weight, own, parts, largest, squares, lengths,
            m, n, k, cut.each, *a.stride(), *like.stride(), *sides, *weight.stride(),
            DECAYS=decays, ENDS=cut.parts == 1, WRITES=not again, **notes,
            **reading(b, inner=False), **cut.sizes(precision), flops=2 * m * n * k,
        )  # fmt: skip
        if cut.parts > 1:
            launch(
                on_card.gather, (found * noted,),
                parts, cut.parts, m * n, own, len(own) if summed else 1,
                weight, change, largest, squares, lengths, m, n, *weight.stride(),
                DECAYS=decay is not None, **notes, BLOCK_M=TALL, BLOCK_N=WIDE,
            )  # fmt: skip
    steps = weight if rate is not None else step[:, 0]
    mean, age, memory, moved = running or (weight, weight, 1.0, weight)
    known = (
        steps, 0.0 if rate is None else rate.lr, largest, found * noted, tiny,
        squares, mean, age, 1 / memory, moved, lengths, noted,
    )  # fmt: skip
    how: dict[str, Any] = {
        "BY": by,
        "POWER": -1 if rate is None else rate.power,
        "BLOCK_T": AT_A_TIME,
    }
    strides = *weight.stride(), steps.stride(0)
    if again:
        launch(
            on_card.renew, cut.grid[:1],
            a, b.memory, weight, own, *known, m, n, k, *a.stride(), *sides, *strides,
            DECAYS=decay is not None, **how, **reading(b, inner=False), **cut.sizes(precision),
            flops=2 * m * n * k,
        )  # fmt: skip
    else:
        launch(
            on_card.apply, (pieces(m, TALL) * pieces(n, BROAD),),
            change, weight, *known, m, n, *strides, **how, BLOCK_M=TALL, BLOCK_N=BROAD,
        )  # fmt: skip
