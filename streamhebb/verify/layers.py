"""Replays one layer: 20 steps of respond, learn, and the next learning rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from streamhebb.evaluate.tally import Tally
from streamhebb.layers.plastic import PlasticLayer, Seen
from streamhebb.scaling import LayerMax
from streamhebb.verify.cases import Array, Case
from streamhebb.verify.compare import LIMIT, LOOSE, ROUND_OFF, Comparison, plain, rate_slack
from streamhebb.verify.settings import Settings

STEPS = 20
_NEEDED = ("x", "w0", "u", "y", "dw_raw", "dw", "lr0", "w1", "w20", "norms", "lr20")
_SHARP = 10.0  # t * u beyond which float32 softmax shares lose digits


def is_layer(case: Case) -> bool:
    """Whether the case is about one layer."""
    return sum(key in case for key in _NEEDED) >= 3


def missing(case: Case) -> str:
    """Say what is not supported; empty if everything is."""
    case.need(("w0",))
    return Settings.of(case.meta, case["w0"].ndim).missing()


def replay(case: Case, comparison: Comparison) -> None:
    """Run the layer and compare everything the reference kept."""
    case.need(_NEEDED)
    comparison.used("x", "w0")
    x, settings, layer = _prepare(case, comparison)
    # Functions that are 0 for some neurons make the reference divide 0 by 0 where all are 0.
    fades = settings.soft and settings.function in ("relu", "repu")
    comparison.skip_nan = fades and bool(np.isnan(case["w20"]).any())
    if comparison.skip_nan:
        comparison.notes.append(
            "the reference divides 0 by 0 and its weights become NaN; ours gives 0 there, and "
            "what the reference has left of finite numbers is compared"
        )
    run = _run(layer, settings, [comparison.tensor(batch) for batch in x])
    _compare_step(case, comparison, settings, run)
    _compare_run(case, comparison, settings, run, layer)


def _prepare(case: Case, comparison: Comparison) -> tuple[Array, Settings, PlasticLayer]:
    weight = case["w0"]
    settings = Settings.of(case.meta, weight.ndim)
    conv = settings.conv
    w0 = case.shaped("w0", (None,) * (4 if conv else 2))
    groups = int(settings["g"]) if conv else 1
    n_in = w0.shape[1] * groups
    sides: tuple[int | None, ...] = (None, None) if conv else ()
    x = case.shaped("x", (None, case.meta.get("B"), n_in, *sides))
    layer = settings.build(comparison.tensor(w0), n_in)
    layer.shape(tuple(x.shape[2:]))  # refuses images the window does not fit into
    return x, settings, layer


class _First(NamedTuple):
    """What the first step shows."""

    drive: Tensor
    post: Tensor
    raw: Tensor
    scaled: Tensor
    scale: Tensor
    bias: Tensor | None


class _Run(NamedTuple):
    """What the whole run shows; one entry a step, and one more for rates."""

    first: _First
    slack: Array | float
    weights: list[Tensor]
    rates: list[Array]
    radii: list[Array]
    priors: list[Array]
    wins: Array
    winner: list[float]
    against: list[float]
    spread: list[float]


def _run(layer: PlasticLayer, settings: Settings, x: list[Tensor]) -> _Run:
    run = _Run(
        first=_look(layer, x[0]),
        slack=rate_slack(layer.rate, layer.radius()),
        weights=[],
        rates=[plain(layer.current_rate())],
        radii=[],
        priors=[_prior(layer)],
        wins=np.zeros(layer.synapse.n_out),
        winner=[],
        against=[],
        spread=[],
    )
    for step in range(STEPS):
        _, seen = layer.observe(x[step % len(x)])
        rate = layer.current_rate()
        layer.bias = settings.prior(None if isinstance(rate, Tensor) else rate)
        layer.watchers = (tally := Tally(layer),)
        layer.learn(seen)
        _count(run, settings, seen, tally)
        run.weights.append(layer.kernel.clone())
        run.rates.append(plain(layer.current_rate()))
        run.radii.append(plain(layer.radius()))
        run.priors.append(_prior(layer))
    return run


def _prior(layer: PlasticLayer) -> Array:
    return np.zeros(0) if layer.bias is None else plain(layer.prior).copy()


def _look(layer: PlasticLayer, x: Tensor) -> _First:
    """Take the first step apart; changes nothing."""
    drive, seen = layer.observe(x)
    delta, post = layer.delta(seen)
    groups = layer.synapse.groups
    divisor, _ = LayerMax().divisor(delta, groups, {})
    scale = divisor if groups == 1 else divisor[:: layer.synapse.n_out // groups, 0]
    change = None
    if layer.bias is not None:
        total = post.sum(-2).reshape(-1)
        prior: Any = layer.prior
        change = layer.bias.change(total, prior, post.shape[-2], seen.samples)
        change = change / (layer.bias.gain or 1)  # the reference keeps it before its factor
    shown = layer.synapse.shown
    return _First(
        drive.clone(),
        layer.synapse.fold(post, x),
        shown(delta).clone(),
        shown(delta / divisor).clone(),
        scale.reshape(-1).clone(),
        change,
    )


def _count(run: _Run, settings: Settings, seen: Seen, tally: Tally) -> None:
    """Add to the statistics that the reference keeps of shares and wins."""
    np.add(run.wins, plain(tally.won), out=run.wins)
    share = settings.shares()(seen.drive)
    run.spread.append(float(share.abs().sum(-1).max()))
    if settings["mode"] or tally.hebbian is None:
        winner = seen.drive.argmax(-1, keepdim=True)
        run.winner.append(float(share.gather(-1, winner).double().mean()))
    else:
        run.winner.append(tally.hebbian)
    if settings["mode"]:
        order = seen.drive.argsort(dim=-1, descending=True, stable=True)
        ranked = order.narrow(-1, int(settings["rank"]) - 1, 1)
        run.against.append(float(share.gather(-1, ranked).double().mean()))
    else:
        run.against.append(1 - run.winner[-1])


def _ill(spread: float) -> float:
    """Return how much wider a limit must be for shares of mixed sign, which tanh gives.

    They sum to 1 whatever their size, so their round-off grows with the sum of their sizes.
    """
    return max(1.0, spread / 10)


def _compare_step(case: Case, comparison: Comparison, settings: Settings, run: _Run) -> None:
    first = run.first
    heat = settings.t * float(first.drive.abs().max())
    limit = LOOSE if heat > _SHARP else LIMIT
    ill, worst = _ill(run.spread[0]), _ill(max(run.spread))
    if worst > 1:
        comparison.notes.append(
            f"shares of mixed sign nearly cancel: limits of y, dw_raw, dw_scale and the shares' "
            f"statistics are up to {worst:.0f} times wider"
        )
    comparison.check("u", first.drive)
    comparison.check("y", first.post, limit=limit * ill, nan=comparison.skip_nan)
    comparison.check("dw_raw", first.raw, limit=LIMIT * ill)
    comparison.check("dw", first.scaled)
    if "dw_scale" in case and case["dw_scale"].size == first.scale.numel():
        shape = case["dw_scale"].shape  # one scale may be a scalar
        comparison.check("dw_scale", first.scale.reshape(shape), limit=LIMIT * ill)
    else:
        comparison.check("dw_scale", first.scale, limit=LIMIT * ill)
    if first.bias is not None:
        comparison.check("db", first.bias)
    comparison.check("m_winner", run.winner, limit=limit * worst)
    if settings["mode"]:
        # A small share, whose digits are lost to the size of t * u alone.
        comparison.check("m_anti_winner", run.against, limit=LIMIT * max(1.0, heat / 5))
    else:
        # One minus the winner's share, so its round-off is that of numbers near 1.
        comparison.check("m_anti_winner", run.against, limit=limit * worst, floor=1.0)


def _compare_run(
    case: Case, comparison: Comparison, settings: Settings, run: _Run, layer: PlasticLayer
) -> None:
    comparison.check("w1", run.weights[0])
    comparison.check("w20", run.weights[-1])
    comparison.check("norms", np.stack(run.radii))
    # A schedule that has run out is exactly 0, so rates are measured against the first one.
    floor = float(settings["lr"])
    last = rate_slack(layer.rate, layer.radius())
    comparison.check("lr0", run.rates[0], floor=floor, slack=run.slack)
    comparison.check("lr20", run.rates[-1], floor=floor, slack=last)
    if not settings["adaptive"]:
        comparison.check("lr_seq", np.stack(run.rates[:-1]), floor=floor)
    if layer.bias is not None:
        comparison.check("b0", run.priors[0])
        comparison.check("b1", run.priors[1])
        comparison.check("b20", run.priors[-1])
    comparison.check("win20", run.wins, limit=LIMIT * _ill(max(run.spread)))
    apart = np.abs(run.radii[-1] - 1)
    comparison.check("convergence20", apart.mean())
    check_converged(case, comparison, apart, 0.01 if settings.conv else 0.005)


def check_converged(case: Case, comparison: Comparison, apart: Array, near: float) -> None:
    """Compare a count; a neuron within round-off of the border may be on either side."""
    comparison.used("R1_20")
    wide = comparison.precision == "float64" and case.twins
    if "R1_20" not in case or wide or comparison.skip_nan:
        return
    least, most = (int((apart < near + slack).sum()) for slack in (-ROUND_OFF, ROUND_OFF))
    wanted = int(case["R1_20"])
    beyond = max(least - wanted, wanted - most, 0)
    comparison.add("R1_20", beyond / len(apart))
