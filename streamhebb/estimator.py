"""River's and scikit-learn's verbs, as thin names over ``step`` and ``respond``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from streamhebb.errors import ConfigError, InputError, LabelError, NonFiniteError, ShapeError
from streamhebb.inputs import targets
from streamhebb.parts import require
from streamhebb.readouts import Readout
from streamhebb.values import Label, Sample, StepResult


class Estimator(ABC):
    """The names that other libraries call; each is a line or two over ``step`` / ``respond``."""

    _supervised = True  # River asks: labels are passed to learn_one
    counts: dict[str, int]
    on_bad: str
    readout: Readout | None

    @abstractmethod
    def step(self, x: Any, target: Any = None, *, learn: bool = True) -> StepResult:
        """Predict, then learn."""

    @abstractmethod
    def respond(self, x: Any) -> StepResult:
        """Predict; change nothing."""

    @abstractmethod
    def _look(self, x: Any) -> Tensor:
        """Return the last layer's output for a sample or mini-batch; change nothing."""

    @abstractmethod
    def choose_kernels(self, x: Any) -> dict[str, str]:
        """Measure which kernels are fastest for samples like this; use them from now on."""

    # -- sets and classes ----------------------------------------------------------------------

    def features(self, X: Any, batch_size: int = 256) -> Tensor:
        """Return the last layer's output for a whole set, ``(N, ...)``; change nothing.

        Args:
            X: an array ``(N, *input_shape)``, or anything that yields mini-batches.
            batch_size: for arrays.

        Raises:
            NonFiniteError: for NaN or infinite values, whatever ``on_bad`` says: a row left out
                here would set samples and labels apart.
        """
        parts = [self._look(x) for x, _ in batches(X, None, batch_size)]
        if not parts:
            raise InputError("there is nothing to respond to: the set is empty")
        return torch.cat(parts)

    @torch.no_grad()
    def probabilities(self, x: Any) -> tuple[tuple[Label, ...], Tensor]:
        """Return the classes and ``(B, n_classes)`` probabilities; change nothing."""
        readout = self._classifier()
        scores = self.respond(x).scores
        if scores is None:
            raise NonFiniteError("the sample holds NaN or infinite values")
        scores = scores[None] if scores.ndim == 1 else scores
        return readout.labels, readout.probabilities(scores)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The classes known so far, in the order of the scores."""
        return () if self.readout is None else self.readout.labels

    def add_classes(self, classes: Iterable[Label]) -> None:
        """Make classes known before they appear."""
        self._classifier().add_classes(classes)

    def _classifier(self) -> Readout:
        if self.readout is None:
            raise ConfigError("this net has no readout, so it has no classes")
        return self.readout

    def transform(self, X: Any) -> np.ndarray[Any, Any]:
        """Return the features of a whole set as a numpy array (scikit-learn)."""
        return np.asarray(self.features(X).cpu().numpy())

    # -- River ---------------------------------------------------------------------------------

    def learn_one(self, x: Any, y: Label | None = None) -> None:
        """Learn from one sample (River)."""
        self.step(x, y)

    def predict_one(self, x: Any) -> Label | None:
        """Predict the label of one sample (River); changes nothing."""
        return self.respond(x).prediction  # type: ignore[no-any-return]

    def predict_proba_one(self, x: Any) -> dict[Label, float]:
        """Predict the probability of each known class (River); changes nothing."""
        try:
            classes, probability = self.probabilities(x)
        except NonFiniteError:
            if self.on_bad == "raise":
                raise
            return {}  # River's word for "no idea"
        return dict(zip(classes, probability[0].tolist(), strict=True))

    # -- scikit-learn --------------------------------------------------------------------------

    def fit(
        self, X: Any, y: Any = None, *, epochs: int = 1, batch_size: int = 32, tune: bool = False
    ) -> Self:
        """Learn from a whole set in mini-batches; goes on from what is known already.

        Args:
            X: an array ``(N, *input_shape)``, or anything that yields mini-batches: a
                ``DataLoader``, ``(x, y)`` pairs, tensors, [`Sample`][streamhebb.values.Sample].
            y: labels, if ``X`` is an array.
            epochs: passes.
            batch_size: for arrays.
            tune: measure with the first mini-batch which kernels are fastest for its size, and use
                them from then on (``choose_kernels``). Off, so that the same seed gives the same
                bits: which kernel wins depends on time, and results differ by rounding.

        Raises:
            ConfigError: if a second pass is asked of a source that is exhausted, or for numbers
                below 1.
        """
        require("fit", "epochs", epochs, at_least=1)
        for epoch in range(epochs):
            count = 0
            for x, target in batches(X, y, batch_size):
                if tune and not (epoch or count):
                    self.choose_kernels(x)
                self.step(x, target)
                count += 1
            if not count:
                again = " again" if epoch else ""
                raise ConfigError(
                    f"nothing to learn from{again}: the source yields no batch in pass "
                    f"{epoch + 1}; pass an array, a list or a DataLoader"
                )
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Iterable[Label] | None = None) -> Self:
        """Learn from an array one sample at a time (scikit-learn).

        Args:
            X: shape ``(N, *input_shape)``.
            y: labels, or ``None``.
            classes: all labels that may ever come; optional here, classes may appear later.
        """
        if classes is not None:
            self.add_classes(classes)
        rows = as_array(X)
        labels = [None] * len(rows) if y is None else list(y)
        if len(labels) != len(rows):
            raise LabelError(f"{len(labels)} labels were given for {len(rows)} samples")
        for x, target in zip(rows, labels, strict=True):
            self.step(x, target)
        return self

    def predict(self, X: Any, batch_size: int = 256) -> np.ndarray[Any, Any]:
        """Predict the labels of a whole set; changes nothing.

        Returns:
            One label a sample; ``None`` (dtype object) before the first class is known, and for
            mini-batches that were skipped.
        """
        found: list[Any] = []
        for x, _ in batches(as_array(X), None, batch_size):
            found.extend(self.respond(x).prediction or [None] * len(x))
        return np.asarray(found)

    @property
    def classes_(self) -> np.ndarray[Any, Any]:
        """The classes known so far, sorted: the columns of ``predict_proba`` (scikit-learn)."""
        return np.unique(np.asarray(self.labels))

    def predict_proba(self, X: Any, batch_size: int = 256) -> np.ndarray[Any, Any]:
        """Predict probabilities, shape ``(N, n_classes)``, columns as ``classes_``."""
        parts = [self.probabilities(x)[1] for x, _ in batches(as_array(X), None, batch_size)]
        if not parts:
            raise InputError("there is nothing to predict: the set is empty")
        order = np.argsort(np.asarray(self.labels))  # scikit-learn's measures expect sorted columns
        return np.asarray(torch.cat(parts).cpu().numpy()[:, order])

    def score(self, X: Any, y: Any = None) -> float:
        """Share of correct predictions, between 0 and 1; changes nothing.

        Args:
            X: an array, or anything that yields labelled samples or mini-batches.
            y: labels, if ``X`` is an array.

        Raises:
            InputError: if there is no label to compare with.
        """
        right = total = 0
        for x, target in batches(X, y, 256):
            if target is None:
                continue
            labels = _label_list(target)
            predicted = self.respond(x).prediction
            if not isinstance(predicted, list):
                predicted = [predicted] * len(labels)
            if len(predicted) != len(labels):
                raise LabelError(f"{len(labels)} labels were given for {len(predicted)} samples")
            right += sum(a == b for a, b in zip(predicted, labels, strict=True) if b is not None)
            total += sum(label is not None for label in labels)
        if not total:
            raise InputError("there is nothing to score: no sample has a label")
        return right / total

    def __sklearn_is_fitted__(self) -> bool:
        """Whether anything was learned (scikit-learn)."""
        return self.counts["learned"] > 0

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that this is a classifier."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=False),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
        )


def as_array(X: Any) -> Any:
    """Bring a set of samples to an array or tensor; whole numbers become floating point.

    scikit-learn's convention, and the only place where integers are taken as they are.
    """
    if isinstance(X, Tensor):
        return X if X.is_floating_point() else X.float()
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise InputError(f"X is a ragged {type(X).__name__}; samples differ in shape") from error
    if not array.ndim:
        raise InputError(
            f"X is a {type(X).__name__}; give an array of samples (N, ...). fit, score and "
            f"features take anything that yields mini-batches, too"
        )
    return array.astype(np.float32) if array.dtype.kind in "iub" else array


def batches(data: Any, y: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Yield ``(x, target)`` mini-batches from an array, or from anything that yields them."""
    require("batches", "batch_size", batch_size, at_least=1)
    if isinstance(data, (Tensor, np.ndarray)) or y is not None:
        rows = as_array(data)
        if rows.ndim < 2:
            raise ShapeError(
                f"X has shape {tuple(rows.shape)}; give a set of samples (N, ...), for a single "
                f"one X[None]"
            )
        labels = None if y is None else _labels(y, len(rows))
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            yield rows[part], None if labels is None else labels[part]
        return
    for item in data:
        yield _pair(item)


def _label_list(target: Any) -> list[Any]:
    values = target.tolist() if hasattr(target, "tolist") else target
    single = not isinstance(values, (list, tuple))
    return targets(values, 1 if single else len(values), single)


def _labels(y: Any, rows: int) -> Sequence[Any]:
    labels = y if hasattr(y, "tolist") else list(y)
    if len(labels) != rows:
        raise LabelError(f"{len(labels)} labels were given for {rows} samples")
    return labels


def _pair(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Sample):
        return item.x, item.target
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    return item, None
