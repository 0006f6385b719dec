"""Crops, flips and noise: against loops and torch's own interpolation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.sources import CropFlip, Noise, ResizedCropFlip

KINDS = [CropFlip(seed=3), Noise(0.5, seed=3), ResizedCropFlip(seed=3)]


def numbered(batch, height, width):
    """Pictures in which every pixel is its own number; two channels that go together."""
    one = torch.arange(batch * height * width, dtype=torch.float32).view(batch, 1, height, width)
    return torch.cat([one, -one], 1)


def candidates(picture, padding):
    """Every crop of a picture that is reflected at its edges, mirrored or not."""
    height, width = picture.shape[1:]
    wide = F.pad(picture[None], (padding,) * 4, mode="reflect")[0]
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = wide[:, top : top + height, left : left + width]
            yield (top, left, False), crop
            yield (top, left, True), crop.flip(2)


def test_crop_flip_is_a_crop_of_the_reflected_picture():
    x = numbered(40, 6, 7)
    out = CropFlip(padding=2, seed=1)(x)
    found = []
    for picture, crop in zip(x, out, strict=True):
        same = [choice for choice, each in candidates(picture, 2) if torch.equal(each, crop)]
        assert len(same) == 1
        found += same
    tops, lefts, flips = zip(*found, strict=True)
    assert set(tops) == set(lefts) == set(range(5)), "every place is taken at times"
    assert 8 < sum(flips) < 32
    assert len(set(zip(tops, lefts, strict=True))) > 12, "both sides move together"


def test_crop_flip_of_nothing_is_nothing():
    x = numbered(3, 5, 5)
    assert torch.equal(CropFlip(padding=0, flip=0)(x), x)
    assert torch.equal(CropFlip(padding=0, flip=1)(x), x.flip(3))


def test_resized_crop_is_a_part_enlarged():
    chance = torch.Generator().manual_seed(0)
    x = torch.rand(30, 2, 9, 12, generator=chance)
    augment = ResizedCropFlip(seed=5)
    boxes = []
    choose = augment._boxes

    def keep(*args):
        boxes.append(choose(*args))
        return boxes[-1]

    augment._boxes = keep
    out = augment(x)
    flips = 0
    for n, (tall, wide, top, left) in enumerate(zip(*boxes[0], strict=True)):
        rows = slice(int(top), int(top + tall))
        columns = slice(int(left), int(left + wide))
        part = x[n : n + 1, :, rows, columns]
        assert part.shape[2:] == (int(tall), int(wide)), "it lies within the picture"
        plain = F.interpolate(part, (9, 12), mode="bilinear", align_corners=False)[0]
        straight = torch.allclose(out[n], plain, atol=1e-5)
        assert straight or torch.allclose(out[n], plain.flip(2), atol=1e-5)
        flips += not straight
    assert 6 < flips < 24


def test_parts_have_the_published_sizes_and_shapes():
    augment, x = ResizedCropFlip(seed=1), torch.zeros(4000, 1, 160, 160)
    tall, wide, top, left = augment._boxes(x, 4000, 160, 160)
    area = tall * wide / 160**2
    assert 0.075 < float(area.min()) < 0.09
    assert float(area.max()) > 0.95
    ratio = wide / tall
    assert 0.74 < float(ratio.min()) < 0.76
    assert 1.32 < float(ratio.max()) < 1.35
    # shares uniform from 0.08 to 1, less those that do not fit: large ones, a little
    assert float(area.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.02)
    assert float((top + tall).max()) <= 160
    assert float((left + wide).max()) <= 160


def test_where_no_part_fits_all_is_taken():
    augment = ResizedCropFlip(least=1.0, flip=0.0)
    x = torch.rand(20, 1, 4, 16)  # all of its area in a ratio of 3 : 4 is never to be had
    torch.testing.assert_close(augment(x), x)


def test_noise_has_its_size_and_is_new_every_time():
    x = torch.ones(4, 1, 50, 50)
    augment = Noise(0.5, seed=2)
    first, second = augment(x), augment(x)
    assert float(first.mean()) == pytest.approx(1, abs=0.02)
    assert float(first.std()) == pytest.approx(0.5, abs=0.02)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_seed_gives_the_same_changes_and_leaves_all_else_alone(kind):
    x = torch.rand(5, 3, 8, 8)
    before, state = x.clone(), torch.get_rng_state()
    one, same, other = (type(kind)(seed=seed) for seed in (3, 3, 4))
    runs = [[each(x) for _ in range(2)] for each in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(*runs[:2], strict=True))
    assert not torch.equal(runs[0][0], runs[2][0])
    assert not torch.equal(runs[0][0], runs[0][1]), "a new choice for every mini-batch"
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"
    assert runs[0][0].dtype == x.dtype
    assert kind(x.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CropFlip(padding=-1), "padding=-1"),
        (lambda: CropFlip(flip=1.5), "flip=1.5"),
        (lambda: CropFlip(seed=-1), "seed=-1"),
        (lambda: Noise(-1.0), "std=-1.0"),
        (lambda: ResizedCropFlip(least=0), "least=0"),
        (lambda: CropFlip(padding=4)(torch.zeros(1, 1, 4, 9)), "reflects beyond"),
    ],
)
def test_wrong_settings(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_vectors_are_no_pictures():
    for kind in (CropFlip(), ResizedCropFlip()):
        with pytest.raises(ShapeError, match=r"\(B, C, H, W\)"):
            kind(torch.zeros(2, 8))
