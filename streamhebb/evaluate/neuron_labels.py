"""Which class a neuron stands for: labels given to neurons that learned without any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from streamhebb import inputs
from streamhebb.errors import ConfigError, LabelError, NonFiniteError, ShapeError
from streamhebb.parts import require
from streamhebb.readouts.base import plain
from streamhebb.values import Label


class NeuronLabels:
    r"""Every neuron gets the class it wins most often; a prediction is the winner's label.

    $$label_j = \begin{cases} \arg\max_c \sum_{n:\,target_n = c} [\,j = \arg\max u_n\,]
      & \text{if } j \text{ ever won} \\
      \arg\max_c \sum_{n:\,target_n = c} y_{nj} & \text{else} \end{cases}$$

    Two numbers are kept for each neuron and class, so memory is bounded by the number of classes,
    and ``update`` may be called sample by sample in a stream. Nothing here changes the net. Of
    equal counts the class known first is taken.

    Args:
        n_out: number of neurons.
        classes: a number (labels 0 ... n-1) or labels known beforehand; more may appear.

    Raises:
        ConfigError: for a number of neurons or classes below 1.

    Example:
        >>> import torch
        >>> named = NeuronLabels(3)
        >>> named.update(torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]]), ["cat", "dog"])
        >>> named.labels
        ('cat', 'dog', None)
        >>> named.predict(torch.tensor([0.1, 0.9, 0.2]))
        'dog'

    Reference:
        P. U. Diehl, M. Cook, Unsupervised learning of digit recognition using
        spike-timing-dependent plasticity, Front. Comput. Neurosci. 9, 99, 2015.
        https://doi.org/10.3389/fncom.2015.00099
    """

    def __init__(self, n_out: int, classes: int | Iterable[Label] = ()) -> None:
        require("NeuronLabels", "n_out", n_out, at_least=1, whole=True)
        if isinstance(classes, int):
            require("NeuronLabels", "classes", classes, at_least=1, whole=True)
            classes = range(classes)
        self.n_out = n_out
        self._classes: dict[Label, int] = {}
        self.wins = torch.zeros(n_out, 0, dtype=torch.int64)
        self.mass = torch.zeros(n_out, 0, dtype=torch.float64)
        self._columns([plain(label) for label in classes])

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes seen so far: the columns of ``wins`` and ``mass``."""
        return tuple(self._classes)

    @property
    def labels(self) -> tuple[Label | None, ...]:
        """The label of every neuron; ``None`` for one that neither won nor had any share."""
        return tuple(self._named(torch.arange(self.n_out)))

    def update(self, drive: Tensor, target: Any, post: Tensor | None = None) -> None:
        """Count who won for which class.

        Args:
            drive: what competes, shape ``(n_out,)`` or ``(B, n_out)``.
            target: the label, or one a sample; ``None`` is not counted.
            post: postsynaptic factors $y$ of the same shape, which name a neuron that never wins;
                ``None`` leaves such neurons without a label.

        Raises:
            ShapeError: if the shapes do not fit together.
            LabelError: if there is not one label a sample, or one that cannot be a label.
            NonFiniteError: for NaN or infinite values.
        """
        rows, single = self._rows("drive", drive)
        shares = None if post is None else self._rows("post", post)[0]
        if shares is not None and shares.shape != rows.shape:
            raise ShapeError(
                f"NeuronLabels got post of shape {tuple(shares.shape)} for drive of shape "
                f"{tuple(rows.shape)}"
            )
        columns = self._columns(inputs.targets(target, len(rows), single))
        told = columns >= 0
        columns, winners = columns[told], rows.argmax(1)[told]
        one = torch.ones_like(winners)
        self.wins.index_put_((winners, columns), one, accumulate=True)
        if shares is not None:
            self.mass.index_add_(1, columns, shares[told].mT.to(self.mass.dtype))

    def predict(self, drive: Tensor) -> Any:
        """Return the label of the winner, or one a sample; ``None`` where it has no label."""
        rows, single = self._rows("drive", drive)
        found = self._named(rows.argmax(1))
        return found[0] if single else found

    def accuracy(self, drive: Tensor, target: Any) -> float:
        """Share of samples whose winner bears their label; a winner without one is wrong."""
        rows, single = self._rows("drive", drive)
        wanted = inputs.targets(target, len(rows), single)
        pairs = zip(self._named(rows.argmax(1)), wanted, strict=True)
        hits = [guess == label for guess, label in pairs if label is not None]
        return sum(hits) / len(hits) if hits else 0.0

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on, as plain JSON data."""
        return {
            "classes": list(self._classes),
            "wins": self.wins.tolist(),
            "mass": self.mass.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises:
            ConfigError: if that is no such state, or of another number of neurons.
        """
        try:
            classes = list(state["classes"])
            wins = torch.tensor(state["wins"], dtype=torch.int64)
            mass = torch.tensor(state["mass"], dtype=torch.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"this is no state of NeuronLabels: {error!r}") from error
        shape = (self.n_out, len(classes))
        if wins.shape != shape or mass.shape != shape or len(set(classes)) != len(classes):
            raise ConfigError(
                f"the state holds counts of shape {tuple(wins.shape)} for {len(classes)} classes; "
                f"{shape} is needed"
            )
        self._classes = {label: column for column, label in enumerate(classes)}
        self.wins, self.mass = wins, mass

    def _rows(self, name: str, values: Tensor) -> tuple[Tensor, bool]:
        single = values.ndim == 1
        rows = (values[None] if single else values).detach().cpu()
        if rows.ndim != 2 or rows.shape[1] != self.n_out:
            raise ShapeError(
                f"NeuronLabels got {name} of shape {tuple(values.shape)}; ({self.n_out},) or "
                f"(B, {self.n_out}) is needed"
            )
        if not inputs.all_finite(rows):
            raise NonFiniteError(f"NeuronLabels got NaN or infinite values in {name}")
        return rows, single

    def _columns(self, wanted: Sequence[Any]) -> Tensor:
        """The column of each label, -1 for none; makes room for new ones."""
        wrong = [v for v in wanted if v is not None and not isinstance(v, (int, str, bool))]
        if wrong:
            raise LabelError(f"label {wrong[0]!r} is not allowed; labels are int, str or bool")
        for label in wanted:
            if label is not None:
                self._classes.setdefault(label, len(self._classes))
        fresh = len(self._classes) - self.wins.shape[1]
        if fresh:
            self.wins = torch.cat([self.wins, self.wins.new_zeros(self.n_out, fresh)], 1)
            self.mass = torch.cat([self.mass, self.mass.new_zeros(self.n_out, fresh)], 1)
        # None is never a key, so it finds no column.
        return torch.tensor([self._classes.get(v, -1) for v in wanted], dtype=torch.int64)

    def _named(self, neurons: Tensor) -> list[Label | None]:
        """Labels of some neurons."""
        if not self._classes:
            return [None] * len(neurons)
        wins, mass = self.wins[neurons], self.mass[neurons]
        won, shared = wins.any(1), mass.any(1)
        best = torch.where(won, wins.argmax(1), mass.argmax(1))
        classes = self.classes
        known = (won | shared).tolist()
        return [classes[c] if k else None for c, k in zip(best.tolist(), known, strict=True)]
