"""Checks that anyone can run on a rule, a part or a layer of their own.

Example:
    >>> from streamhebb import Conv2d, LayerMax
    >>> from streamhebb.checks import check_layer, check_locality, check_rule
    >>> layer = Conv2d(1, 4, 3, scaling=LayerMax())
    >>> check_locality(layer)
    ('LayerMax', 'weight sharing')
    >>> check_layer(layer, (1, 8, 8))
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from streamhebb.errors import CheckError, ConfigError, InputError
from streamhebb.layers import Layer, PlasticLayer
from streamhebb.net import StreamNet
from streamhebb.parts import State, rebuild, require_part
from streamhebb.rules import PlasticityRule
from streamhebb.rules.base import nonlocal_parts
from streamhebb.synapses import DenseSynapse
from streamhebb.trial import SHIFTS, chance, check_shapes, check_sight, double
from streamhebb.values import Shape

_N, _IN = 3, 7  # competitions and inputs that parts are tried on


@torch.no_grad()
def check_rule(rule: PlasticityRule, seed: int = 0) -> tuple[str, ...]:
    """Check a rule by itself: what it returns, where it looks, and that it says how it is written.

    Args:
        rule: the rule, an instance.
        seed: of the values tried.

    Returns:
        The names of what in it looks at other neurons.

    Raises:
        CheckError: naming what was expected.

    Example:
        >>> from streamhebb import Oja
        >>> check_rule(Oja())
        ()
    """
    require_part("check_rule", "rule", rule, "Oja()")
    for needed in ("competes", "init", "terms"):
        if not hasattr(rule, needed):
            raise CheckError(f"{rule} has no {needed!r}; see PlasticityRule for what a rule needs")
    check_shapes(rule, seed)
    check_sight(rule, seed)
    synapse = DenseSynapse(_IN, _N)
    check_layer(PlasticLayer(synapse, rule=rule, neuron=_Firing()), (2, _IN), seed)
    try:
        layer = PlasticLayer(synapse, rule=rule)
    except ConfigError:  # it needs spiking neurons, and says so
        return nonlocal_parts(rule)
    check_layer(layer, (_IN,), seed)
    return nonlocal_parts(rule)


@dataclass(frozen=True)
class _Firing:
    """A neuron to try rules on: it leaks a half, and spikes at 0.1."""

    spikes: ClassVar[bool] = True

    def init(self, n_out: int) -> State:
        return {"v": torch.zeros(n_out)}

    def step(
        self, drive: Tensor, state: State, threshold: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State]:
        voltage = 0.5 * state["v"] + drive
        out = (voltage > 0.1).to(voltage.dtype)
        return out, voltage, {"v": voltage * (1 - out)}


@torch.no_grad()
def check_locality(layer: Layer, seed: int = 0) -> tuple[str, ...]:
    """Check that learning looks no further than one synapse and its two neurons.

    Moves one input, one neuron or one weight given to the rule: only its own column, row or entry
    of the change may follow, in this step and the next. Scaling, rate and bias that look across
    neurons must be named by ``layer.nonlocal_parts()``. Competition is lateral by nature: it may
    not look beyond one competition.

    Args:
        layer: any layer; it is left as it is, as by ``check_layer``.
        seed: of the values tried.

    Returns:
        The parts that are not local, by name.

    Raises:
        CheckError: naming the part and what it looked at.
    """
    named = layer.nonlocal_parts()
    if not layer.plastic:
        return named
    if not isinstance(layer, PlasticLayer):
        raise CheckError(f"{layer} learns weights but is no PlasticLayer: its rule cannot be found")
    rand = chance(seed)
    check_sight(layer.rule, seed)
    drive = rand(_N, layer.synapse.n_out // layer.synapse.groups)
    if layer.competition is not None:
        _check_rows(layer.competition, "looks at another competition", layer.competition, drive)
    scaling, rate, bias, n = layer.scaling, layer.rate, layer.bias, layer.synapse.n_out
    tried: list[tuple[Any, Callable[..., Tensor], tuple[Tensor, ...]]] = [
        (scaling, lambda d: _scaled(scaling, d), (rand(n, _IN),)),
        (rate, lambda r: torch.as_tensor(rate(r.abs(), 1)).expand(n), (rand(n),)),
    ]
    if bias is not None:
        tried.append((bias, lambda y, b: bias.change(y, b, _N, _N), (rand(n), rand(n))))
    for part, run, values in tried:
        if type(part).__name__ not in named:
            _check_rows(part, "looks across neurons; nonlocal_parts() must name it", run, *values)
    return named


def _scaled(scaling: Any, delta: Tensor) -> Tensor:
    """The scaled change, beside the memory that each neuron keeps."""
    divisor, state = scaling.divisor(delta, 1, double(scaling.init(len(delta))))
    own = [v[:, None] for v in state.values() if v.shape == delta.shape[:1]]
    return torch.cat([delta if divisor is None else delta / divisor, *own], 1)


def _check_rows(part: Any, what: str, run: Callable[..., Tensor], *values: Tensor) -> None:
    """Move one row of one value; every other row of the result must stay."""
    before = run(*values)
    for which, value in enumerate(values):
        for row in range(min(len(value), 8)):
            others = torch.arange(len(value)) != row
            for shift in SHIFTS:
                moved = [other.clone() for other in values]
                moved[which][row] += shift * torch.ones_like(value[row]).cumsum(-1)
                if not torch.equal(run(*moved)[others], before[others]):
                    raise CheckError(f"{part} {what}")


@torch.no_grad()
def check_layer(layer: Layer, input_shape: Shape, seed: int = 0) -> None:
    """Check that a layer keeps the promises that nets, schedulers and snapshots rest on.

    Args:
        layer: any layer; it is left as it is.
        input_shape: shape of one sample it takes.
        seed: of the samples tried.

    Raises:
        CheckError: naming the promise that was broken.
    """

    def require(kept: bool, promise: str) -> None:
        if not kept:
            raise CheckError(f"{layer} breaks a promise: {promise}")

    mine, twin, start = copy.deepcopy(layer), copy.deepcopy(layer), _state(layer)
    x = torch.rand(3, *input_shape, generator=torch.Generator().manual_seed(seed)) + 0.1
    # State that is carried gets its memory with the first sample.
    places = {name: v.data_ptr() for name, v in mine.named_buffers() if v.numel()}
    chance_before = torch.get_rng_state()
    x_before, shape = x.clone(), tuple(input_shape)
    out = mine.respond(x)
    observed, seen = mine.observe(x)
    require(out.shape == observed.shape == (3, *mine.shape(shape)), "shape() tells the truth")
    unchanged = _same(_state(mine), start) and torch.equal(x, x_before)
    require(unchanged, "respond and observe change nothing")
    require(torch.equal(mine.respond(x), out), "respond gives the same twice")
    kept = [value.clone() for value in (x, out, observed)]
    mine.learn(seen)
    moves = mine.learns or mine.carries
    require(_same(_state(mine), start) != moves, "learn changes state if `learns`, else none")
    kept_in = {name: v.data_ptr() for name, v in mine.named_buffers() if name in places}
    require(kept_in == places, "learn writes state in place")
    require(all(map(torch.equal, kept, (x, out, observed))), "learn writes to its own state only")
    require(_same(_state(twin), start), "a deep copy shares no state")
    twin.advance(twin.observe(x)[1])
    require(_same(_state(twin), start) != mine.carries, "advance changes what is carried only")
    fixed = {name for name in start if name not in twin.carried_buffers}
    now = _state(twin)
    require(
        all(torch.equal(now[name], start[name]) for name in fixed),
        "advance changes the buffers named in carried_buffers only",
    )
    twin.reset_state()
    require(_same(_state(twin), start), "reset_state brings back what was carried, and no more")
    require(
        torch.equal(torch.get_rng_state(), chance_before),
        "chance comes from a generator of its own",
    )
    try:
        rebuilt = rebuild(mine, json.loads(json.dumps(mine.config())))
    except (TypeError, ValueError) as error:
        raise CheckError(f"{layer}: config() is no JSON or rebuilds nothing: {error}") from error
    require(rebuilt.config() == mine.config(), "config() rebuilds the layer")
    rebuilt.load_state_dict(mine.state_dict())
    for one in (mine, rebuilt):
        one.learn(one.observe(x)[1])
    same = _same(_state(rebuilt), _state(mine)) and torch.equal(rebuilt.respond(x), mine.respond(x))
    require(same, "state_dict() holds all that is needed to go on")

    loud = torch.cat([x[:1], 3 * x[1:]])
    runs: list[Callable[[Tensor], Tensor]] = [mine.respond, lambda v: mine.observe(v)[0]]
    for run in runs if mine.plastic or not mine.nonlocal_parts() else runs[:1]:
        require(torch.equal(run(loud)[0], run(x)[0]), "a sample does not depend on its neighbours")
    require(_same(*(_step(layer, v, shape) for v in (x[0], x[:1]))), "a batch of one is a sample")
    mine.double().learn(mine.observe(x.double())[1])
    require(mine.respond(x.double()).dtype == torch.float64, "works in float64")
    check_locality(layer, seed)


def _step(layer: Layer, x: Tensor, shape: Shape) -> State:
    """State and output after one step in a net; or, for a layer that refuses, its refusal."""
    net = StreamNet(copy.deepcopy(layer), seed=None, input_shape=shape)
    try:
        scores = net.step(x).scores
    except InputError as error:  # BatchNorm cannot learn from one vector
        return {type(error).__name__: torch.zeros(0)}
    return _state(net) | {"scores": torch.zeros(0) if scores is None else scores.flatten()}


def _state(module: nn.Module) -> State:
    return {k: v.clone() for k, v in (*module.named_parameters(), *module.named_buffers())}


def _same(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)
