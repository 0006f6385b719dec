"""Every rule there is, on every backend: equal to its oracle, and the same whole layer step.

A new rule is found by itself, through ``spec.FAMILIES``; it fails here until it has a line in
``ORACLES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import streamhebb as sh
from streamhebb import kernels, spec
from streamhebb.kernels import numba_zeros
from streamhebb.rules.base import traces
from tests import oracles, oracles_rules, oracles_spikes
from tests.spike_runs import Leaky

F64 = torch.float64
Matrix = list[list[float]]


@dataclass
class Run:
    """What a rule sees over time, as plain numbers: ``x[t][n][i]``, ``y[t][n][j]``, ``w[j][i]``.

    The weights stay as they are; the drive ``u`` and voltage ``v`` are any numbers.
    """

    x: list[Matrix]
    y: list[Matrix]
    u: list[Matrix]
    v: list[Matrix]
    m: list[float]
    w: Matrix


Oracle = Callable[[Run], list[Matrix]]
"""The changes of each instant, ``dw[t][j][i]``, summed over competitions."""


def each_instant(oracle: Callable[[Matrix, Matrix, Matrix, Matrix], Matrix]) -> Oracle:
    """From an oracle ``(x, y, u, w) -> dw`` of a rule without memory."""
    return lambda run: [oracle(x, y, u, run.w) for x, y, u in zip(run.x, run.y, run.u, strict=True)]


def each_sample(oracle: Callable[..., list[Matrix]]) -> Oracle:
    """From an oracle ``(x[t], y[t], v[t], w) -> dw[t]`` of one sample over time."""

    def total(run: Run) -> list[Matrix]:
        parts = [
            oracle(*([at[n] for at in value] for value in (run.x, run.y, run.v)), run.w)
            for n in range(len(run.x[0]))
        ]
        changes: list[Matrix] = torch.tensor(parts, dtype=F64).sum(0).tolist()
        return changes

    return total


def remembering(oracle: Callable[..., tuple[Matrix, Any]], **options: Any) -> Oracle:
    """From an oracle ``(y, u, memory) -> factors of the outer product, memory``."""

    def changes(run: Run) -> list[Matrix]:
        memory: dict[str, Any] = {}
        found = []
        for x, y, u in zip(run.x, run.y, run.u, strict=True):
            factor, memory = oracle(y, u, memory, **options)
            found.append(oracles_rules.outer(factor, x, run.w))
        return found

    return changes


def both(first: Oracle, second: Oracle) -> Oracle:
    """The sum of two."""
    return lambda run: (
        torch.tensor(first(run), dtype=F64) + torch.tensor(second(run), dtype=F64)
    ).tolist()


@dataclass(frozen=True)
class Case:
    """A rule as it is tried.

    Args:
        rule: with parameters that are not the defaults where that tells more.
        oracle: what it is held to.
        spikes: whether pre and post are spikes, 0 or 1.
        parts: what else a layer with this rule needs, for example its neuron.
    """

    rule: Any
    oracle: Oracle
    spikes: bool = False
    parts: dict[str, Any] = field(default_factory=dict)


def spiking(rule: Any, oracle: Callable[..., list[Matrix]]) -> Case:
    """A rule of spikes; the oracle ``(rule, x[t], y[t], v[t], w)`` sees one sample."""
    return Case(rule, each_sample(partial(oracle, rule)), spikes=True, parts={"neuron": Leaky()})


def eprop(rule: sh.EProp, x: Any, y: Any, v: Any, w: Matrix) -> list[Matrix]:
    options = asdict(rule) | {"feedback": rule.init(0, len(w))["feedback"].double().tolist()}
    return oracles_spikes.eprop(x, v, **{k: o for k, o in options.items() if k != "seed"})


ORACLES: list[Case] = [
    Case(sh.Hebb(), each_instant(oracles.hebb)),
    Case(sh.Oja(), each_instant(oracles.oja)),
    Case(sh.SoftHebb(), each_instant(oracles.softhebb)),
    Case(sh.Delta(), each_instant(oracles.delta_rule)),
    Case(sh.Delta(0.2), each_instant(lambda x, y, u, w: oracles.delta_rule(x, y, u, w, 0.2))),
    Case(sh.Sanger(), each_instant(oracles_rules.sanger)),
    Case(sh.Instar(), each_instant(oracles_rules.instar)),
    Case(sh.Outstar(), each_instant(oracles_rules.outstar)),
    *(
        Case(
            sh.ForwardForward(1.5, kind),
            lambda run, kind=kind: [
                oracles_rules.forward_forward(x, y, u, run.w, 1.5, kind, m)
                for x, y, u, m in zip(run.x, run.y, run.u, run.m, strict=True)
            ],
        )
        for kind in ("mean", "sum")
    ),
    *(
        Case(
            sh.BCM(tau=3.0, form=form),
            remembering(
                lambda y, u, memory, **o: oracles_rules.bcm(y, memory, **o), tau=3.0, form=form
            ),
        )
        for form in ("intrator", "law")
    ),
    *(
        Case(
            sh.LPL(0.7, decorrelation, tau=3.0, eps=0.1, function="tanh"),
            remembering(
                oracles_rules.lpl,
                hebbian=0.7,
                decorrelation=decorrelation,
                tau=3.0,
                eps=0.1,
                name="tanh",
            ),
        )
        for decorrelation in (0.0, 0.3)
    ),
    Case(
        sh.Both(sh.Hebb(), sh.Outstar()),
        both(each_instant(oracles.hebb), each_instant(oracles_rules.outstar)),
    ),
    spiking(sh.EProp(threshold=0.6), eprop),
    *(
        spiking(rule, lambda r, x, y, v, w: oracles_spikes.pair_stdp(x, y, w, **asdict(r)))
        for rule in (sh.STDP(), sh.STDP(mu_plus=1.0, mu_minus=0.5, nearest=True))
    ),
    spiking(sh.PostSTDP(), lambda r, x, y, v, w: oracles_spikes.post_stdp(x, y, w, **asdict(r))),
    spiking(
        sh.TripletSTDP(a2_plus=0.3),
        lambda r, x, y, v, w: oracles_spikes.triplet_stdp(x, y, **asdict(r)),
    ),
]

BACKENDS = ["torch", "numba"]
cases = pytest.mark.parametrize("case", ORACLES, ids=lambda case: str(case.rule)[:60])


@contextmanager
def tried(backend: str) -> Iterator[None]:
    """A backend that does not leave small layers to another one."""
    with pytest.MonkeyPatch.context() as patch, kernels.use(backend):
        patch.setattr(numba_zeros, "LARGE", 0)
        yield


@pytest.mark.parametrize("rule", [rule.__name__ for rule in spec.FAMILIES["rule"]])
def test_every_rule_has_an_oracle(rule: str) -> None:
    names = {type(case.rule).__name__ for case in ORACLES}
    assert rule in names, f"{rule} has no oracle: give it a line in ORACLES of this file"


@pytest.mark.parametrize("backend", BACKENDS)
@cases
@given(
    steps=st.integers(1, 4), n=st.integers(1, 6), n_in=st.integers(1, 5), n_out=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_it_equals_its_oracle(
    backend: str, case: Case, steps: int, n: int, n_in: int, n_out: int, seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=chance, dtype=F64)

    x, y = rand(steps, n, n_in), rand(steps, n, n_out)
    if case.spikes:
        x, y = (x > 0.3).double(), (y > 0.3).double()
    u, v, m, w = rand(steps, n, n_out), rand(steps, n, n_out), rand(steps), rand(n_out, n_in)
    expected = case.oracle(Run(*(value.tolist() for value in (x, y, u, v, m, w))))
    rest = traces(case.rule, n_in, n_out)
    state = case.rule.init(n_in, n_out) | {k: r.expand(n, *r.shape) for k, r in rest.items()}
    state = {k: s.double() if s.is_floating_point() else s for k, s in state.items()}
    with tried(backend):
        for t in range(steps):
            seen = sh.Activity(x[t], y[t], u[t], w, v[t], float(m[t]))
            update, state = case.rule.terms(seen, state)
            found = kernels.accumulate(update, w, torch.empty_like(w))
            wanted = torch.tensor(expected[t], dtype=F64)
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def dense(parts: dict[str, Any]) -> tuple[sh.PlasticLayer, tuple[int, ...]]:
    return sh.Dense(5, 4, **parts), (5,)


def sparse(parts: dict[str, Any]) -> tuple[sh.PlasticLayer, tuple[int, ...]]:
    return sh.Sparse(5, 4, 3, **parts), (5,)


def conv(parts: dict[str, Any]) -> tuple[sh.PlasticLayer, tuple[int, ...]]:
    return sh.Conv2d(2, 4, 2, stride=2, **parts), (2, 4, 4)


def grouped(parts: dict[str, Any]) -> tuple[sh.PlasticLayer, tuple[int, ...]]:
    return sh.Conv2d(2, 4, 3, padding=1, groups=2, **parts), (2, 3, 3)


@cases
@pytest.mark.parametrize("build", [dense, sparse, conv, grouped])
@settings(max_examples=15)
@given(batch=st.integers(1, 4), steps=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_a_layer_learns_the_same_on_both_backends(
    build: Any, case: Case, batch: int, steps: int, seed: int
) -> None:
    """Two steps, so that what the first one left behind is compared too."""
    if build is sparse and isinstance(case.rule, sh.Sanger):
        pytest.skip("Sanger's rule needs neurons that see the same inputs, and says so")
    after = []
    for backend in BACKENDS:
        chance = torch.Generator().manual_seed(seed)
        layer, shape = build({"init": sh.Normal(0.5), "rule": case.rule} | case.parts)
        layer.reset(chance)
        layer.double()
        lead = (batch, steps) if layer.neuron is not None else (batch,)
        with tried(backend):
            for _ in range(2):
                x = torch.randn(*lead, *shape, generator=chance, dtype=F64)
                layer.learn(layer.observe((x > 0.3).double() if case.spikes else x)[1])
        after.append(dict(layer.named_buffers()))
    one, other = after
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-12, atol=1e-12, msg=name)
