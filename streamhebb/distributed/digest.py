"""A few bytes that tell two nets apart."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.net import StreamNet


def digests(net: StreamNet) -> dict[str, bytes]:
    """Return the bytes of what a net is and has learned, by part: each layer, and the readout.

    Counters of samples are left out.

    Example:
        >>> from streamhebb import Dense
        >>> one, two = (StreamNet(Dense(4, 2), seed=seed) for seed in (0, 1))
        >>> [name for name in digests(one) if digests(one)[name] != digests(two)[name]]
        ['weights of 0:Dense']
    """
    described = net.describe()
    kind = [described["layers"], described["readout"], kernels.backend(), torch.__version__]
    found = {"kind of net, of kernels or of torch": json.dumps(kind, sort_keys=True).encode()}
    parts: list[tuple[str, Any]] = list(zip(net.names, net.layers, strict=True))
    parts += [] if net.readout is None else [("the readout", net.readout)]
    for name, part in parts:
        found[f"weights of {name}"] = b"".join(map(_bytes, sorted_state(part)))
    return found


def sorted_state(part: torch.nn.Module) -> list[Any]:
    """All state of a part, by name."""
    state = part.state_dict()
    return [item for name in sorted(state) for item in (name, state[name])]


def _bytes(value: Any) -> bytes:
    if isinstance(value, Tensor):
        kind = f"{value.dtype}{tuple(value.shape)}".encode()
        plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return kind + plain.numpy().tobytes()
    return json.dumps(value, sort_keys=True, default=str).encode()
