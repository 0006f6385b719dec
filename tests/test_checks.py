from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import spec
from streamhebb.checks import check_layer, check_locality, check_rule
from streamhebb.errors import CheckError, StreamhebbError
from streamhebb.parts import State
from streamhebb.rules.base import nonlocal_parts
from streamhebb.values import Activity, LocalUpdate, Outer

VECTOR, IMAGE = (4,), (2, 6, 6)

NEURONS = [sh.LIF(), sh.LIFBox(), sh.LIFRefractory(), sh.ALIF(), sh.LI()]
TIMES = (5, 4)
# Every layer of the library, on samples it takes.
LAYERS: list[tuple[sh.Layer, tuple[int, ...]]] = [
    (sh.Dense(4, 3), VECTOR),
    (sh.Dense(4, 3, trained=2, bias=sh.PriorBias(), pre_triangle=True, norm_p=3.0), VECTOR),
    (sh.Sparse(4, 3, 2), VECTOR),
    (sh.Conv2d(2, 4, 3), IMAGE),
    (sh.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=sh.PriorBias(2.0)), IMAGE),
    *((norm, shape) for norm in (sh.RunningNorm(2), sh.BatchNorm(2)) for shape in ((2,), IMAGE)),
    *(
        (layer, shape)
        for layer in (
            sh.Triangle(0.7), sh.ReLU(), sh.RePU(2), sh.Softmax(2), sh.Exp(), sh.Tanh(),
            sh.Sigmoid(), sh.Winner(), sh.MaxNorm(), sh.L2Norm(), sh.Flatten(),
        )
        for shape in (VECTOR, IMAGE)
    ),
    (sh.BackpropDense(4, 3), VECTOR),
    (sh.BackpropConv2d(2, 4, 3, padding=1, bias=True), IMAGE),
    (sh.MaxPool2d(3, 2, 1), IMAGE),
    (sh.AvgPool2d(2), IMAGE),
    (sh.OverTime(sh.MaxPool2d(2)), (3, *IMAGE)),
    (sh.Delay(2), IMAGE),
    (sh.Delay([0, 2, 1, 1]), VECTOR),
    (sh.Delay([0, 2, 1, 1], timed=True), (3, *VECTOR)),
    *((sh.Spiking(neuron), TIMES) for neuron in NEURONS),
    *((sh.Spiking(neuron, carry=True), TIMES) for neuron in NEURONS),
    *(
        (layer, shape)
        for layer in (sh.ConstantCurrent(3), sh.Poisson(3), sh.Latency(4, largest=4.0))
        for shape in (VECTOR, IMAGE)
    ),
    (sh.LevelCrossing(0.3), TIMES),
    (sh.LevelCrossing(0.3, carry=True), TIMES),
    *(
        (layer, TIMES)
        for layer in (
            sh.SpikeCount(), sh.SpikeRate(), sh.FirstSpike(), sh.LastVoltage(), sh.MeanVoltage(),
        )
    ),
]  # fmt: skip
RULES = [
    sh.Hebb(), sh.Oja(), sh.SoftHebb(), sh.Delta(), sh.Delta(0.1), sh.STDP(),
    sh.STDP(mu_plus=0.5, mu_minus=1, nearest=True), sh.PostSTDP(), sh.TripletSTDP(),
    sh.Sanger(), sh.Instar(),
    sh.Outstar(), sh.BCM(), sh.BCM(form="intrator"), sh.LPL(), sh.LPL(decorrelation=0.1),
    sh.ForwardForward(), sh.Both(sh.Hebb(), sh.Outstar()), sh.Both(sh.BCM(), sh.LPL()),
]  # fmt: skip
COMPETITIONS = [
    sh.Independent(), sh.Independent("repu"), sh.SoftWTA(), sh.SoftWTA(anti_hebbian=True),
    sh.RankedSoftWTA(), sh.RankedHardWTA(), sh.ShareWTA(), sh.ShareWTA("sigmoid"), sh.HardWTA(),
]  # fmt: skip
SCALINGS = [sh.NoScaling(), sh.LayerMax(), sh.NeuronRMS(), sh.NeuronMax()]
RATES = [
    sh.ConstantRate(0.1), sh.NormRate(0.1), sh.LinearDecay(0.1, 9), sh.ExponentialDecay(0.1, 9),
]  # fmt: skip
INITS = [sh.Normal(), sh.Positive(), sh.Negative(), sh.Uniform()]
BIASES = [sh.PriorBias(), sh.PriorBias(function="relu")]
THRESHOLDS = [sh.AdaptiveThreshold(0.2, 0.1)]
LATERALS = [sh.Lateral(0.01), sh.Lateral(0.01, steps=2, goal=0.1, inhibitory=True)]
ELIGIBILITIES = [sh.Eligibility(3.0)]
CONSTRAINTS = [sh.Clip(-0.5, 0.5), sh.SynapticScaling(2.0), sh.SynapticScaling(1.0, 0.5, 2)]
PARTS = {
    "rule": RULES, "competition": COMPETITIONS, "scaling": SCALINGS, "rate": RATES, "init": INITS,
    "bias": BIASES, "threshold": THRESHOLDS, "lateral": LATERALS, "eligibility": ELIGIBILITIES,
    "constraint": CONSTRAINTS,
}  # fmt: skip
# Public names that are neither a layer nor a part of one.
OTHERS = {
    "EProp",  # needs a neuron
    "Activity", "Layer", "LocalUpdate", "Outer", "PlasticLayer", "Readout", "RLSReadout", "Sample",
    "SoftHebbReadout", "SoftmaxReadout", "StepResult", "StreamNet", "build", "load",
    "DeltaReadout", "NCMReadout", "PESReadout", "SLDAReadout",
    *("Serial", "Threads", "InOrder", "Stale", "Hogwild", "Multirate", "OnChange", "OnSpike"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def same_weights_in_every_run() -> None:
    torch.manual_seed(0)


def test_everything_public_is_checked_here() -> None:
    checked = {type(layer).__name__ for layer, _ in LAYERS}
    checked |= {type(part).__name__ for parts in PARTS.values() for part in parts}
    checked |= {type(neuron).__name__ for neuron in NEURONS}
    assert checked | OTHERS == set(sh.__all__)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: str(v)[:70])
def test_every_layer_keeps_its_promises(layer: sh.Layer, shape: tuple[int, ...]) -> None:
    before = {name: value.clone() for name, value in layer.named_buffers()}
    check_layer(layer, shape)
    after = dict(layer.named_buffers())
    assert all(torch.equal(before[name], after[name]) for name in before), "checks change nothing"


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, parts in PARTS.items() for part in parts], ids=str
)
def test_every_part_keeps_its_promises(name: str, part: Any) -> None:
    parts = {"init": sh.Normal(1.0), name: part}
    check_layer(sh.Dense(4, 5, **parts), VECTOR)
    check_layer(sh.Conv2d(2, 6, 3, **parts), IMAGE)


@pytest.mark.parametrize("scaling", SCALINGS, ids=repr)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_locality_names_what_is_not_local_and_nothing_else(rule: Any, scaling: Any) -> None:
    named = (*nonlocal_parts(rule), *(("LayerMax",) if scaling == sh.LayerMax() else ()))
    assert check_locality(sh.Dense(4, 3, rule=rule, scaling=scaling)) == named
    conv = sh.Conv2d(2, 4, 3, rule=rule, scaling=scaling, bias=sh.PriorBias())
    assert check_locality(conv) == (*named, "PriorBias", "weight sharing")


@pytest.mark.parametrize("rule", [*RULES, sh.EProp()], ids=repr)
def test_every_rule_passes_the_check_of_rules(rule: Any) -> None:
    named = check_rule(rule)
    assert named == tuple(getattr(rule, "nonlocal_parts", ()))
    assert {type(r) for r in (*RULES, sh.EProp())} >= set(spec.FAMILIES["rule"])


def test_a_rule_that_needs_a_voltage_is_refused_in_a_layer_without() -> None:
    with pytest.raises(StreamhebbError, match="give the layer a spiking neuron"):
        sh.Dense(4, 3, rule=sh.EProp())


def test_locality_of_layers_without_weights() -> None:
    assert check_locality(sh.BatchNorm(3)) == ("mini-batch statistics",)
    assert check_locality(sh.RunningNorm(3)) == ()
    assert check_locality(sh.ReLU()) == ()


# ---- cheats: each must be caught -------------------------------------------------------------


@dataclass(frozen=True)
class Cheat:
    """Hebb's rule that also looks where it must not."""

    looks_at: str
    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        return {"trace": torch.zeros(n_out)}

    def terms(self, seen: Activity, state: State) -> tuple[LocalUpdate, State]:
        pre, post, drive, weight = seen[:4]
        dense, trace = None, state["trace"]
        match self.looks_at:
            case "nothing":
                trace = 0.5 * trace + post.sum(0)
                dense = trace[:, None] * weight
            case "pre of its neighbour":
                pre = pre + 1e-9 * pre.roll(1, -1)
            case "post of its neighbour":
                post = post + 1e-9 * post.roll(1, -1)
            case "the largest drive":
                post = post * (drive == drive.amax(-1, keepdim=True))
            case "a drive above a limit anywhere":
                post = post * (1 + (drive > 100).any())
            case "the mean weight":
                dense = weight.mean() * torch.ones_like(weight)
            case "weights of its own neuron":
                dense = weight.sum(1, keepdim=True) * torch.ones_like(weight)
            case "a trace of its neighbour":
                dense = trace.roll(1)[:, None] * weight
                trace = 0.5 * trace + post.sum(0)
        return LocalUpdate((Outer(post, pre),), None, dense), {"trace": trace}


def test_an_honest_rule_with_a_trace_and_a_dense_term_passes() -> None:
    layer = sh.Dense(4, 3, rule=Cheat("nothing"))
    assert check_locality(layer) == ()
    check_layer(layer, VECTOR)


@pytest.mark.parametrize(
    ("looks_at", "name"),
    [
        ("pre of its neighbour", "pre"),
        ("post of its neighbour", "post"),
        ("the largest drive", "drive"),
        ("a drive above a limit anywhere", "drive"),
        ("the mean weight", "weight"),
        ("weights of its own neuron", "weight"),
        ("a trace of its neighbour", "post"),
    ],
)
def test_a_rule_that_peeks_is_caught(looks_at: str, name: str) -> None:
    for refuse in (check_rule, lambda rule: sh.Dense(4, 3, rule=rule)):
        with pytest.raises(CheckError) as caught:
            refuse(Cheat(looks_at))
        assert f"Cheat(looks_at='{looks_at}') is not local: its {name}" in str(caught.value)
        assert "it may use pre[:, i], post[:, j]" in str(caught.value)


@dataclass(frozen=True)
class Confessed(Cheat):
    """A cheat that says so."""

    nonlocal_parts: ClassVar[tuple[str, ...]] = ("outputs of its neighbours",)


def test_a_rule_that_names_what_it_looks_at_is_taken_and_shown() -> None:
    rule = Confessed("the largest drive")
    assert check_rule(rule) == ("outputs of its neighbours",)
    layer = sh.Dense(4, 3, rule=rule)
    assert check_locality(layer) == ("outputs of its neighbours",)
    assert "not local: outputs of its neighbours" in repr(layer)


@dataclass(frozen=True)
class Careless:
    """A rule of somebody in a hurry; ``fault`` says what is wrong with it."""

    fault: str
    competes: ClassVar[bool] = False

    def init(self, n_in: int, n_out: int) -> State:
        if self.fault == "list":
            return {"theta": [0.0] * n_out}  # type: ignore[dict-item]
        return {"theta": torch.zeros(n_out)}

    def rest(self, n_in: int, n_out: int) -> State:
        return {"theta": torch.zeros(n_out)} if self.fault == "names" else {}

    def terms(self, seen: Activity, state: State) -> Any:
        update = LocalUpdate((Outer(seen.post, seen.pre),))
        match self.fault:
            case "no state":
                return update
            case "a number":
                return 0.0
            case "swapped":
                return LocalUpdate((Outer(seen.pre, seen.post),)), state
            case "averaged":
                return LocalUpdate((Outer(seen.post.mean(0), seen.pre.mean(0)),)), state
            case "decay":
                return update._replace(decay=seen.pre), state
            case "dense":
                return update._replace(dense=seen.weight.mT), state
            case "factor":
                return LocalUpdate((Outer(seen.post, seen.pre, seen.post),)), state
            case "lost":
                return update, {}
            case "shrunk":
                return update, {"theta": seen.post.sum()}
            case "writes":
                seen.pre.zero_()
            case "nan":
                return update._replace(decay=seen.post / 0 * 0), state
        return update, state


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("list", r"state 'theta' is a list, not a tensor"),
        ("names", r"init and rest both name \['theta'\]"),
        ("no state", r"terms returned a LocalUpdate; it must return \(LocalUpdate, state\)"),
        ("a number", r"terms returned a float; it must return"),
        ("swapped", r"outer\[0\].post is a tensor of shape \(3, 7\); .* of shape \(3, 5\)"),
        ("averaged", r"outer\[0\].post is a tensor of shape \(5,\); .* of shape \(3, 5\)"),
        ("decay", r"decay is a tensor of shape \(3, 7\); .* of shape \(3, 5\)"),
        ("dense", r"dense is a tensor of shape \(7, 5\); .* of shape \(5, 7\)"),
        ("factor", r"outer\[0\].factor is a tensor of shape \(3, 5\); .* of shape \(5, 7\)"),
        ("lost", r"the state a dict with the names \[\]; .* names \['theta'\]"),
        ("shrunk", r"state\['theta'\] is a tensor of shape \(\); .* of shape \(5,\)"),
        ("writes", r"terms wrote to what it was given"),
        ("nan", r"decay holds NaN or infinite values for finite activity"),
    ],
)
def test_a_careless_rule_is_refused_with_what_was_expected(fault: str, message: str) -> None:
    for refuse in (check_rule, lambda rule: sh.Conv2d(2, 4, 3, rule=rule)):
        with pytest.raises(CheckError, match=message):
            refuse(Careless(fault))


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(StreamhebbError, match=r"write rule=Oja\(\)"):
        check_rule(sh.Oja)  # type: ignore[arg-type]
    with pytest.raises(CheckError, match="has no 'competes'"):
        check_rule(sh.HardWTA())  # type: ignore[arg-type]
    with pytest.raises(StreamhebbError, match=r"for two rules: Both\(a, b\)"):
        sh.Dense(4, 3, rule=[sh.Hebb(), sh.Oja()])  # type: ignore[arg-type]


def test_a_check_error_is_of_the_library_and_no_assertion() -> None:
    assert issubclass(CheckError, StreamhebbError)
    assert not issubclass(CheckError, AssertionError)


@dataclass(frozen=True)
class FalselyLocal(sh.LayerMax):
    local: ClassVar[bool] = True


@dataclass(frozen=True)
class MeanRate(sh.ConstantRate):
    by_radius: ClassVar[bool] = True
    by_updates: ClassVar[bool] = False

    def __call__(self, radius: Tensor, updates: int) -> Tensor:  # type: ignore[override]
        return self.lr * radius.mean() * torch.ones_like(radius)


@dataclass(frozen=True)
class BatchCompetition:
    def __call__(self, drive: Tensor) -> Tensor:
        return drive - drive.mean(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaling": FalselyLocal()}, r"FalselyLocal\(\) looks across neurons"),
        ({"rate": MeanRate(0.1)}, r"MeanRate\(lr=0.1\) looks across neurons"),
        ({"competition": BatchCompetition()}, r"BatchCompetition\(\) looks at another competition"),
    ],
)
def test_a_part_that_hides_what_it_looks_at_is_caught(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckError, match=message):
        check_locality(sh.Dense(4, 3, **arguments))


class Counter(sh.Layer):
    """An honest layer; ``fault`` makes it break one promise."""

    learns = True
    count: Tensor

    def __init__(self, fault: str = "", gain: Any = 1.0) -> None:
        super().__init__()
        self.fault = fault
        self.gain = gain
        self.hidden = 0.0
        self.register_buffer("count", torch.zeros(2))
        if fault == "learns nothing":
            self.learns = True

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape, 1) if self.fault == "shape" else shape

    def respond(self, x: Tensor) -> Tensor:
        if self.fault == "writes in respond":
            self.count += 1
        if self.fault == "overwrites its input":
            x.mul_(2)
        if self.fault == "chance":
            return x + torch.zeros_like(x).bernoulli_(0.5) * 0
        if self.fault == "noise":
            return x + torch.rand_like(x)
        if self.fault == "neighbours":
            return x - x.mean(0)
        if self.fault == "half":
            return x.float() * self.count.sum().float()
        return x * (1 + self.count.sum() + self.hidden)

    def observe(self, x: Tensor) -> tuple[Tensor, Any]:
        return self.respond(x), x

    def learn(self, seen: Any, modulator: Any = 1.0) -> None:
        if self.fault == "learns nothing":
            return
        if self.fault == "overwrites its input in learn":
            seen.zero_()
        if self.fault == "hidden state":
            self.hidden += 1.0
        if self.fault == "moves its state":
            self.count = self.count + 1
        else:
            self.count += 1

    def __deepcopy__(self, memo: Any) -> Any:
        if self.fault == "shared state":
            return self
        twin = type(self)(self.fault, self.gain)
        twin.count.copy_(self.count)
        return twin


def test_an_honest_layer_of_someone_else_passes() -> None:
    check_layer(Counter(), (3,))


@pytest.mark.parametrize(
    ("fault", "promise"),
    [
        ("shape", r"shape\(\) tells the truth"),
        ("writes in respond", "respond and observe change nothing"),
        ("overwrites its input", "respond and observe change nothing"),
        ("noise", "respond gives the same twice"),
        ("chance", "chance comes from a generator of its own"),
        ("learns nothing", "learn changes state if `learns`, else none"),
        ("moves its state", "learn writes state in place"),
        ("overwrites its input in learn", "learn writes to its own state only"),
        ("shared state", "a deep copy shares no state"),
        ("hidden state", r"state_dict\(\) holds all"),
        ("neighbours", "a sample does not depend on its neighbours"),
        ("half", "works in float64"),
    ],
)
def test_a_layer_that_breaks_a_promise_is_caught(fault: str, promise: str) -> None:
    with pytest.raises(CheckError, match=f"breaks a promise: {promise}"):
        check_layer(Counter(fault), (3,))


def test_a_layer_whose_config_is_no_json_is_caught() -> None:
    with pytest.raises(CheckError, match=r"config\(\) is no JSON or rebuilds nothing"):
        check_layer(Counter(gain=torch.ones(1)), (3,))


def test_a_plastic_layer_without_a_rule_to_look_at_is_caught() -> None:
    layer = Counter()
    layer.plastic = True
    with pytest.raises(CheckError, match="its rule cannot be found"):
        check_locality(layer)
