"""The experiments of the first SoftHebb paper: loss, speed and robustness of one dense layer.

Published: T. Moraitis et al., SoftHebb: Bayesian inference in unsupervised Hebbian soft
winner-take-all networks, Neuromorph. Comput. Eng. 2, 044017, 2022,
https://doi.org/10.1088/2634-4386/aca710 (arXiv:2107.05747). Its figures are not known here; ours
compare nets of one size on one data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.interpolations import PARTS as PLACES
from streamhebb.suite.interpolations import InterpolationTrial
from streamhebb.suite.onepass import STOPS, OnePassTrial
from streamhebb.suite.posthoc import PARTS, READOUT_EPOCHS, PostHocTrial
from streamhebb.suite.robust import L2, LINF, SIGMAS, RobustTrial

SOURCE = "Moraitis et al., 2022 (arXiv:2107.05747); no figures of it are known here"

_NEAR: dict[str, Any] = {"changes": {"0": {"radius": 2.5}}}
_SOFT: dict[str, Any] = {"net": "2SoftMlpMNIST", **_NEAR}
_HARD: dict[str, Any] = {"net": "hard-wta-mnist-mlp", **_NEAR}
_PUBLISHED: dict[str, Any] = {"net": "2SoftMlpMNIST"}
_RANDOM: dict[str, Any] = {**_SOFT, "hidden": "random"}
_BACK: dict[str, Any] = {"net": "backprop-mnist-mlp"}
_NETS = {
    "SoftHebb": _SOFT,
    "hard WTA": _HARD,
    "random weights": _RANDOM,
    "back-propagation": _BACK,
}
"""784 inputs, 2000 neurons, 10 classes each."""

_RADIUS = (
    "The published preset draws first weights of radius 35, from which one pass does not get far: "
    "their radii are then still 13. Here they have radius 2.5, and rows that say so the published "
    "35."
)
_EQUAL = (
    "Nets of one size, 784-2000-10. SoftHebb and hard WTA differ in the competition only, and have "
    "the same softmax behind it; random weights are SoftHebb's first ones. "
    "Back-propagation is a net of rectifiers, end to end."
)


# ---- loss, post hoc ---------------------------------------------------------------------------

_POST_HOC = {
    "SoftHebb, radius 2.5": PostHocTrial(**_SOFT),
    "SoftHebb, radius 35": PostHocTrial(**_PUBLISHED),
    "SoftHebb one by one": PostHocTrial(**_SOFT, batch_size=1),
    "back-propagation": PostHocTrial(**_BACK),
}
_ABOUT_LOSS = (
    "The readout is fitted last and then stays, while layer 1 begins anew from its first weights "
    "and learns again, without labels, from the same samples in the same order. The published "
    "control is back-propagation: its readout is fitted to untrained weights and stays, and layer "
    "1 then follows the gradient of the loss; so it begins with a readout that fits. Readouts are "
    f"fitted in {READOUT_EPOCHS} epochs, as published; `--epochs` says otherwise. {_RADIUS}"
)
_ENDS = ("first test loss", "last test loss", "first test accuracy", "last test accuracy")

_LOSS = (
    Experiment(
        name="post-hoc",
        title="MNIST: cross-entropy before and after a layer learned without labels",
        about=_ABOUT_LOSS,
        cells=tuple(
            Cell(row, measure, trial, measure=measure)
            for row, trial in _POST_HOC.items()
            for measure in _ENDS
        ),
        axis="measure",
        show="table",
        source=SOURCE,
        cost="30 min, most of it readouts",
    ),
    Experiment(
        name="post-hoc-curve",
        title="MNIST: cross-entropy while a layer learns without labels",
        about=_ABOUT_LOSS + " Means over twentieths of the pass, each before its changes.",
        cells=tuple(
            Cell(row, 5 * part, trial, measure=f"loss {part}")
            for row, trial in _POST_HOC.items()
            for part in range(1, PARTS + 1)
        ),
        axis="share of the pass, %",
        quantity="cross-entropy of the mini-batches",
        source=SOURCE,
        cost="as post-hoc",
    ),
)


# ---- one pass ---------------------------------------------------------------------------------


def _one_pass() -> Iterator[Cell]:
    ways = {
        "stream": "at once",
        "probe": "readout afterwards",
        "neurons": "neurons named",
    }
    for name, net in _NETS.items():
        for way, words in ways.items():
            if way == "neurons" and name not in ("SoftHebb", "hard WTA"):
                continue
            for stop in STOPS:
                measure = f"{way} {stop} accuracy"
                yield Cell(f"{name}, {words}", stop, OnePassTrial(**net), measure=measure)


_ONE_PASS = Experiment(
    name="one-pass",
    title="MNIST shown once: accuracy after so many samples",
    about=(
        f"{_EQUAL} *At once*: layer and readout learn together, each sample once, in mini-batches "
        "of 32. *Readout afterwards*: the layer as it is then, and a linear readout fitted to the "
        "samples seen so far, in 10 epochs. *Neurons named*: no readout; each neuron has the class "
        f"it won most often. {_RADIUS}"
    ),
    cells=tuple(_one_pass()),
    axis="samples, each shown once",
    show="log",
    source=SOURCE,
    cost="15 min",
)


# ---- robustness -------------------------------------------------------------------------------

_ROBUST = {row: RobustTrial(**net) for row, net in _NETS.items()}
_MADE = {"made_on": _BACK["net"]}
_OTHERS = {"made_on": _SOFT["net"], "made_on_changes": _SOFT["changes"]}
_MOVED = {
    "SoftHebb, made on back-propagation": RobustTrial(**_SOFT, **_MADE),
    "back-propagation, made on SoftHebb": RobustTrial(**_BACK, **_OTHERS),
}
_HIDES = (
    " A net may only hide its gradient: rows *made on* another net show attacks that were made "
    "there, which ask nothing of the net's own gradient."
)


def _curve(measure: str, sizes: tuple[float, ...], *, moved: bool) -> tuple[Cell, ...]:
    trials = _ROBUST | (_MOVED if moved else {})
    return tuple(
        Cell(row, size, trial, measure=f"{measure} {size:g} accuracy" if size else "test_accuracy")
        for row, trial in trials.items()
        for size in sizes
    )


_ROBUSTNESS = tuple(
    Experiment(
        name=f"robust-{name}",
        title=f"MNIST: accuracy under {words}",
        about=f"{_EQUAL} {more}{_HIDES if moved else ''} {_RADIUS}",
        cells=_curve(measure, (0.0, *sizes), moved=moved),
        axis=axis,
        source=SOURCE,
        cost="20 min, shared with the other robust experiments",
    )
    for name, words, measure, sizes, axis, moved, more in (
        ("noise", "Gaussian noise", "noise", SIGMAS[1:], "standard deviation of the noise", False,
         "The noise is added as it is, of mean 0; pixels may leave the range from 0 to 1."),
        ("noise-clipped", "Gaussian noise, clipped", "clipped noise", SIGMAS[1:],
         "standard deviation of the noise", False,
         "Noisy pixels are brought back between 0 and 1, which makes the dark ground brighter in "
         "the mean: no longer noise of mean 0."),
        ("pgd-linf", "projected gradient ascent, every pixel", "linf", LINF,
         "largest change of a pixel", True,
         "White box, 20 steps, start by chance, the first 1000 test samples; at 0, all of them."),
        ("pgd-l2", "projected gradient ascent, by length", "l2", L2, "largest L2 length", True,
         "White box, 20 steps, start by chance, the first 1000 test samples; at 0, all of them."),
        ("fgsm", "one step of the gradient's sign", "fgsm", LINF, "change of a pixel", True,
         "White box, one step, the first 1000 test samples; at 0, all of them."),
    )
)  # fmt: skip


# ---- interpolations ---------------------------------------------------------------------------

_WAYS = {row: InterpolationTrial(**net) for row, net in _NETS.items()}
_MEASURES = (
    "distance to start",
    "distance to source",
    "distance to target",
    "nearest is source accuracy",
    "nearest is target accuracy",
)

_INTERPOLATIONS = (
    Experiment(
        name="interpolations",
        title="MNIST: from one class to the next along a net's gradient",
        about=(
            f"{_EQUAL} Ten test samples of every class go down the loss of the next class, within "
            "an L2 distance of 8. Where they end is compared with all training samples: L2 "
            "distances to the nearest one of the class they left and of the class they were sent "
            "to, and how often (%) the nearest of all is of either class. A net whose gradient "
            f"leads through the data ends near the second. {_RADIUS}"
        ),
        cells=tuple(
            Cell(row, measure.removesuffix(" accuracy"), trial, measure=measure)
            for row, trial in _WAYS.items()
            for measure in _MEASURES
        ),
        axis="measure",
        show="table",
        source=SOURCE,
        cost="10 min, training shared with the robust experiments",
    ),
    Experiment(
        name="interpolation-confidence",
        title="MNIST: confidence on the way from one class to the next",
        about=f"{_EQUAL} The net's own share of the class that samples are sent to. {_RADIUS}",
        cells=tuple(
            Cell(row, 100 * place / PLACES, trial, measure=f"confidence {place / PLACES:g}")
            for row, trial in _WAYS.items()
            for place in range(PLACES + 1)
        ),
        axis="share of the steps, %",
        quantity="mean share of the class aimed at",
        source=SOURCE,
        cost="as interpolations",
    ),
)

EXPERIMENTS = (*_LOSS, _ONE_PASS, *_ROBUSTNESS, *_INTERPOLATIONS)
"""In the order in which they are listed."""
