r"""Dropout whose chance is a count: 64 numbers are decided by a few 64-bit words.

A share that is a half costs one word for 64 numbers. In general, with the binary digits
$0.b_1 b_2 \ldots b_L$ of the chance to be kept and random words $r_l$,

$$k_L = r_L, \qquad k_l = \begin{cases} r_l \lor k_{l+1} & b_l = 1 \\ r_l \land k_{l+1} & b_l = 0
  \end{cases}$$

leaves each bit of $k_1$ set with exactly that chance.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.chance.counters import GAMMA, mixed, signed, start
from streamhebb.parts import require

DIGITS = 24
"""Binary digits of a share: it is rounded to a multiple of 2^-24."""

_PURPOSE = 0x3C6EF372FE94F82B  # sets words apart from those that others draw with the same seed


class Dropout:
    r"""Leave out a share of all numbers by chance; scale up the others, so that the mean stays.

    $$x_i \leftarrow \frac{k_i}{1 - share}\, x_i, \qquad P(k_i = 1) = 1 - share$$

    Who is left out depends on the seed, the number of the step, and the position $i$ alone: not on
    device or kernel, nor on how many numbers there are, to the bit.

    Args:
        share: of numbers that are left out, below 1; 0 leaves out none.
        seed: a whole number.

    Raises:
        ConfigError: for a share out of its range.

    Example:
        >>> half = Dropout(0.5)
        >>> half(torch.ones(10), step=1)
        tensor([0., 0., 2., 0., 2., 2., 2., 2., 0., 0.])
        >>> torch.equal(half(torch.ones(10), step=1), half(torch.ones(99), step=1)[:10])
        True

    Reference:
        N. Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting,
        JMLR 15, 1929, 2014. https://jmlr.org/papers/v15/srivastava14a.html
    """

    def __init__(self, share: float, seed: int = 0) -> None:
        require("Dropout", "share", share, at_least=0, at_most=1 - 2**-DIGITS)
        require("Dropout", "seed", seed, whole=True)
        self.share = share
        self.seed = seed
        self._start = start(seed) ^ _PURPOSE
        # The chance to be kept is digits / 2^levels, in lowest terms.
        self._digits, self._levels = round((1 - share) * 2**DIGITS), DIGITS
        while self._digits % 2 == 0:
            self._digits, self._levels = self._digits // 2, self._levels - 1
        self.scale = 2**self._levels / self._digits
        self._spare = torch.empty(0)

    def __call__(self, x: Tensor, step: int) -> Tensor:
        """Return what is left of ``x``; a gradient passes through where there is one."""
        if not self._levels:
            return x
        return x * self.mask(x, step)

    def mask(self, x: Tensor, step: int, spare: Tensor | None = None) -> Tensor:
        """What each number of ``x`` is multiplied by, ``scale`` or 0; in memory that is given."""
        count = x.numel()
        bits = self.kept(count, step, x.device)
        # By bytes, each of which stands for eight numbers in a table.
        shifts = torch.arange(0, 64, 8, device=x.device)
        rows = torch.bitwise_right_shift(bits[:, None], shifts).bitwise_and_(255).view(-1)
        table = _table(self.scale, x.dtype, x.device)
        found = torch.index_select(table, 0, rows, **({} if spare is None else {"out": spare}))
        return found.view(-1)[:count].view(x.shape)

    def drop(self, x: Tensor, step: int) -> Tensor:
        """Do the same in place, without a gradient.

        Args:
            x: contiguous, floating point.
            step: a whole number that is another each time.
        """
        if not self._levels:
            return x
        if not self._by_loops(x):
            # Fresh memory of this size costs more than the work.
            if (self._spare.dtype, self._spare.device) != (x.dtype, x.device):
                self._spare = x.new_empty(0, 8)
            self._spare.resize_(-(-x.numel() // 64) * 8, 8)
            return x.mul_(self.mask(x, step, self._spare))
        from streamhebb.chance import loops

        array = x.view(-1).numpy()
        bits = self.kept(x.numel(), step, x.device).numpy().view(np.uint64)
        loops.drop(array, bits, array.dtype.type(self.scale))
        return x

    def kept(self, count: int, step: int, device: torch.device | str = "cpu") -> Tensor:
        """Return who is kept, as bits: number ``i`` is bit ``i % 64`` of word ``i // 64``.

        Args:
            count: how many numbers.
            step: a whole number that is another each time.
            device: where.

        Returns:
            Shape ``(ceil(count / 64),)``, ``int64``.
        """
        words = -(-count // 64)
        key = int(mixed(torch.tensor([signed(self._start + step * GAMMA)])))
        if self._by_loops(torch.empty(0, device=device)):
            from streamhebb.chance import loops

            out = np.empty(words, np.uint64)
            loops.kept(np.uint64(key % (1 << 64)), self._levels, DIGITS, self._digits, out)
            return torch.from_numpy(out.view(np.int64))
        places = torch.arange(words, device=device).mul_(signed(DIGITS * GAMMA))
        bits = torch.zeros_like(places)
        for level in reversed(range(self._levels)):
            drawn = mixed(places + signed(key + (level + 1) * GAMMA))
            wanted = self._digits >> (self._levels - 1 - level) & 1
            bits = bits.bitwise_or_(drawn) if wanted else bits.bitwise_and_(drawn)
        return bits

    @staticmethod
    def _by_loops(x: Tensor) -> bool:
        fits = x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"
        return fits and kernels.backend() == "numba"

    def __repr__(self) -> str:
        return f"Dropout({self.share:g}, seed={self.seed})"


@cache
def _table(scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Eight factors for each value of a byte, the lowest bit first."""
    bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
    return (bits.double() * scale).to(device, dtype)  # rounded once, as the loops round it
