"""Products with windows, for numba, without writing the windows out.

What a competition sees is the same for a vector and for a window of a picture: some runs of numbers
that lie side by side, one for each row of the window. So a matrix of inputs is given as

* ``image``, an array of numbers;
* ``rows``, where in it each competition's numbers begin; ``WIDE - 1`` more are there and not used;
* ``parts``, how far behind that each of its runs begins;
* ``length``, numbers in a run.

Weights are the same runs, one after the other. A tile is some neurons times some competitions to
respond, and some neurons times some of their inputs to learn: weights are read as they lie. Where
neurons have few inputs see [`few_loops`][streamhebb.kernels.few_loops].

All arrays but the matrices ``u`` and ``post`` of all neurons are those of the neurons from
``first`` on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamhebb.kernels import vector_tiles, vectors
from streamhebb.kernels.loops import Array, compiled
from streamhebb.kernels.row_loops import add, higher, look
from streamhebb.kernels.vector_code import LANES, TALL, WIDE, WIDTH
from streamhebb.kernels.vector_tiles import nothing, put, put_more, put_totals

SPAN = 1 << 17
"""Numbers of an image that are worked on at a time: they stay in the second cache."""
RUN = 8
"""Competitions that are summed between two times that weights are fetched."""
SOME = 8 * TALL
"""Neurons that learn at a time from an image that is longer than that."""


@compiled
def _block(rows: Array, start: int, n: int) -> int:
    """The competition after the last one that begins within ``SPAN`` of another one."""
    end = start + 1
    while end < n and abs(rows[end] - rows[start]) < SPAN:
        end += 1
    return end


def _respond(dots: Any) -> Any:
    @compiled
    def respond(
        image: Array, rows: Array, parts: Array, length: int, weight: Array, u: Array, first: int
    ) -> None:
        """Write the drive of some neurons.

        Args:
            image: see above, as all that is not here.
            rows: those of all competitions.
            parts: see above.
            length: a multiple of ``LANES``.
            weight: shape ``(k * n_in,)``, at least ``TALL`` neurons.
            u: shape ``(n, n_out)``; the columns from ``first`` on are written.
            first: column of the first neuron.
        """
        n, n_in = u.shape[0], parts.size * length
        k = weight.size // n_in
        made = np.empty(TALL * WIDE, np.float32)
        begin = 0
        while begin < n:
            end = _block(rows, begin, n)
            lines = TALL * n_in // LANES // max(1, (end - begin) // WIDE)
            for start in range(0, k, TALL):  # their weights stay in the cache
                j = min(start, k - TALL)
                soon = (j + TALL) * n_in  # the weights that are next; some for each tile
                for row in range(begin, end, WIDE):
                    for place in range(soon, soon + lines * LANES, LANES):
                        vectors.fetch(weight, place)
                    soon += lines * LANES
                    sums = nothing()
                    for part in range(parts.size):
                        at, to = j * n_in + part * length, parts[part]
                        for i in range(0, length, LANES):
                            sums = dots(sums, weight, at + i, n_in, image, rows, row, to + i)
                    put_totals(sums, made, 0)
                    for c in range(min(WIDE, n - row)):
                        out = u[row + c]
                        for r in range(TALL):
                            out[first + j + r] = made[c * TALL + r]
            begin = end

    return respond


respond, coarse_respond = _respond(vector_tiles.dots), _respond(vector_tiles.coarse_dots)


def _learn(outers: Any, numbers: Any) -> Any:
    @compiled
    def multiply(
        factors: Array, image: Array, rows: Array, begin: int, end: int, parts: Array, length: int,
        made: Array, soon: Array, pairs: Array, near: int,
    ) -> None:  # fmt: skip
        """Sum post times pre of ``TALL`` neurons over some competitions.

        Meanwhile as many rows of ``soon``, from ``near`` on, are fetched, and those of ``pairs``
        if there are some: they are next. A few at a time, or products would wait for them.

        Args:
            factors: what these neurons did, ``(end - begin, TALL)``, as one row.
            image: see above, as ``rows``, ``parts`` and ``length``.
            rows: see above.
            begin: the first competition; if it is 0, the sum is written, else added.
            end: the one after the last.
            parts: see above.
            length: see above.
            made: shape ``(TALL, n_in)``, as one row.
            soon: rows of ``n_in`` numbers, as one row.
            pairs: the same rows rounded, ``n_in / 2`` pairs each, as one row; or empty.
            near: the first row that is needed soon.
        """
        n_in, rest = parts.size * length, np.empty(TALL * WIDTH, np.float32)
        ahead, last = near * n_in, (near + TALL) * n_in
        lines = -(-TALL * WIDE // max(1, (end - begin) // RUN))
        for part in range(parts.size):
            for start in range(0, length, WIDTH):
                i = min(start, length - WIDTH)
                sums, at, to = nothing(), parts[part] + i, part * length + i
                for some in range(begin, end, RUN):
                    for place in range(ahead, min(ahead + lines * LANES, last), LANES):
                        vectors.fetch(soon, place)
                        if pairs.size > 0:
                            vectors.fetch(pairs, place // 2)
                    ahead += lines * LANES
                    for t in range(some, min(some + RUN, end)):
                        sums = outers(sums, factors, (t - begin) * TALL, 1, image, rows[t] + at)
                if begin == 0:
                    put(sums, made, to, n_in)
                elif i == start:
                    put_more(sums, made, to, n_in)
                else:  # some columns have been added before
                    put(sums, rest, 0, WIDTH)
                    for r in range(TALL):
                        for c in range(start - i, WIDTH):
                            made[r * n_in + to + c] += rest[r * WIDTH + c]

    @compiled
    def sum_up(
        post: Array, first: int, image: Array, rows: Array, parts: Array, length: int,
        made: Array, soon: Array, pairs: Array, near: int,
    ) -> None:  # fmt: skip
        """Write the sum of post times pre of some neurons, ``(g, n_in)``, from ``first`` on."""
        n, group = post.shape[0], made.shape[0]
        n_in = parts.size * length
        flat, begin = made.reshape(-1), 0
        while begin < n:
            end = _block(rows, begin, n)
            factors = np.empty((end - begin, TALL), numbers)
            for k in range(0, group, TALL):
                for t in range(begin, end):
                    for r in range(TALL):
                        factors[t - begin, r] = post[t, first + k + r]
                own = flat[k * n_in : (k + TALL) * n_in]
                multiply(factors.reshape(-1), image, rows, begin, end, parts, length, own, soon,
                         pairs, near + k)  # fmt: skip
            begin = end

    @compiled
    def together(rows: Array, n: int, k: int) -> int:
        """How many neurons learn at a time."""
        return SOME if k >= SOME and _block(rows, 0, n) < n else TALL

    @compiled
    def product(
        post: Array, first: int, image: Array, rows: Array, parts: Array, length: int, out: Array
    ) -> None:
        """Write the sum of post times pre of some neurons.

        Args:
            post: shape ``(n, n_out)``.
            first: column of the first neuron in it.
            image: see above, as all that is not here.
            rows: see above.
            parts: see above.
            length: at least ``WIDTH``.
            out: shape ``(k, n_in)``, at least ``TALL`` neurons; written.
        """
        k, soon, pairs = out.shape[0], out.reshape(-1), np.empty(0, np.int32)
        group = together(rows, post.shape[0], k)
        for start in range(0, k, group):
            j = min(start, k - group)
            sum_up(post, first + j, image, rows, parts, length, out[j : j + group], soon, pairs, j)

    @compiled
    def renew(
        post: Array, first: int, image: Array, rows: Array, parts: Array, length: int,
        decay: Array, step: Array, weight: Array, norm: Array, top: Array, memory: Array,
        running: Array,
    ) -> None:  # fmt: skip
        """Change some neurons by that product, while it is near; as `row_loops.add` does.

        Args:
            post: see `product`, as all up to ``length``.
            first: see there.
            image: see there.
            rows: see there.
            parts: see there.
            length: see there.
            decay: shape ``(k,)``, or empty.
            step: shape ``(k,)``.
            weight: shape ``(k, n_in)``, at least ``TALL`` neurons.
            norm: see `row_loops.add`.
            top: see `row_loops.add`.
            memory: see `row_loops.add`.
            running: see `row_loops.add`.
        """
        (k, n_in), soon, pairs = weight.shape, weight.reshape(-1), memory.reshape(-1)
        group = together(rows, post.shape[0], k)
        made = np.empty((group, n_in), np.float32)
        for start in range(0, k, group):
            j = min(start, k - group)
            sum_up(post, first + j, image, rows, parts, length, made, soon, pairs, j)
            rest = j + group - start  # the others have been changed before
            add(made, start - j, start, rest, decay, step, weight, norm, top, memory, running)

    @compiled
    def largest(
        post: Array, image: Array, rows: Array, parts: Array, length: int,
        decay: Array, weight: Array, bound: Array, most: int, found: Array,
    ) -> bool:  # fmt: skip
        """Write the largest absolute change, if it is among the neurons of the highest bounds.

        Args:
            post: see `product`, as all up to ``length``.
            image: see there.
            rows: see there.
            parts: see there.
            length: see there.
            decay: shape ``(k,)``, or empty.
            weight: shape ``(k, n_in)``, at least ``TALL`` neurons.
            bound: which their changes do not exceed, ``(k,)``; overwritten.
            most: neurons that are looked at.
            found: shape ``(1,)``; written.

        Returns:
            Whether no other neuron can change more; NaN is larger than all.
        """
        (k, n_in), n = weight.shape, post.shape[0]
        some, chosen = np.empty((n, TALL), post.dtype), np.empty(TALL, np.int64)
        made, top = np.empty((TALL, n_in), np.float32), np.empty(TALL, np.float32)
        norm, soon, pairs = np.empty(TALL, np.float32), weight.reshape(-1), np.empty(0, np.int32)
        found[0] = 0
        for start in range(0, min(most, k), TALL):
            for r in range(TALL):
                chosen[r] = bound.argmax()
                if start + r < k:  # else the last one is looked at again
                    bound[chosen[r]] = -1
                for t in range(n):
                    some[t, r] = post[t, chosen[r]]
            sum_up(some, 0, image, rows, parts, length, made, soon, pairs, chosen[0])
            for r in range(TALL):
                row, w = made[r], weight[chosen[r]]
                if decay.size > 0:
                    less = decay[chosen[r]]
                    for i in range(n_in):
                        row[i] -= less * w[i]
            look(made, norm, top)
            for r in range(TALL):
                found[0] = higher(top[r], found[0])
            if not bound.max() > found[0]:
                return True
        return False

    return product, renew, largest


@compiled
def tops(
    image: Array, rows: Array, parts: Array, length: int, start: int, end: int, out: Array
) -> None:
    """Write the largest absolute number that some competitions see; NaN if one is.

    Args:
        image: see above, as all that is not here.
        rows: see above.
        parts: see above.
        length: see above; any.
        start: the first competition.
        end: the one after the last.
        out: shape ``(n,)``; written from ``start`` to ``end``.
    """
    full = length // LANES * LANES
    for t in range(start, end):
        reach, high = vectors.spread(0.0), np.float32(0)
        for part in range(parts.size):
            at = rows[t] + parts[part]
            for i in range(at, at + full, LANES):
                reach = vectors.farther(vectors.load(image, i), reach)
            for i in range(at + full, at + length):
                high = higher(abs(image[i]), high)
        out[t] = higher(vectors.utmost(reach), high)


product, renew, largest = _learn(vector_tiles.outers, np.float32)
coarse_product, coarse_renew, coarse_largest = _learn(vector_tiles.coarse_outers, np.int32)


@compiled
def pair(numbers: Array, step: int, pairs: Array) -> None:
    """Round to bfloat16, and write each number with the one ``step`` further on."""
    last = numbers.size - step - LANES
    for i in range(0, last + 1, LANES):
        vectors.put_pairs(pairs, i, vectors.load(numbers, i), vectors.load(numbers, i + step))
    if last >= 0:
        vectors.put_pairs(
            pairs, last, vectors.load(numbers, last), vectors.load(numbers, last + step)
        )


@compiled
def pair_rows(matrix: Array, pairs: Array) -> None:
    """Round to bfloat16, and write each two rows of ``(n, k)`` as pairs, ``(n / 2, k)``."""
    flat, out, k = matrix.reshape(-1), pairs.reshape(-1), matrix.shape[1]
    one, two = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    some = np.empty(LANES, np.int32)
    for row in range(pairs.shape[0]):
        at, to = 2 * row * k, row * k
        full = k // LANES * LANES
        for i in range(0, full, LANES):
            found = vectors.load(flat, at + i), vectors.load(flat, at + k + i)
            vectors.put_pairs(out, to + i, found[0], found[1])
        for i in range(k - full):
            one[i], two[i] = flat[at + full + i], flat[at + k + full + i]
        vectors.put_pairs(some, 0, vectors.load(one, 0), vectors.load(two, 0))
        for i in range(k - full):
            out[to + full + i] = some[i]
