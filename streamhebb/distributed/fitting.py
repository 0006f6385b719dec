"""What can be shared between processes, and what cannot, with the reason."""

from __future__ import annotations

import torch

from streamhebb import kernels, layers, trial
from streamhebb.layers import Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.rules import PlasticityRule
from streamhebb.rules.base import traces
from streamhebb.schedule import Serial
from streamhebb.values import Activity, LocalUpdate

OWN = frozenset(getattr(layers, name) for name in layers.__all__)
"""The layers of the library."""


def why_not(net: StreamNet) -> list[str]:
    """Return why a net cannot be shared, and what to do: one sentence for each reason.

    Example:
        >>> from streamhebb import BCM, Dense
        >>> print(*why_not(StreamNet(Dense(4, 2, rule=BCM()))))
        0:Dense: BCM keeps threshold, age, moved by what one process sees; use a rule without
        state (SoftHebb, Oja, Hebb)
        >>> why_not(StreamNet(Dense(4, 2)))
        []
    """
    found = []
    if net.wake is not None:
        found.append(f"{net.wake} looks at what one process sees; use wake=None")
    if not isinstance(net.scheduler, Serial) or net._undecided:
        found.append(
            "layers at the same time would sum in an order that differs from process to process; "
            "use net.set_scheduler(None)"
        )
    for name, layer in zip(net.names, net.layers, strict=True):
        found += [f"{name}: {reason}" for reason in _reasons(layer)]  # type: ignore[arg-type]
    return found


def _reasons(layer: Layer) -> list[str]:
    name = type(layer).__name__
    if any(True for _ in layer.parameters()):
        return [f"{name} follows a gradient; torch's DistributedDataParallel is for those"]
    if layer.learns and not (type(layer) in OWN or isinstance(layer, PlasticLayer)):
        return [f"{name} learns in a way of its own; only layers of the library sum over processes"]
    found = []
    if layer.carries:
        cure = "leave it out" if not hasattr(layer, "carry") else "use carry=False"
        found.append(f"its state goes on from sample to sample, which all must pass; {cure}")
    if isinstance(layer, PlasticLayer):
        if layer.lateral is not None:
            found.append(f"{layer.lateral} is not summed over processes; use lateral=None")
        if kept := layer.rule.init(1, 1):
            found.append(
                f"{type(layer.rule).__name__} keeps {', '.join(kept)}, moved by what one process "
                f"sees; use a rule without state (SoftHebb, Oja, Hebb)"
            )
        elif not adds_up(layer.rule):
            found.append(
                f"what {layer.rule} asks for two samples is not the sum of what it asks for each; "
                f"use one that adds up (SoftHebb, Oja, Hebb)"
            )
    return found


def adds_up(rule: PlasticityRule) -> bool:
    """Whether a rule asks for several competitions what it asks for each, summed.

    Example:
        >>> from streamhebb import Oja
        >>> adds_up(Oja())
        True
    """
    rand, rows, n_in, n_out = trial.chance(0), 5, 7, 6
    pre, post, drive, voltage = (rand(rows, n) for n in (n_in, n_out, n_out, n_out))
    weight = rand(n_out, n_in)

    def asked(own: slice) -> torch.Tensor:
        seen = Activity(pre[own], post[own], drive[own], weight, voltage[own], 0.7)
        count = len(pre[own])
        state = {k: v.double().expand(count, -1) for k, v in traces(rule, n_in, n_out).items()}
        update: LocalUpdate = rule.terms(seen, state)[0]
        return kernels.accumulate(update, weight, torch.empty_like(weight))

    whole, halves = asked(slice(rows)), asked(slice(2)) + asked(slice(2, rows))
    return torch.allclose(whole, halves, rtol=1e-9, atol=1e-9)
