"""Encoders: from the values of a sample to currents or spikes in time, ``(n...) -> (T, n...)``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from streamhebb.chance import BITS, HALF, numbers
from streamhebb.errors import InputError, ShapeError
from streamhebb.layers import states
from streamhebb.layers.base import Layer
from streamhebb.layers.neurons import check_time
from streamhebb.parts import require, require_choice
from streamhebb.values import Shape


class ConstantCurrent(Layer):
    r"""The sample itself as a current that stays the same for all steps: $u_{t} = gain \cdot x$.

    With one step it gives samples that have no time a time of one step.

    Args:
        steps: $T$, time steps a sample is shown for.
        gain: factor.

    Example:
        >>> ConstantCurrent(3, gain=2.0).respond(torch.tensor([[0.0, 0.5]]))[0]
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]])
    """

    def __init__(self, steps: int, gain: float = 1.0) -> None:
        super().__init__()
        require("ConstantCurrent", "steps", steps, at_least=1, whole=True)
        require("ConstantCurrent", "gain", gain)
        self.steps = steps
        self.gain = gain

    def shape(self, shape: Shape) -> Shape:
        """``(n...) -> (T, n...)``."""
        return (self.steps, *shape)

    def respond(self, x: Tensor) -> Tensor:
        """Return the current, shape ``(B, T, n...)``."""
        return (x * self.gain)[:, None].expand(-1, self.steps, *x.shape[1:])


class Poisson(Layer):
    r"""Spikes by chance, at a rate that is proportional to the value.

    $$P(z_{t} = 1) = rate \cdot dt \cdot x$$

    in every step by itself. The spikes of sample number $k$ depend on the seed and on $k$ only:
    ``respond`` gives the same spikes until the sample has been stepped over, a micro-batch draws
    what its samples would draw one by one, and every device draws the same.

    Args:
        steps: $T$, time steps a sample is shown for.
        rate: spikes a second where $x = 1$.
        dt: seconds a step.
        seed: of the chance, from 0 to 2^63 - 1.

    Raises:
        InputError: in ``respond``, for values below 0, or so large that the chance exceeds 1.

    Example:
        >>> spikes = Poisson(1000, rate=100.0).respond(torch.tensor([[0.0, 1.0]]))
        >>> spikes.shape, bool(spikes[0, :, 0].any()), 70 < spikes[0, :, 1].sum() < 130
        (torch.Size([1, 1000, 2]), False, tensor(True))

    Reference:
        P. Dayan, L. F. Abbott, Theoretical Neuroscience, MIT Press 2001, chapter 1.4.
    """

    carries = True
    carried_buffers = ("count",)
    count: Tensor

    def __init__(self, steps: int, rate: float = 100.0, dt: float = 0.001, seed: int = 0) -> None:
        super().__init__()
        require("Poisson", "steps", steps, at_least=1, whole=True)
        require("Poisson", "rate", rate, above=0)
        require("Poisson", "dt", dt, above=0)
        require("Poisson", "seed", seed, at_least=0, at_most=2**63 - 1, whole=True)
        self.steps = steps
        self.rate = rate
        self.dt = dt
        self.seed = seed
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def shape(self, shape: Shape) -> Shape:
        """``(n...) -> (T, n...)``."""
        return (self.steps, *shape)

    def respond(self, x: Tensor) -> Tensor:
        """Return spikes, 0 or 1, shape ``(B, T, n...)``; changes nothing."""
        largest = 1 / (self.rate * self.dt)
        _check_range("Poisson", x, largest, f"rate={self.rate:g}, dt={self.dt:g}: a chance above 1")
        shape = (len(x), self.steps, *x.shape[1:])
        drawn = numbers(self.seed, self.count, len(x), x[0].numel() * self.steps)
        chance = x * (self.rate * self.dt * 2**BITS) - HALF
        spikes: Tensor = drawn.reshape(shape).to(x.dtype) < chance[:, None]
        return spikes.to(x.dtype)

    def observe(self, x: Tensor) -> tuple[Tensor, int]:
        """Return spikes, and how many samples they are of; changes nothing."""
        return self.respond(x), len(x)

    def advance(self, seen: int) -> None:
        """Count the samples."""
        self.count.add_(seen)

    def reset(self, generator: Any = None) -> None:
        """Begin again with sample 0."""
        self.reset_state()

    def reset_state(self) -> None:
        """Begin again with sample 0."""
        self.count.zero_()


class Latency(Layer):
    r"""One spike each, the earlier the larger the value.

    $$t = T - \mathrm{round}(T\, x / largest)$$

    Values that round to 0 stay silent.
    [`FirstSpike`][streamhebb.layers.decoders.FirstSpike] turns the spikes back into values.

    Args:
        steps: $T$, time steps a sample is shown for.
        largest: the value that spikes in the first step.

    Raises:
        InputError: in ``respond``, for values outside 0 to ``largest``.

    Example:
        >>> Latency(2).respond(torch.tensor([[0.0, 0.5, 1.0]]))[0]
        tensor([[0., 0., 1.],
                [0., 1., 0.]])

    Reference:
        S. Thorpe, A. Delorme, R. Van Rullen, Spike-based strategies for rapid processing,
        Neural Networks 14, 715-725, 2001. https://doi.org/10.1016/S0893-6080(01)00083-1
    """

    def __init__(self, steps: int, largest: float = 1.0) -> None:
        super().__init__()
        require("Latency", "steps", steps, at_least=1, whole=True)
        require("Latency", "largest", largest, above=0)
        self.steps = steps
        self.largest = largest

    def shape(self, shape: Shape) -> Shape:
        """``(n...) -> (T, n...)``."""
        return (self.steps, *shape)

    def respond(self, x: Tensor) -> Tensor:
        """Return spikes, 0 or 1, shape ``(B, T, n...)``."""
        _check_range("Latency", x, self.largest, "largest")
        when = self.steps - (x * (self.steps / self.largest)).round_()
        spikes = x.new_zeros(len(x), self.steps + 1, *x.shape[1:])
        spikes.scatter_(1, when[:, None].long(), 1.0)  # the silent ones beyond the last step
        return spikes[:, :-1]


class LevelCrossing(Layer):
    r"""ON and OFF events where a signal has moved by ``threshold`` since its last event.

    With the signal's value $r$ at its last event:

    $$on_t = [x_t - r \ge \theta], \quad off_t = [r - x_t \ge \theta], \quad
      r \leftarrow x_t \text{ where there was an event}$$

    Takes samples with time, ``(T, n...)``, and doubles the first of their other dimensions, ON
    before OFF: ``(T, 2n)`` or ``(T, 2C, H, W)``. The first value of a signal is its first $r$ and
    makes no event. For live frames use ``carry``, behind a ``ConstantCurrent(1)`` that gives them
    their one step of time.

    Args:
        threshold: $\theta$, how far a signal must move.
        carry: whether $r$ goes on from sample to sample; else every sample begins anew. The
            samples of a micro-batch are then parallel streams, and their number must stay the
            same.

    Example:
        >>> signal = torch.tensor([[[0.0], [0.6], [1.2], [0.1]]])
        >>> LevelCrossing(1.0).respond(signal)[0]
        tensor([[0., 0.],
                [0., 0.],
                [1., 0.],
                [0., 1.]])

    Reference:
        M. Miskowicz, Send-on-delta concept: an event-based data reporting strategy,
        Sensors 6, 49-63, 2006. https://doi.org/10.3390/s6010049
    """

    def __init__(self, threshold: float, carry: bool = False) -> None:
        super().__init__()
        require("LevelCrossing", "threshold", threshold, above=0)
        require_choice("LevelCrossing", "carry", carry, (True, False))
        self.threshold = threshold
        self.carry = self.carries = carry
        if carry:
            self.carried_buffers = ("signal_reference",)
            states.register_carried(self, "signal", {"reference": torch.zeros(1)})
            self.register_load_state_dict_pre_hook(states.fit_rows)  # type: ignore[no-untyped-call]

    def shape(self, shape: Shape) -> Shape:
        """``(T, n...) -> (T, 2n...)``."""
        check_time(self, shape)
        if len(shape) < 2:
            raise ShapeError(
                f"LevelCrossing got samples of shape {shape}; it needs time and signals, (T, n...)"
            )
        return (shape[0], 2 * shape[1], *shape[2:])

    def respond(self, x: Tensor) -> Tensor:
        """Return events, 0 or 1, shape ``(B, T, 2n...)``; changes nothing."""
        return self.observe(x)[0]

    def observe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return events, and the values at the last ones; changes nothing."""
        instants = x.flatten(2).unbind(1)
        reference = instants[0]
        if self.carry and self.get_buffer("signal_reference").numel():
            rest = {"reference": reference[0]}
            reference = states.read_carried(self, "signal", rest, reference)["reference"]
        events = []
        for value in instants:
            moved = value - reference
            on, off = moved >= self.threshold, moved <= -self.threshold
            reference = torch.where(on | off, value, reference)
            events.append(torch.cat([on, off], 1))
        batch, steps, signals, *more = x.shape
        shape = (batch, steps, 2 * signals, *more)
        return torch.stack(events, 1).view(shape).to(x.dtype), reference

    def advance(self, seen: Tensor) -> None:
        """Keep the values at the last events, if they are carried."""
        if self.carry:
            states.write(self, "signal", {"reference": seen})

    def reset(self, generator: Any = None) -> None:
        """Forget the signal."""
        self.reset_state()

    def reset_state(self) -> None:
        """Forget the signal; the next value makes no event."""
        states.empty_carried(self, "signal", {"reference": torch.zeros(1)})


def _check_range(owner: str, x: Tensor, largest: float, limit: str) -> None:
    """Refuse values that stand for no rate, chance or time."""
    low, high = torch.aminmax(x)
    if low < 0 or high > largest:
        bad = float(low) if low < 0 else float(high)
        raise InputError(
            f"{owner}: the value {bad:g} is not allowed; it must lie between 0 and {largest:g} "
            f"({limit}). Scale the samples, or put a layer before it that does (MaxNorm, ReLU)"
        )
