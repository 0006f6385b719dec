"""Every net that comes with the library learns something from the data it is made for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import streamhebb as sh
from streamhebb import spec
from streamhebb.sources import open_source

# Share of the last quarter that must be right; chance is 0.1, and each bar lies well below what
# the net reaches, so that only a net that does not work at all fails.
LABELLED = [
    ("digits", "digits", 800, 0.85),
    ("mnist", "mnist", 500, 0.75),
    ("mnist-dense", "mnist", 500, 0.5),
    ("mnist-spiking", "mnist", 400, 0.3),
    ("cifar10", "cifar10", 500, 0.15),
]


@pytest.mark.parametrize(("name", "source", "samples", "bar"), LABELLED)
def test_a_net_learns_its_labels(
    name: str, source: str, samples: int, bar: float, request: pytest.FixtureRequest
) -> None:
    if source != "digits":  # they come with scikit-learn
        request.getfixturevalue("data_dir")
    stream = open_source(source, seed=0, limit=samples)
    net = sh.build(name, input_shape=stream.shape, seed=0)
    hits = [net.step(sample).prediction == sample.target for sample in stream]
    last = hits[-samples // 4 :]
    assert sum(last) / len(last) > bar


def test_the_published_net_learns_from_mini_batches(data_dir: Path) -> None:
    images = torch.stack([sample.x for sample in open_source("cifar10", seed=0, limit=4)])
    net = sh.build("softhebb-cifar10", input_shape=(3, 32, 32), seed=0)
    plastic = [layer for layer in net.layers if isinstance(layer, sh.PlasticLayer)]
    before = [layer.radius().mean() for layer in plastic]
    net.step(images)
    after = [layer.radius().mean() for layer in plastic]
    assert all(b > a for b, a in zip(before, after, strict=True))  # from 25 on the way to 1


def test_the_video_net_forms_features_within_a_short_clip(data_dir: Path) -> None:
    clip = data_dir / "video" / "carphone_pristine.mp4"
    stream = open_source(str(clip), size=(48, 60), limit=80)
    net = sh.build("video", input_shape=stream.shape, seed=0, readout=False)
    for frame in stream:
        net.step(frame)
    kernel = net.layers[1].kernel
    # Neighbouring weights of a random kernel do not agree; those of an edge or a blob do.
    pairs = torch.stack([kernel[..., :-1].flatten(), kernel[..., 1:].flatten()])
    assert float(torch.corrcoef(pairs)[0, 1]) > 0.8


def test_all_nets_are_tried_here() -> None:
    tried = {name for name, *_ in LABELLED} | {"softhebb-cifar10", "video"}
    assert tried == set(spec.net_names())
