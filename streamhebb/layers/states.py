"""State of a layer's parts, kept in the layer's buffers by name.

*Kept* state has a fixed shape: thresholds, means. *Carried* state goes on from sample to sample
and has one row for each competition: membrane voltages, traces. How many rows there are is known
when the first sample has come; until then the buffers are empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from streamhebb.errors import ShapeError
from streamhebb.parts import State


def register(module: nn.Module, part: str, state: State) -> tuple[str, ...]:
    """Make a buffer ``part_name`` of each tensor; return the names."""
    for name, value in state.items():
        module.register_buffer(f"{part}_{name}", value)
    return tuple(state)


def read(module: nn.Module, part: str, names: tuple[str, ...]) -> State:
    """Return the buffers of a part."""
    return {name: getattr(module, f"{part}_{name}") for name in names}


def write(module: nn.Module, part: str, state: State) -> None:
    """Copy state into the buffers of a part, in place: addresses stay fixed."""
    for name, value in state.items():
        buffer = f"{part}_{name}"
        kept = getattr(module, buffer)
        if kept.shape != value.shape and not kept.numel():
            setattr(module, buffer, value.clone())  # the first sample of carried state
        elif value is not kept:
            kept.copy_(value)


def register_carried(module: nn.Module, part: str, rest: State) -> None:
    """Make empty buffers for what is carried, which take any number of rows from a snapshot."""
    register(module, part, {name: torch.zeros(0) for name in rest})


def read_carried(module: nn.Module, part: str, rest: State, rows: Tensor) -> State:
    """Return carried state, or the state at rest where there is none yet.

    Args:
        module: the layer.
        part: name of the part.
        rest: its state at rest, each ``(n,)``.
        rows: a tensor of one instant, ``(N, n)`` or ``(g, N, n)``, for shape and type.

    Raises:
        ShapeError: if the state is that of another number of competitions.
    """
    found = {}
    for name, value in rest.items():
        carried = getattr(module, f"{part}_{name}", None)
        wanted = (*rows.shape[:-1], value.shape[-1])
        if carried is None or not carried.numel():
            carried = value.to(rows).expand(wanted)
        elif tuple(carried.shape) != wanted:
            raise ShapeError(
                f"{type(module).__name__} carries the {part} state of {carried.shape[-2]} parallel "
                f"samples or pixels, and got {wanted[-2]}; keep the batch size, or call "
                f"reset_state() first"
            )
        found[name] = carried
    return found


def empty_carried(module: nn.Module, part: str, rest: State) -> None:
    """Bring what is carried back to rest."""
    for name in rest:
        buffer = getattr(module, f"{part}_{name}", None)
        if buffer is not None:
            setattr(module, f"{part}_{name}", buffer.new_zeros(0))


def fit_rows(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Before loading: give the carried buffers as many rows as the snapshot has."""
    for name in getattr(module, "carried_buffers", ()):
        theirs = state.get(f"{prefix}{name}")
        if isinstance(theirs, Tensor) and theirs.shape != getattr(module, name).shape:
            setattr(module, name, getattr(module, name).new_zeros(theirs.shape))
