"""Maps of samples, and kernels side by side."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch

from streamhebb import pictures
from streamhebb.errors import ConfigError, MissingExtraError
from streamhebb.pictures._tiles import full_range, wall_of


def clouds(count=20, spread=0.1):
    """Three clouds far from each other, in many dimensions."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 40)) * 5
    x = np.concatenate([c + spread * random.normal(size=(count, 40)) for c in centres])
    return x, [number for number in range(3) for _ in range(count)]


def test_components_are_those_of_a_singular_value_decomposition():
    x = np.random.default_rng(1).normal(size=(30, 12)) * np.arange(1, 13)
    found = pictures.principal(torch.tensor(x), 4)
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs((u * s)[:, :4]), rtol=1e-3, atol=1e-2)
    assert pictures.principal(x[:5]).shape == (5, 4)


def test_inputs_stay_as_they_are():
    x = torch.rand(10, 3, 2, 2)
    before = x.clone()
    pictures.principal(x, 2)
    assert torch.equal(x, before)


def test_clouds_stay_apart_in_the_map():
    x, labels = clouds()
    points, method = pictures.flat_map(pictures.principal(x), "tsne")
    assert method == "t-SNE"
    assert pictures.neighbours_alike(points, labels, 5) == 1
    again, _ = pictures.flat_map(pictures.principal(x), "tsne")
    np.testing.assert_array_equal(points, again)


def test_neighbours_by_hand():
    x, _ = clouds(6, spread=5.0)
    labels = [int(v) for v in np.random.default_rng(2).integers(0, 3, len(x))]
    right = 0
    for i, row in enumerate(x):
        near = sorted((float(((row - y) ** 2).sum()), j) for j, y in enumerate(x) if j != i)[:3]
        votes = [sum(labels[j] == c for _, j in near) for c in range(3)]
        right += votes.index(max(votes)) == labels[i]
    assert pictures.neighbours_alike(x, labels, 3) == right / len(x)


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="needs the extra maps")
@pytest.mark.filterwarnings("ignore")
def test_by_umap_where_it_is_installed():
    x, labels = clouds()
    points, method = pictures.flat_map(pictures.principal(x))
    assert method == "UMAP"
    assert pictures.neighbours_alike(points, labels, 5) == 1


def test_without_umap_it_is_the_other_and_the_picture_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "umap" else real(name)
    )
    x, labels = clouds(10)
    points, method = pictures.flat_map(x)
    figure = pictures.sample_map(points, labels, method=method, names=("a", "b", "c"))
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == "Samples (t-SNE)"
    assert "UMAP: not run" in texts[1]
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["a", "b", "c"]
    with pytest.raises(MissingExtraError, match="maps"):
        pictures.flat_map(x, "umap")


def test_what_is_no_map_is_refused():
    with pytest.raises(ConfigError, match="method='pca'"):
        pictures.flat_map(np.zeros((5, 2)), "pca")
    with pytest.raises(ConfigError, match="2 labels"):
        pictures.sample_map(np.zeros((3, 2)), [0, 1])
    with pytest.raises(ConfigError, match="three samples"):
        pictures.principal(np.zeros((2, 5)))
    with pytest.raises(ConfigError, match="finite"):
        pictures.principal(np.full((5, 5), np.nan))


def test_kernels_are_sorted_and_stretched_each_by_itself():
    one, two = torch.randn(6, 3, 4, 4), torch.randn(5, 1, 3, 3)
    one[2] *= 9
    figure = pictures.kernels_beside({"a": one, "b": two}, limit=4)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    for axes, kernels in zip(figure.axes, (one, two), strict=True):
        spread = [float(np.mean([c.std() for c in kernel])) for kernel in kernels]
        order = sorted(range(len(kernels)), key=lambda k: -spread[k])[:4]
        expected = wall_of([full_range(kernels[k].numpy()) for k in order], 2, 2)
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected, atol=1e-6)
    kernel = full_range(one[2].numpy())
    assert (kernel.min(), kernel.max()) == (0, 1)


def test_kernels_that_are_no_pictures_are_refused():
    with pytest.raises(ConfigError, match="'a' have shape"):
        pictures.kernels_beside({"a": torch.randn(4, 9)})
    with pytest.raises(ConfigError, match="no kernels"):
        pictures.kernels_beside({})
