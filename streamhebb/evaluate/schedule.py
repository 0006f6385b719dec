"""The published schedule of a readout's learning rate: halved at fixed shares of the run."""

from __future__ import annotations

from streamhebb.errors import ConfigError
from streamhebb.parts import require, require_choice

_MANY: tuple[float, ...] = (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9)
_FEW: tuple[float, ...] = (0.5, 0.75)


def halving_epochs(epochs: int, style: str = "full") -> tuple[int, ...]:
    r"""Return the epochs, counted from 0, at whose start the rate is halved.

    $$\lfloor f E \rfloor, \quad f \in \{.2, .35, .5, .6, .7, .8, .9\}$$

    The published programs differ: ``"demo"`` takes all seven for any $E$; ``"full"`` takes them
    from 50 epochs on, only .5 and .75 from 20 on, and none below. An epoch that several shares
    fall on is named, and halves, as often.

    Args:
        epochs: $E$.
        style: ``"full"`` or ``"demo"``.

    Raises:
        ConfigError: for a number of epochs that is not a whole number above 0, or another style.

    Example:
        >>> halving_epochs(50)
        (10, 17, 25, 30, 35, 40, 45)
        >>> halving_epochs(30), halving_epochs(10)
        ((15, 22), ())

    Reference:
        A. Journé et al., ICLR 2023. https://arxiv.org/abs/2209.11883
    """
    _require_whole("epochs", epochs, 1)
    require_choice("halving_epochs", "style", style, ("full", "demo"))
    if style == "demo" or epochs >= 50:
        shares = _MANY
    elif epochs >= 20:
        shares = _FEW
    else:
        shares = ()
    return tuple(int(epochs * share) for share in shares)


def halving_rate(lr: float, epoch: int, epochs: int, style: str = "full") -> float:
    """Return the rate in force during an epoch.

    Args:
        lr: the rate of the first epoch.
        epoch: which epoch, counted from 0.
        epochs: how many there are.
        style: ``"full"`` or ``"demo"``; see
            [`halving_epochs`][streamhebb.evaluate.schedule.halving_epochs].

    Raises:
        ConfigError: for a number that is out of its range.

    Example:
        >>> [halving_rate(0.001, epoch, 30) for epoch in (14, 15, 22)]
        [0.001, 0.0005, 0.00025]
    """
    require("halving_rate", "lr", lr, at_least=0)
    _require_whole("epoch", epoch, 0)
    halvings = sum(start <= epoch for start in halving_epochs(epochs, style))
    return float(lr * 0.5**halvings)


def _require_whole(name: str, value: int, at_least: int) -> None:
    require("readout schedule", name, value, at_least=at_least)
    if not isinstance(value, int):
        raise ConfigError(f"readout schedule: {name}={value!r} is not allowed; use a whole number")
