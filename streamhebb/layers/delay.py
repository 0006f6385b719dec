"""Delays in whole steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from streamhebb.errors import ConfigError, ShapeError
from streamhebb.layers import states
from streamhebb.layers.base import Layer
from streamhebb.parts import require, require_choice
from streamhebb.values import Shape


class Delay(Layer):
    r"""Pass on what came in some steps ago: $y_i(t) = x_i(t - d_i)$, 0 before there was anything.

    A step is a sample of the stream; with ``timed`` it is a step within one sample, whose first
    dimension is time. What is under way is state: it is saved, restored and reset.

    Args:
        steps: $d$, one delay for all, or one for each feature of the last dimension.
        timed: whether samples are presentations ``(T, ...)``, delayed within themselves.

    Raises:
        ConfigError: for delays that are no whole numbers from 0.

    Example:
        >>> import torch
        >>> Delay([0, 1], timed=True).respond(torch.ones(1, 2, 2))
        tensor([[[1., 0.],
                 [1., 1.]]])
    """

    line: Tensor

    def __init__(self, steps: int | Sequence[int], timed: bool = False) -> None:
        super().__init__()
        listed = [steps] if isinstance(steps, int) else list(steps)
        if not listed:
            raise ConfigError("Delay: steps=[] is not allowed; give one number for each feature")
        for one in listed:
            require("Delay", "steps", one, at_least=0, whole=True)
        require_choice("Delay", "timed", timed, (True, False))
        self.steps = steps if isinstance(steps, int) else listed
        self.timed = timed
        self.longest = max(listed)
        self.carries = not timed and self.longest > 0
        self.carried_buffers = ("line",) if self.carries else ()
        if self.carries:
            self.register_buffer("line", torch.zeros(0))  # (longest, B, ...), the newest first
            self.register_load_state_dict_pre_hook(states.fit_rows)  # type: ignore[no-untyped-call]

    def shape(self, shape: Shape) -> Shape:
        """The same, if there is a delay for each feature."""
        if not isinstance(self.steps, int) and (not shape or shape[-1] != len(self.steps)):
            raise ShapeError(
                f"Delay has {len(self.steps)} delays and got samples of shape {shape}; it needs "
                f"one for each feature of the last dimension, or one number for all"
            )
        if self.timed and len(shape) < 2:
            raise ShapeError(f"Delay(timed=True) got samples of shape {shape}; it needs (T, ...)")
        return shape

    def respond(self, x: Tensor) -> Tensor:
        """Return what came in ``steps`` ago; changes nothing."""
        if self.timed:
            past = [torch.zeros_like(x)] * (self.longest + 1)
            for d in range(min(self.longest + 1, x.shape[1])):
                past[d] = torch.cat([torch.zeros_like(x[:, :d]), x[:, : x.shape[1] - d]], 1)
            return self._pick(past)
        return self._pick([x, *self._line(x)])

    def _pick(self, past: Sequence[Tensor]) -> Tensor:
        if isinstance(self.steps, int):
            out = past[self.steps]
            return out.clone() if self.carries else out  # advance() writes to the line
        return torch.stack([past[d][..., i] for i, d in enumerate(self.steps)], -1)

    def _line(self, x: Tensor) -> Tensor:
        if not self.carries:
            return x[None][:0]
        if not self.line.numel():
            return x.new_zeros(self.longest, *x.shape)
        if self.line.shape[1:] != x.shape:
            raise ShapeError(
                f"Delay carries {self.line.shape[1]} parallel samples and got {len(x)}; keep the "
                f"batch size, or call reset_state() first"
            )
        return self.line

    def observe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what ``respond`` does, and the input, which comes out later."""
        return self.respond(x), x

    def advance(self, seen: Tensor) -> None:
        """Take the input into the line."""
        if self.carries:
            line = torch.cat([seen[None], self._line(seen)[:-1]])
            if self.line.numel():
                self.line.copy_(line)
            else:
                self.line = line

    def reset(self, generator: object = None) -> None:
        """Empty the line."""
        self.reset_state()

    def reset_state(self) -> None:
        """Empty the line."""
        if self.carries:
            self.line = self.line.new_zeros(0)
