"""What belongs to each neuron of a layer whose weights are about to change."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Renewal(NamedTuple):
    r"""Weights to be changed, and what is to be known of them afterwards.

    $$w_{ji} \leftarrow w_{ji} + step_j \Big(\sum_n post_{nj}\, pre_{ni} - decay_j w_{ji}\Big)$$

    Args:
        decay: shape ``(n_out,)``, or ``None``.
        step: shape ``(n_out,)``.
        weight: shape ``(n_out, n_in)``; changed.
        norm: length of each neuron's weights, ``(n_out,)``; written.
        top: its largest absolute weight, ``(n_out,)``; written; or ``None``.
        memory: its weights in bfloat16, ``(n_out, n_in)``; written; or ``None``.
        running: the mean square $m_j$ of its changes so far, written, and the share $p_j$ that the
            present change has in it, ``(n_out, 2)``; the step is then divided by its root,
            $m_j \leftarrow (1 - p_j) m_j + p_j \langle c_{ji}^2 \rangle_i$; or ``None``.
    """

    decay: Tensor | None
    step: Tensor
    weight: Tensor
    norm: Tensor
    top: Tensor | None = None
    memory: Tensor | None = None
    running: Tensor | None = None

    def of(self, own: slice) -> Renewal:
        """The same of some neurons."""
        return Renewal(*(None if value is None else value[own] for value in self))  # type: ignore[arg-type]
