"""Experiments on MNIST and Fashion-MNIST: the rule of Krotov and Hopfield, and convolutions.

Settings of the former: J. Talloen et al., PyTorch-Hebbian, 2020, https://arxiv.org/abs/2102.00428.
It takes 500 and 1000 epochs; cells say how many they took.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamhebb.suite.experiment import Cell, Experiment
from streamhebb.suite.offline import OfflineTrial

SOURCE = "Talloen et al., 2020 (arXiv:2102.00428)"
_SETS = {"mnist": ("MNIST", 1000), "fashion": ("Fashion-MNIST", 500)}
_PAIRS = {"mnist": "mnist", "fashion": "fashion-mnist"}
EPOCHS = (1, 5, 20, 100)
"""Of the rule of Krotov and Hopfield over the whole set, in nets of dense neurons."""


def _krotov(data: str) -> Iterator[Cell]:
    """Each way to learn, in a dense net over all samples and a convolution over 10,000."""
    _, most = _SETS[data]
    net = f"krotov-{data}-mlp"
    for epochs in (5, 20):
        trial = OfflineTrial(net=net, settings={"epochs": epochs})
        yield Cell(f"Krotov-Hopfield, {epochs} epochs", "dense", trial)
    published = 87.01 if data == "fashion" else None
    yield Cell(f"Krotov-Hopfield, {most} epochs", "dense", OfflineTrial(net=net), published)
    # Published with radius 35, which one pass does not bring down.
    radius: dict[str, Any] = {"0": {"radius": 5.0}}
    soft = OfflineTrial(net="2SoftMlpMNIST", data=f"{_PAIRS[data]}-dense", changes=radius)
    yield Cell("SoftHebb, 1 epoch", "dense", soft)
    yield Cell(
        "back-propagation, 10 epochs", "dense", OfflineTrial(net=f"krotov-{data}-mlp-backprop")
    )
    still = OfflineTrial(net=net, hidden="normed", settings={"epochs": 1})
    yield Cell("random, normalised", "dense", still)

    pair: dict[str, Any] = {} if data == "fashion" else {"data": "mnist-10k"}
    own: dict[str, Any] = {} if data == "fashion" else {"data": "mnist-krotov-10k"}
    net = "krotov-fashion-1conv"
    for epochs in (1, 5, 100):
        trial = OfflineTrial(net=net, **own, settings={"epochs": epochs})
        yield Cell(f"Krotov-Hopfield, {epochs} epoch{'s' * (epochs > 1)}", "conv", trial)
    yield Cell("SoftHebb, 1 epoch", "conv", OfflineTrial(net="softhebb-fashion-1conv", **pair))
    end = OfflineTrial(net="krotov-fashion-1conv-backprop", **pair)
    yield Cell("back-propagation, 20 epochs", "conv", end)
    still = OfflineTrial(net=net, **own, hidden="normed", settings={"epochs": 1})
    yield Cell("random, normalised", "conv", still)


_KROTOV = tuple(
    Experiment(
        name=f"krotov-{data}",
        title=f"{title}: the rule of Krotov and Hopfield, SoftHebb and back-propagation",
        about=(
            f"One hidden layer: 2000 dense neurons over all 60,000 samples, or 400 kernels 5 x 5 "
            f"over 10,000 of them. Rank, strength, norm, rate and batches are those of "
            f"PyTorch-Hebbian, which goes on for {most} epochs (dense) and 100 (kernels); here "
            f"each row says for how many. The rate falls to zero over these. Ours: a batch "
            f"normalisation behind the rectifier, pools of 4 x 4, and readouts of 20 epochs of "
            f"Adam at 0.001. Of the kernels only a validation figure was published (85.5 on "
            f"Fashion-MNIST)."
        ),
        cells=tuple(_krotov(data)),
        axis="net",
        show="table",
        source=SOURCE,
        cost="15 min without 100 epochs and more",
    )
    for data, (title, most) in _SETS.items()
)

_EPOCHS = Experiment(
    name="krotov-epochs",
    title="The rule of Krotov and Hopfield: accuracy against epochs",
    about="2000 dense neurons; the rate falls to zero over the epochs of each cell.",
    cells=tuple(
        Cell(title, epochs, OfflineTrial(net=f"krotov-{data}-mlp", settings={"epochs": epochs}))
        for data, (title, _) in _SETS.items()
        for epochs in EPOCHS
    ),
    axis="epochs without labels",
    show="log",
    source="no figures were published",
    cost="40 min",
)


def _conv(data: str, title: str, about: str, published: float | None) -> Experiment:
    net, krotov = f"softhebb-{data}-2conv", "krotov-fashion-1conv"
    pair = f"{_PAIRS[data]}-conv"
    return Experiment(
        name=f"{data}-conv",
        title=f"{title}: convolutions by SoftHebb, and by the rule of Krotov and Hopfield",
        about=about,
        cells=(
            Cell("SoftHebb, 2 layers", "accuracy", OfflineTrial(net=net), published),
            Cell("random, 2 layers", "accuracy", OfflineTrial(net=net, hidden="normed")),
            Cell("Krotov-Hopfield, 1 layer", "accuracy", OfflineTrial(net=krotov, data=pair)),
            Cell(
                "random, 1 layer",
                "accuracy",
                OfflineTrial(net=krotov, data=pair, hidden="normed"),
            ),
        ),
        axis="net",
        show="table",
        source="Journé et al., ICLR 2023 (arXiv:2209.11883)" if published else "ours",
        cost="30 min",
    )


_CONV = (
    _conv(
        "mnist",
        "MNIST",
        "The published figure came without its net; these are ours, chosen on held-out training "
        "samples. Layers learn from 20,000 samples, once; the readout from all, 50 times. "
        "*Random*: the net above, its weights not learned, all inputs normalised.",
        99.35,
    ),
    _conv(
        "fashion",
        "Fashion-MNIST",
        "The net was chosen on held-out training samples. Layers learn from 20,000 samples, once; "
        "the readout from all, 50 times. *Random*: as for MNIST.",
        None,
    ),
)

EXPERIMENTS = (*_KROTOV, _EPOCHS, *_CONV)
"""In the order in which they are listed."""
