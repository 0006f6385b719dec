"""What competitions see, as the loops of numba take it, and the products that loops make with it.

`inputs` says which way a layer takes: `Direct` or `CoarseDirect`, `Few` where neurons have few
inputs, or `Tiled`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb.kernels import few_loops, row_loops, tile_loops, window_loops
from streamhebb.kernels.coarse import multiplies, round_into, rounded
from streamhebb.kernels.loops import NONE, Array
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.numba_layouts import Layout, of_vectors, of_windows
from streamhebb.kernels.patches import Patches
from streamhebb.kernels.renewal import Renewal
from streamhebb.kernels.vector_code import COARSE, LANES, TALL, WIDTH

LEAST = 8
"""Competitions; of fewer, libraries multiply a matrix with vectors better."""
SEARCHED = 640
"""Competitions; of more, even few neurons are worth tiles."""
FEW = 512
"""Inputs of a neuron; of so few, a tile of sums is soon done, and must not be summed up itself."""
_NO_PAIRS = np.empty((0, 0), np.int32)
_NO_FLOATS = NONE["torch.float32"][0]
_NO_RUNNING = np.empty((0, 2), np.float32)


class Inputs(Protocol):
    """What competitions see. Neurons are some of a layer's: ``own`` says which.

    Attributes:
        least: neurons at a time.
        searches: whether there is a quick way to the largest change.
    """

    least: int
    searches: bool

    def respond(self, weight: Tensor, u: Tensor, own: slice) -> None:
        """Write the drive of neurons with all weights, into their columns of ``u``."""
        ...

    def product(self, post: Tensor, out: Tensor, own: slice) -> None:
        """Write the sum of post times pre of neurons to ``out``, which is theirs alone."""
        ...

    def renew(self, post: Tensor, rows: Renewal, own: slice) -> None:
        """Change weights by that sum, and look at them."""
        ...

    def ready(self, post: Tensor | None = None) -> None:
        """Do what is needed once, before work is shared: to learn from ``post``, or to respond."""
        ...

    def largest(
        self, post: Tensor, decay: Tensor | None, weight: Tensor, bound: Tensor, most: int
    ) -> Tensor | None:
        """Find the largest absolute change among the neurons of the highest bounds.

        Args:
            post: shape ``(n, n_out)``.
            decay: shape ``(n_out,)``, or ``None``.
            weight: shape ``(n_out, n_in)``.
            bound: which changes do not exceed, ``(n_out,)``; overwritten.
            most: neurons that are looked at.

        Returns:
            A scalar; ``None`` if others may change more.
        """
        ...


def arrays(rows: Renewal) -> tuple[Array, ...]:
    """All of a renewal, as loops take it; they round weights whose rows are full vectors."""
    pairs = _NO_PAIRS
    if rows.memory is not None and rows.weight.shape[1] % LANES == 0:
        pairs = rows.memory.view(torch.int32).numpy()
    running = _NO_RUNNING if rows.running is None else rows.running.numpy()
    found = (_NO_FLOATS if each is None else each.numpy() for each in rows[:5])
    return (*found, pairs, running)


def add(change: Tensor, rows: Renewal) -> None:
    """See `torch_backend.add`."""
    row_loops.add(change.numpy(), 0, 0, len(change), *arrays(rows))
    if rows.memory is not None and rows.weight.shape[1] % LANES:
        round_into(rows.weight, rows.memory)


def inputs(pre: Tensor, coarse: bool) -> Inputs | None:
    """What competitions see, if loops can take it; ``None`` if torch should.

    Args:
        pre: float32, on the CPU, shape ``(n, n_in)``, or patches.
        coarse: whether products are made of rounded numbers.
    """
    if (
        (coarse and not (COARSE and multiplies("cpu")))
        or pre.ndim != 2
        or len(pre) < LEAST
        or not pre.shape[1]
    ):
        return None
    if not isinstance(pre, Patches):
        if not pre.is_contiguous():
            return None
        n, n_in = pre.shape
        return _flat(pre, of_vectors(pre), coarse, step=n_in, runs=n)
    key = Inputs, coarse
    if key not in pre.kept:
        pre.kept[key] = _of_patches(pre, coarse)
    found: Inputs | None = pre.kept[key]
    return found


def _of_patches(pre: Patches, coarse: bool) -> Inputs | None:
    image, kernel = pre.image, pre.kernel
    if pre.side:
        return Tiled(pre) if image.shape[3] % (2 * LANES if coarse else LANES) == 0 else None
    width = (image.shape[2] - pre.dilation * (kernel[1] - 1) - 1) // pre.step + 1
    return _flat(image, of_windows(pre), coarse, step=pre.step * image.shape[3], runs=width)


def _flat(image: Tensor, layout: Layout, coarse: bool, step: int, runs: int) -> Inputs | None:
    """As they lie in an image, if runs are long enough, and of competitions come two by two."""
    if layout.n_in <= FEW:
        return Few(image, layout, coarse)
    if layout.length % (2 * LANES if coarse else LANES) or layout.length < WIDTH:
        return None
    if not coarse:
        return Direct(image, layout)
    return CoarseDirect(image, layout, step) if runs % 2 == 0 and step % 2 == 0 else None


class Direct:
    """Windows as they lie in the images, or vectors.

    Args:
        image: contiguous.
        layout: of the windows in it.
    """

    least = TALL
    searches = True

    def __init__(self, image: Tensor, layout: Layout) -> None:
        self._seen = image.view(-1).numpy(), layout.rows, layout.parts, layout.length

    def respond(self, weight: Tensor, u: Tensor, own: slice) -> None:
        """See `Inputs`."""
        weights = weight[own].contiguous().view(-1).numpy()
        window_loops.respond(*self._seen, weights, u.numpy(), own.start)

    def ready(self, post: Tensor | None = None) -> None:
        """See `Inputs`."""

    def product(self, post: Tensor, out: Tensor, own: slice) -> None:
        """See `Inputs`."""
        window_loops.product(post.numpy(), own.start, *self._seen, out.numpy())

    def renew(self, post: Tensor, rows: Renewal, own: slice) -> None:
        """See `Inputs`."""
        window_loops.renew(post.numpy(), own.start, *self._seen, *arrays(rows.of(own)))

    def largest(
        self, post: Tensor, decay: Tensor | None, weight: Tensor, bound: Tensor, most: int
    ) -> Tensor | None:
        """See `Inputs`."""
        less, found = _NO_FLOATS if decay is None else decay.numpy(), weight.new_empty(1)
        rest = less, weight.numpy(), bound.numpy(), most, found.numpy()
        known = window_loops.largest(post.numpy(), *self._seen, *rest)
        return found[0] if known else None


class CoarseDirect:
    """The same, rounded to bfloat16.

    Args:
        image: contiguous.
        layout: of the windows in it; neighbours come two by two.
        step: from a window to its neighbour.
    """

    least = TALL
    searches = True

    def __init__(self, image: Tensor, layout: Layout, step: int) -> None:
        self._flat, self._layout, self._step = image.view(-1), layout, step
        self._posts: tuple[Tensor, Array] | None = None

    @cached_property
    def _pairs(self) -> tuple[Array, Array, Array, int]:
        """Neighbouring numbers as pairs, to respond."""
        flat, layout = self._flat, self._layout
        pairs = fresh((flat.numel() // 2,), flat, torch.int32)
        pairs.view(torch.bfloat16).copy_(flat)
        return pairs.numpy(), layout.rows // 2, layout.parts // 2, layout.length // 2

    @cached_property
    def _both(self) -> tuple[Array, Array, Array, int]:
        """Each number with that of the neighbouring window, to learn."""
        flat, layout = self._flat, self._layout
        both = fresh((flat.numel(),), flat, torch.int32).numpy()
        window_loops.pair(flat.numpy(), self._step, both)
        return both, layout.rows[: layout.n : 2], layout.parts, layout.length

    def _post(self, post: Tensor) -> Array:
        """``post`` of neighbours, as pairs."""
        if self._posts is None or self._posts[0] is not post:
            n, n_out = post.shape
            pairs = fresh((n // 2, n_out), post, torch.int32).numpy()
            window_loops.pair_rows(post.numpy(), pairs)
            self._posts = post, pairs
        return self._posts[1]

    def ready(self, post: Tensor | None = None) -> None:
        """See `Inputs`."""
        _ = self._pairs if post is None else (self._post(post), self._both)

    def respond(self, weight: Tensor, u: Tensor, own: slice) -> None:
        """See `Inputs`."""
        some = weight[own]
        coarse = (some if some.dtype == torch.bfloat16 else rounded(some)).contiguous()
        weights = coarse.view(-1).view(torch.int32).numpy()
        window_loops.coarse_respond(*self._pairs, weights, u.numpy(), own.start)

    def product(self, post: Tensor, out: Tensor, own: slice) -> None:
        """See `Inputs`."""
        window_loops.coarse_product(self._post(post), own.start, *self._both, out.numpy())

    def renew(self, post: Tensor, rows: Renewal, own: slice) -> None:
        """See `Inputs`."""
        some = arrays(rows.of(own))
        window_loops.coarse_renew(self._post(post), own.start, *self._both, *some)

    def largest(
        self, post: Tensor, decay: Tensor | None, weight: Tensor, bound: Tensor, most: int
    ) -> Tensor | None:
        """See `Inputs`."""
        less, found = _NO_FLOATS if decay is None else decay.numpy(), weight.new_empty(1)
        rest = less, weight.numpy(), bound.numpy(), most, found.numpy()
        known = window_loops.coarse_largest(self._post(post), *self._both, *rest)
        return found[0] if known else None


class Few:
    """Windows of any size in the images, or vectors, of few inputs.

    Rounded numbers are multiplied as float32 here: that is exact, and fast enough.

    Args:
        image: contiguous.
        layout: of the windows in it.
        coarse: whether factors are rounded.
    """

    least = 1
    searches = False

    def __init__(self, image: Tensor, layout: Layout, coarse: bool) -> None:
        self._coarse, self._layout = coarse, layout
        self._image = self._rounded(image).view(-1).numpy()

    def _rounded(self, values: Tensor) -> Tensor:
        return values.bfloat16().float() if self._coarse else values

    def respond(self, weight: Tensor, u: Tensor, own: slice) -> None:
        """See `Inputs`."""
        some = self._rounded(weight[own]).mT
        n_in, k = some.shape
        turned = u.new_zeros(n_in, -(-k // WIDTH) * WIDTH)
        turned[:, :k] = some
        at = self._image, self._layout.rows, self._layout.inputs, n_in
        few_loops.respond(*at, turned.view(-1).numpy(), u.numpy(), own.start, k)

    def ready(self, post: Tensor | None = None) -> None:
        """See `Inputs`."""

    def product(self, post: Tensor, out: Tensor, own: slice) -> None:
        """See `Inputs`."""
        at = self._image, self._layout.rows, self._layout.inputs
        few_loops.product(self._rounded(post).numpy(), own.start, *at, out.numpy())

    def renew(self, post: Tensor, rows: Renewal, own: slice) -> None:
        """See `Inputs`; few weights change in two steps."""
        some = rows.of(own)
        made = torch.empty_like(some.weight)
        self.product(post, made, own)
        add(made, some)

    def largest(
        self, post: Tensor, decay: Tensor | None, weight: Tensor, bound: Tensor, most: int
    ) -> Tensor | None:
        """See `Inputs`; not here."""
        return None


class Tiled:
    """Images as tiles; see `tile_loops`.

    Args:
        patches: with a side, and channels in full vectors.
    """

    least = 1

    def __init__(self, patches: Patches) -> None:
        m, coarse = patches.side, patches.coarse
        # Not the patches, which keep this: a circle would be freed late, and its memory with it.
        self._windows = patches.image, of_windows(patches)
        self.searches = not coarse and patches.shape[0] <= SEARCHED
        image = patches.image
        batch, height, width, channels = image.shape
        self.height, self.length = height - 2, width - 2
        down, right = -(-self.height // m), -(-self.length // m)
        lacking = m * down + 2 - height, m * right + 2 - width
        if any(lacking):
            image = F.pad(image, (0, 0, 0, lacking[1], 0, lacking[0]))
        tiles = batch * down * right
        self._loops = tile_loops.LOOPS[m, coarse]
        self._sizes = tile_loops.sizes(m, tiles, channels, coarse)
        self._kind = torch.int32 if coarse else torch.float32
        self._like = image
        values = self._memory(self._sizes.values)
        seen = self._memory(self._sizes.seen) if coarse else values
        self._loops.inputs(image.view(-1).numpy(), down, right, channels, values, seen)
        shape = tiles, channels, down, right
        self._values, self._seen = (values, *shape), (seen, *shape)

    def _memory(self, size: int, kind: torch.dtype | None = None) -> Array:
        return fresh((size,), self._like, self._kind if kind is None else kind).numpy()

    def _work(self) -> tuple[Array, Array]:
        """Memory for one who works on it."""
        return self._memory(self._sizes.mapped), self._memory(self._sizes.found, torch.float32)

    def respond(self, weight: Tensor, u: Tensor, own: slice) -> None:
        """See `Inputs`."""
        weights = weight[own].contiguous().view(-1).numpy()
        at = u.numpy(), self.height, self.length, own.start
        self._loops.respond(*self._values, weights, *at, *self._work())

    def ready(self, post: Tensor | None = None) -> None:
        """See `Inputs`."""

    def product(self, post: Tensor, out: Tensor, own: slice) -> None:
        """See `Inputs`."""
        at = post.numpy(), self.height, self.length, own.start
        self._loops.product(*self._seen, *at, out.numpy(), *self._work())

    def renew(self, post: Tensor, rows: Renewal, own: slice) -> None:
        """See `Inputs`."""
        at = post.numpy(), self.height, self.length, own.start
        self._loops.renew(*self._seen, *at, *arrays(rows.of(own)), *self._work())

    def largest(
        self, post: Tensor, decay: Tensor | None, weight: Tensor, bound: Tensor, most: int
    ) -> Tensor | None:
        """See `Inputs`; with the windows themselves, as few neurons do not repay the maps."""
        return Direct(*self._windows).largest(post, decay, weight, bound, most)
