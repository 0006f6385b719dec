"""Input normalisation: as published for mini-batches, causal for streams, and per sample."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from streamhebb import kernels
from streamhebb.errors import ShapeError
from streamhebb.layers.base import Layer
from streamhebb.parts import require
from streamhebb.peers import Peers
from streamhebb.values import Shape


def _check_channels(layer: Layer, n_in: int, shape: Shape) -> None:
    if not shape or shape[0] != n_in:
        found = shape[0] if shape else 0
        raise ShapeError(
            f"{type(layer).__name__}({n_in}) got samples of shape {shape}, with {found} channels; "
            f"it needs {n_in} channels (or features) in the first dimension"
        )


def _across(per_channel: Tensor, x: Tensor) -> Tensor:
    """(C,) or (B, C) in the shape that broadcasts over x (B, C, ...)."""
    lead = per_channel if per_channel.ndim == 2 else per_channel[None]
    return lead.reshape(*lead.shape, *(1,) * (x.ndim - 2))


class _Moments(NamedTuple):
    mean: Tensor
    var: Tensor


def _pooled(
    peers: Peers, count: float, first: Tensor, second: Tensor, shift: Tensor
) -> tuple[float, _Moments]:
    r"""Moments over all processes, from sums of $x - k$ and of its squares; float64.

    $k$ is near the mean and the same in all processes, so that the difference of squares keeps
    what sets the values apart.
    """
    total = first.new_tensor(float(count))
    peers.add_up(total, first, second)
    apart = first / total
    var = (second / total - apart.square()).clamp_min(0)
    return float(total), _Moments(shift.double() + apart, var)


class BatchNorm(Layer):
    r"""Batch normalisation without learned scale, as published.

    While learning, a mini-batch is normalised by its own statistics; ``respond`` uses the running
    ones: $m \leftarrow 0.9\,m + 0.1\,\mu$, $v \leftarrow 0.9\,v + 0.1\,\sigma^2$ (unbiased).

    **Not local**: it looks across the mini-batch. With one vector at a time there is nothing to
    take statistics over; use [`RunningNorm`][streamhebb.layers.norm.RunningNorm] there.

    Args:
        n_in: channels, or features of a vector.
        momentum: weight of the present mini-batch.
        eps: added to the variance.

    Raises:
        ShapeError: for a single value per channel while learning.

    Reference:
        S. Ioffe, C. Szegedy, 2015. https://arxiv.org/abs/1502.03167
    """

    learns = True
    mean: Tensor
    var: Tensor

    def __init__(self, n_in: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        require("BatchNorm", "n_in", n_in, at_least=1, whole=True)
        require("BatchNorm", "momentum", momentum, at_least=0, at_most=1)
        require("BatchNorm", "eps", eps, above=0)
        self.n_in = n_in
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("mean", torch.zeros(n_in))
        self.register_buffer("var", torch.ones(n_in))

    def shape(self, shape: Shape) -> Shape:
        """Check the channels."""
        _check_channels(self, self.n_in, shape)
        return shape

    def respond(self, x: Tensor) -> Tensor:
        """Normalise by the running statistics."""
        if x.ndim == 4 and kernels.fuses(x):
            # As it is now: what is still to be made may be when it has moved.
            return kernels.scaled(x, self.mean.clone()[None], (self.var + self.eps).rsqrt_()[None])
        return F.batch_norm(x, self.mean, self.var, eps=self.eps)

    def observe(self, x: Tensor) -> tuple[Tensor, _Moments]:
        """Normalise by the statistics of the mini-batch."""
        if self.peers is not None:
            return self._observe_share(x, self.peers)
        count = x.numel() // self.n_in
        self._check_count(count)
        if x.ndim == 4 and kernels.fuses(x):
            mean, scale, var = kernels.statistics(x, self.eps)
            return kernels.scaled(x, mean, scale), _Moments(mean[0], var)
        # With momentum 1, torch's running statistics are those of this mini-batch.
        present = _Moments(x.new_zeros(self.n_in), x.new_zeros(self.n_in))
        out = F.batch_norm(x, *present, training=True, momentum=1.0, eps=self.eps)
        return out, present

    def _observe_share(self, x: Tensor, peers: Peers) -> tuple[Tensor, _Moments]:
        """Normalise rows of a mini-batch by the statistics of all of it."""
        over = [d for d in range(x.ndim) if d != 1]
        apart = x - _across(self.mean, x)
        first, second = (v.sum(over, dtype=torch.float64) for v in (apart, apart.square()))
        count, whole = _pooled(peers, x.numel() // self.n_in, first, second, self.mean)
        self._check_count(count)
        mean, var = whole.mean.to(x.dtype), whole.var.to(x.dtype)
        out = F.batch_norm(x, mean, var, eps=self.eps)
        return out, _Moments(mean, (whole.var * (count / (count - 1))).to(x.dtype))

    @staticmethod
    def _check_count(count: float) -> None:
        if count == 1:
            raise ShapeError(
                "BatchNorm cannot learn from one vector at a time: it has one value per feature. "
                "Use RunningNorm for streams, or mini-batches of 2 and more"
            )

    def learn(self, seen: _Moments, modulator: Any = 1.0) -> None:
        """Move the running statistics."""
        kernels.move(self.mean, self.var, seen, self.momentum)

    def nonlocal_parts(self) -> tuple[str, ...]:
        """The mini-batch statistics."""
        return ("mini-batch statistics",)

    def reset(self, generator: Any = None) -> None:
        """Forget the statistics."""
        self.mean.zero_()
        self.var.fill_(1)


class RunningNorm(Layer):
    r"""Causal normalisation for streams: by the samples seen before, and this one.

    With the mean $\mu$ and variance $\sigma^2$ of the present sample's channel, and
    $a = \max(1/\tau, 1/(n+1))$:

    $$m' = m + a(\mu - m), \quad v' = (1-a)\,(v + a(\mu - m)^2) + a\,\sigma^2, \quad
      z = (x - m') / \sqrt{v' + \epsilon}$$

    ``respond`` and ``observe`` give the same output: each sample is normalised by the past and
    itself, never by its neighbours in a batch. Only ``learn`` stores the new statistics. After a
    micro-batch of $B$ they move as far as $B$ samples would, $a_B = 1 - (1 - 1/\tau)^B$.

    Args:
        n_in: channels, or features of a vector.
        tau: time constant in samples; a plain mean while younger than that.
        eps: added to the variance.

    Example:
        >>> import torch
        >>> norm = RunningNorm(1)
        >>> float(norm.respond(torch.tensor([[[[1.0, 3.0]]]])).mean())
        0.0
    """

    learns = True
    mean: Tensor
    var: Tensor
    age: Tensor

    def __init__(self, n_in: int, tau: float = 100.0, eps: float = 1e-5) -> None:
        super().__init__()
        require("RunningNorm", "n_in", n_in, at_least=1, whole=True)
        require("RunningNorm", "tau", tau, at_least=1)
        require("RunningNorm", "eps", eps, above=0)
        self.n_in = n_in
        self.tau = tau
        self.eps = eps
        self.register_buffer("mean", torch.zeros(n_in))
        self.register_buffer("var", torch.zeros(n_in))
        self.register_buffer("age", torch.zeros((), dtype=torch.float64))

    def shape(self, shape: Shape) -> Shape:
        """Check the channels."""
        _check_channels(self, self.n_in, shape)
        return shape

    @property
    def _past(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean, self.var, self.age

    def _blend(self, present: _Moments, share: Tensor) -> _Moments:
        share = share.to(self.mean.dtype)
        apart = present.mean - self.mean
        mean = self.mean + share * apart
        past = (1 - share) * (self.var + share * apart.square())
        return _Moments(mean, past + share * present.var)

    def _present(self, x: Tensor) -> _Moments:
        """Moments of each sample, shape ``(B, n_in)``."""
        if x.ndim == 2:
            return _Moments(x, torch.zeros_like(x))
        if not len(x):  # a share without samples; torch would warn
            return _Moments(x.new_zeros(0, self.n_in), x.new_zeros(0, self.n_in))
        if x.ndim == 4:
            return _Moments(*kernels.moments(x, each=True))
        var, mean = torch.var_mean(x.flatten(2), 2, correction=0)
        return _Moments(mean, var)

    def _normalise(self, x: Tensor, present: _Moments) -> Tensor:
        share = (1 / (self.age + 1)).clamp_min(1 / self.tau)
        mean, var = self._blend(present, share)
        scale = (var + self.eps).rsqrt()
        if x.ndim == 4:
            return kernels.scaled(x, mean, scale)
        return (x - _across(mean, x)) * _across(scale, x)

    def respond(self, x: Tensor) -> Tensor:
        """Normalise each sample by the past and itself; changes nothing."""
        return self.observe(x)[0]

    def observe(self, x: Tensor) -> tuple[Tensor, _Moments]:
        """Normalise as ``respond`` does, and keep the moments for ``learn``."""
        if x.ndim == 4:
            found = kernels.running_moments(x, self._past, 1 / self.tau, self.eps)
            if found is not None:
                mean, var, middle, scale = found
                return kernels.scaled(x, middle, scale), _Moments(mean, var)
        present = self._present(x)
        return self._normalise(x, present), present

    def learn(self, seen: _Moments, modulator: Any = 1.0) -> None:
        """Store the statistics, moved by what was seen."""
        batch: float = seen.mean.shape[0]
        least = 1 - (1 - 1 / self.tau) ** batch
        if self.peers is None and kernels.follow(self._past, *seen, least):
            return
        if self.peers is not None:
            apart = seen.mean - self.mean
            first, second = (
                v.sum(0, dtype=torch.float64) for v in (apart, seen.var + apart.square())
            )
            batch, together = _pooled(self.peers, batch, first, second, self.mean)
            together = _Moments(*(v.to(self.mean.dtype) for v in together))
        else:
            var, mean = torch.var_mean(seen.mean, 0, correction=0)
            together = _Moments(mean, seen.var.mean(0) + var)
        share = (batch / (self.age + batch)).clamp_min(1 - (1 - 1 / self.tau) ** batch)
        mean, var = self._blend(together, share)
        self.mean.copy_(mean)
        self.var.copy_(var)
        self.age.add_(batch)

    def reset(self, generator: Any = None) -> None:
        """Forget the statistics."""
        self.mean.zero_()
        self.var.zero_()
        self.age.zero_()


class MaxNorm(Layer):
    """Divide each sample by its largest entry (signed maximum, as published)."""

    def respond(self, x: Tensor) -> Tensor:
        """Return ``x / max(x)``; a sample whose maximum is 0 stays as it is."""
        largest = x.flatten(1).amax(1)
        return x / largest.masked_fill(largest == 0, 1).reshape(-1, *(1,) * (x.ndim - 1))


class L2Norm(Layer):
    r"""Bring each sample to a given length over its channels: $z = scale \cdot x / \|x\|_2$.

    Args:
        scale: the length.
        eps: smallest norm that is divided by.
    """

    def __init__(self, scale: float = 10.0, eps: float = 1e-12) -> None:
        super().__init__()
        require("L2Norm", "scale", scale, above=0)
        require("L2Norm", "eps", eps, above=0)
        self.scale = scale
        self.eps = eps

    def respond(self, x: Tensor) -> Tensor:
        """Return the scaled sample."""
        return self.scale * F.normalize(x, dim=1, eps=self.eps)
