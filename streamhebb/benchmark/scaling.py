"""What the choice of scaling costs or gains, beside weights that never learn.

One convolution looks at MNIST images one at a time, without labels. Then its features are frozen
and ridge regression on them (recursive least squares over another part of the training images)
is tested. Rates come from a coarse search by hand; none of them is tuned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from streamhebb.benchmark.mnist import whole_set
from streamhebb.competition import SoftWTA
from streamhebb.init import Normal
from streamhebb.layers import Conv2d, Flatten, MaxPool2d, RunningNorm, Triangle
from streamhebb.net import StreamNet
from streamhebb.parts import describe
from streamhebb.rates import NormRate
from streamhebb.readouts import RLSReadout
from streamhebb.scaling import LayerMax, NeuronMax, NeuronRMS, NoScaling, Scaling
from streamhebb.sources import mnist

CHOICES: tuple[tuple[str, Scaling, float], ...] = (
    ("random weights", NoScaling(), 0.0),
    ("NoScaling", NoScaling(), 1e-3),
    ("LayerMax (not local)", LayerMax(), 0.05),
    ("NeuronMax", NeuronMax(), 0.02),
    ("NeuronRMS", NeuronRMS(), 0.01),
)


@dataclass(frozen=True)
class ScalingResult:
    """One choice on one seed.

    Args:
        name: of the choice.
        lr: rate of the layer.
        seed: of weights and order.
        test: share of test images that ridge regression on the features gets right.
        radius: mean length of the weights at the end.
        turned: median cosine between first and last weights of a neuron.
    """

    name: str
    lr: float
    seed: int
    test: float
    radius: float
    turned: float


def run_choice(
    name: str, scaling: Scaling, lr: float, seed: int, samples: int = 3000, fitted: int = 20_000
) -> ScalingResult:
    """Learn without labels, then fit and test a regression on the frozen features."""
    layer = Conv2d(
        1,
        64,
        kernel_size=7,
        padding=3,
        competition=SoftWTA(t=4.0, anti_hebbian=True),
        rate=NormRate(lr),
        scaling=scaling,
        init=Normal(2.0),
    )
    net = StreamNet(
        RunningNorm(1),
        layer,
        Triangle(),
        MaxPool2d(8, stride=5),
        Flatten(),
        input_shape=(1, 28, 28),
        seed=seed,
    )
    first = layer.weight.clone()
    for sample in mnist("train", seed=seed, limit=samples):
        net.step(sample.x)
    cosine = torch.nn.functional.cosine_similarity(first, layer.weight)

    images, labels = whole_set(mnist("train"))
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:fitted]
    regression = RLSReadout(classes=10, ridge=100.0)
    with torch.no_grad():
        for part in chosen.view(-1, 500):
            features = net.features(images[part])
            if regression.n_in is None:
                regression.build(features.shape[1])
            _, seen = regression.observe(features)
            regression.learn(seen, [labels[i] for i in part.tolist()])
        held_out, wanted = whole_set(mnist("test", limit=fitted))
        guess = regression.respond(net.features(held_out)).argmax(1).tolist()
    right = sum(a == b for a, b in zip(guess, wanted, strict=True))
    return ScalingResult(
        name,
        lr,
        seed,
        right / len(wanted),
        float(layer.radius().mean()),
        float(cosine.median()),
    )


def described() -> list[dict[str, object]]:
    """The choices as plain data."""
    return [{"name": n, "scaling": describe(s), "lr": lr} for n, s, lr in CHOICES]
