"""Samples as points of a plane: near to each other if their features are."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from streamhebb.errors import ConfigError
from streamhebb.parts import require_choice
from streamhebb.pictures._tiles import Array
from streamhebb.pictures.style import MUTED, new_figure
from streamhebb.sources._late import late

COMPONENTS = 100
"""Published: principal components that a map is made of."""
SEED = 42
"""Published: of the map."""
EXTRA = "maps"
COLOURS = (
    "#1f6fb2", "#d9730d", "#2e8b57", "#b23a48", "#8e5bb5",
    "#8a5a2b", "#d76fa5", "#5b6770", "#a8a032", "#2aa5b5",
)  # fmt: skip


def principal(features: Tensor | Array, count: int = COMPONENTS) -> Array:
    """First principal components of features, as many as there can be.

    Args:
        features: shape ``(N, ...)``.
        count: of components.

    Returns:
        Shape ``(N, components)``; by a randomised decomposition, always with the same seed.

    Example:
        >>> principal(np.random.default_rng(0).random((20, 6)), 3).shape
        (20, 3)
    """
    from sklearn.decomposition import PCA

    flat = np.array(getattr(features, "numpy", lambda: features)(), dtype=np.float32)
    flat = flat.reshape(len(flat), -1)
    if len(flat) < 3 or not np.isfinite(flat).all():
        raise ConfigError(
            f"principal: features of shape {flat.shape} are not allowed; three samples or more "
            f"are needed, all numbers finite"
        )
    count = min(count, len(flat) - 1, flat.shape[1])
    # The copy above is ours: no second one.
    solver = PCA(count, svd_solver="randomized", random_state=SEED, copy=False)
    found: Array = solver.fit_transform(flat)
    return found


def flat_map(components: Array, method: str = "auto") -> tuple[Array, str]:
    """Lay samples out in a plane.

    Args:
        components: shape ``(N, n)``, by [`principal`][streamhebb.pictures.maps.principal].
        method: ``"umap"`` as published (extra ``maps``), ``"tsne"``, or ``"auto"``: UMAP where it
            is installed.

    Returns:
        Points, shape ``(N, 2)``, and the method's name.

    Raises:
        MissingExtraError: if UMAP is asked for by name and is not installed.

    Example:
        >>> points, name = flat_map(np.random.default_rng(0).random((30, 4)), "tsne")
        >>> points.shape, name
        ((30, 2), 't-SNE')
    """
    require_choice("flat_map", "method", method, ("auto", "umap", "tsne"))
    if method == "auto":
        method = "tsne" if importlib.util.find_spec("umap") is None else "umap"
    near = min(30.0, (len(components) - 1) / 3)
    found: Any
    if method == "umap":
        umap = late("umap", "a map by UMAP", EXTRA)
        near = min(15, len(components) - 1)
        found = umap.UMAP(n_neighbors=near, random_state=SEED, n_jobs=1)
        return np.asarray(found.fit_transform(components)), "UMAP"
    from sklearn.manifold import TSNE

    found = TSNE(perplexity=near, init="pca", random_state=SEED)
    return np.asarray(found.fit_transform(components)), "t-SNE"


def neighbours_alike(components: Array, labels: Sequence[Any], count: int = 10) -> float:
    """Share of samples whose class most of their nearest neighbours have, by Euclidean distance.

    Says in a number what a map shows; no sample is its own neighbour.

    Example:
        >>> neighbours_alike(np.array([[0.0], [0.1], [5.0], [5.1]]), "aabb", 1)
        1.0
    """
    from sklearn.neighbors import NearestNeighbors

    classes, told = np.unique(np.asarray(list(labels)), return_inverse=True)
    count = min(count, len(told) - 1)
    near = NearestNeighbors(n_neighbors=count).fit(components).kneighbors(return_distance=False)
    votes = np.stack([(told[near] == number).sum(1) for number in range(len(classes))], 1)
    return float((votes.argmax(1) == told).mean())


def sample_map(
    points: Array,
    labels: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    method: str = "",
    title: str = "Samples",
) -> Figure:
    """Draw samples as points, coloured by class.

    Args:
        points: shape ``(N, 2)``, by [`flat_map`][streamhebb.pictures.maps.flat_map].
        labels: their classes.
        names: of the classes, by label; labels are written themselves by default.
        method: that made the points; is named in the title.
        title: title of the picture.

    Raises:
        ConfigError: if there is not one label for each point.

    Example:
        >>> figure = sample_map(np.zeros((3, 2)), [0, 1, 1], method="t-SNE")
    """
    if np.shape(points) != (len(labels), 2):
        raise ConfigError(
            f"sample_map: points of shape {np.shape(points)} and {len(labels)} labels are not "
            f"allowed; give (N, 2), and N labels"
        )
    note = "100 principal components at most, laid out in a plane; colours are classes."
    if method == "t-SNE":
        note += f"\nPublished maps are by UMAP: not run, it is in the extra {EXTRA}."
    figure = new_figure(6.4, 5.2, f"{title} ({method})" if method else title, note)
    axes = figure.add_subplot()
    told = np.asarray(list(labels))
    for number, label in enumerate(dict.fromkeys(sorted(labels))):
        own = points[told == label]
        text = names[label] if names is not None and isinstance(label, int) else str(label)
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(own[:, 0], own[:, 1], s=5, color=colour, linewidths=0, alpha=0.75, label=text)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(
        frameon=False, fontsize=8, labelcolor=MUTED, markerscale=2.5, loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )  # fmt: skip
    return figure
