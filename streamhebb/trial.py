"""A trial of a rule: what it returns, and whether it looks only where it may.

A layer tries its rule once, when it is built; ``check_rule`` does the same for anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from streamhebb import kernels
from streamhebb.errors import CheckError
from streamhebb.parts import State
from streamhebb.rules.base import PlasticityRule, nonlocal_parts, traces
from streamhebb.values import Activity, LocalUpdate

_N, _IN, _OUT = 3, 7, 5  # competitions, inputs and neurons that rules are tried on: all different
SHIFTS = (0.3, -2.0, 1e3)  # small ones find smooth dependence, large ones change who wins

Rand = Callable[..., Tensor]


def chance(seed: int) -> Rand:
    """Return a source of normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    return rand


def double(state: State) -> State:
    """Return a copy in float64."""
    return {k: v.double() if v.is_floating_point() else v.clone() for k, v in state.items()}


def tried(rule: PlasticityRule, spiking: bool = True) -> None:
    """Try a rule's shapes and locality; a rule that was tried before is not tried again.

    Args:
        rule: the rule.
        spiking: whether its layer has neurons with a voltage.

    Raises:
        CheckError: naming what was returned, or looked at, and what was expected.
        ConfigError: by a rule that needs a voltage, where there is none.
    """
    try:
        hash(rule)
    except TypeError:
        _try(rule, spiking)
    else:
        _try_once(rule, spiking)  # type: ignore[arg-type]  # hashable, as was just tried


def _try(rule: PlasticityRule, spiking: bool) -> None:
    if not spiking:
        rule.terms(_activity(chance(0))._replace(voltage=None), start(rule))
    check_shapes(rule)
    check_sight(rule)


_try_once = lru_cache(maxsize=512)(_try)


def _activity(rand: Rand) -> Activity:
    pre, post, drive = rand(_N, _IN), rand(_N, _OUT), rand(_N, _OUT)
    return Activity(pre, post, drive, rand(_OUT, _IN), rand(_N, _OUT))


def start(rule: PlasticityRule) -> State:
    """Return all state that ``terms`` is given at first, in float64."""
    kept, rest = rule.init(_IN, _OUT), traces(rule, _IN, _OUT)
    for name, value in (kept | rest).items():
        if not isinstance(value, Tensor):
            raise CheckError(f"{rule}: state {name!r} is a {type(value).__name__}, not a tensor")
    if both := kept.keys() & rest.keys():
        raise CheckError(f"{rule}: init and rest both name {sorted(both)}; names must differ")
    rows = {name: value.expand(_N, *value.shape).clone() for name, value in rest.items()}
    return double(kept | rows)


def check_shapes(rule: PlasticityRule, seed: int = 0) -> None:
    """Check that a rule returns what the layer can use.

    Raises:
        CheckError: naming what was returned and what was expected.
    """
    seen, state = _activity(chance(seed)), start(rule)
    given = [value.clone() for value in (*seen[:5], *state.values()) if isinstance(value, Tensor)]
    answer: Any = rule.terms(seen, dict(state))
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], LocalUpdate)):
        raise CheckError(
            f"{rule}: terms returned {_kind(answer)}; it must return (LocalUpdate, state)"
        )
    after = [*seen[:5], *state.values()]
    if not all(map(torch.equal, given, after)):  # type: ignore[arg-type]
        raise CheckError(f"{rule}: terms wrote to what it was given; it must return new tensors")
    update, following = answer
    if not isinstance(following, dict) or following.keys() != state.keys():
        raise CheckError(
            f"{rule}: terms returned the state {_kind(following)}; it must be a dict with the "
            f"names {sorted(state)}"
        )
    wanted: list[tuple[str, Any, tuple[int, ...]]] = [
        (f"state[{name!r}]", following[name], tuple(state[name].shape)) for name in state
    ]
    for number, outer in enumerate(update.outer):
        post, pre, factor = outer.post, outer.pre, outer.at(seen.weight)
        wanted.append((f"outer[{number}].post", post, (_N, _OUT)))
        wanted.append((f"outer[{number}].pre", pre, (_N, _IN)))
        if factor is not None:
            wanted.append((f"outer[{number}].factor", factor, (_OUT, _IN)))
    if update.decay is not None:
        wanted.append(("decay", update.decay, (_N, _OUT)))
    if update.dense is not None:
        wanted.append(("dense", update.dense, (_OUT, _IN)))
    for name, value, shape in wanted:
        if not isinstance(value, Tensor) or tuple(value.shape) != shape:
            raise CheckError(
                f"{rule}: {name} is {_kind(value)}; for n={_N}, n_in={_IN}, n_out={_OUT} it must "
                f"be a tensor of shape {shape}"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckError(f"{rule}: {name} holds NaN or infinite values for finite activity")


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"a dict with the names {sorted(value)}"
    return f"a {type(value).__name__}"


def check_sight(rule: PlasticityRule, seed: int = 0) -> None:
    """Check that a rule looks at one synapse and its two neurons only.

    Moves one input, one neuron or one weight: only its own column, row or entry of the change may
    follow, in this step and the next. A rule that names its ``nonlocal_parts`` is not tried.

    Raises:
        CheckError: naming what it looked at.
    """
    if nonlocal_parts(rule):
        return
    values, begin = _activity(chance(seed)), start(rule)

    def run(first: Activity) -> Tensor:
        """Changes of a step, and of the next one, in which nothing is moved."""
        state, changes = begin, torch.empty(2, _OUT, _IN).double()
        for seen, change in zip((first, values), changes, strict=True):
            update, state = rule.terms(seen, dict(state))
            kernels.accumulate(update, seen.weight, change)
        return changes

    before = run(values)
    for name in ("pre", "post", "drive", "weight", "voltage"):
        value = getattr(values, name)
        for place in range(value.shape[1]):
            rows = slice(1, 2) if name == "weight" else slice(None)
            mine = torch.zeros(_OUT, _IN, dtype=torch.bool)
            mine[(rows, place) if name in ("pre", "weight") else place] = True
            for shift in SHIFTS:
                moved = value.clone()
                moved[rows, place] += shift
                if not torch.equal(
                    run(values._replace(**{name: moved}))[:, ~mine], before[:, ~mine]
                ):
                    raise CheckError(
                        f"{rule} is not local: its {name} changes foreign weights. For weight[j, i]"
                        f" it may use pre[:, i], post[:, j], drive[:, j], voltage[:, j],"
                        f" weight[j, i] and state of j and i only; or name what it looks at in"
                        f" nonlocal_parts"
                    )
