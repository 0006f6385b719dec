"""StreamNet: predict first, then learn; respond changes nothing; bad nets are refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb.clock import VirtualClock
from streamhebb.errors import ConfigError, DivergedError, InputError, ShapeError
from streamhebb.readouts import Features, Readout


class SpyReadout(Readout):
    """Scores are the features; writes down the order of calls and what it was told."""

    def __init__(self, calls: list[Any], n: int) -> None:
        super().__init__(n, n, ())
        self.calls = calls

    def respond(self, x: Tensor) -> Tensor:
        self.calls.append("respond readout")
        return x.clone()

    def learn(self, seen: Features, target: Any) -> None:
        self.calls.append(("learn readout", list(target), seen.scores.clone()))


class SpyLayer(sh.Layer):
    """Adds how often it has learned; so a prediction made too late is another number."""

    learns = True
    plastic = True
    sample_ndim = 1

    def __init__(self, name: str, calls: list[Any]) -> None:
        super().__init__()
        self.name = name
        self.calls = calls
        self.register_buffer("learned", torch.zeros(()))

    def respond(self, x: Tensor) -> Tensor:
        self.calls.append(f"respond {self.name}")
        return x + self.learned

    def learn(self, seen: Any, modulator: Any = 1.0) -> None:
        self.calls.append((f"learn {self.name}", modulator))
        self.learned += 1


def conv_net(**settings: Any) -> sh.StreamNet:
    settings.setdefault("readout", sh.SoftmaxReadout())
    settings.setdefault("input_shape", (1, 6, 6))
    return sh.StreamNet(
        sh.RunningNorm(1),
        sh.Conv2d(1, 5, 3, bias=sh.PriorBias(gain=0.1), scaling=sh.NeuronMax()),
        sh.Triangle(),
        sh.MaxPool2d(2),
        sh.Flatten(),
        sh.Dense(20, 7, rule=sh.Oja(), scaling=sh.NeuronRMS(), rate=0.01),
        sh.ReLU(),
        **settings,
    )


def dense_net(**settings: Any) -> sh.StreamNet:
    settings.setdefault("readout", sh.SoftmaxReadout(8))
    return sh.StreamNet(sh.RunningNorm(4), sh.Dense(4, 8), sh.Triangle(), **settings)


def state_of(net: sh.StreamNet) -> dict[str, Any]:
    """Everything a net holds, as a copy."""
    return copy.deepcopy(dict(net.state_dict()))


def same(a: Any, b: Any) -> bool:
    """Bit for bit, through dicts and lists; NaN equals NaN."""
    if isinstance(a, Tensor):
        return (
            isinstance(b, Tensor)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def samples(count: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed))


# -- predict, then learn -----------------------------------------------------------------------


def test_every_layer_responds_before_the_prediction_and_none_has_learned_by_then() -> None:
    calls: list[Any] = []
    net = sh.StreamNet(SpyLayer("a", calls), SpyLayer("b", calls), readout=SpyReadout(calls, 2))
    first = net.step(torch.tensor([1.0, 0.0]), 1)
    assert first.scores is not None
    assert first.scores.tolist() == [1.0, 0.0]  # 0 learned anywhere
    second = net.step(torch.tensor([1.0, 0.0]), 1, modulator=0.5)
    assert second.scores is not None
    assert second.scores.tolist() == [3.0, 2.0]  # one learning step in a and one in b
    order = [call if isinstance(call, str) else call[0] for call in calls]
    one = order[: len(order) // 2]
    assert one == order[len(order) // 2 :]
    for name in ("a", "b", "readout"):
        assert one.index(f"respond {name}") < one.index(f"learn {name}")
    assert ("learn a", 0.5) in calls
    assert ("learn b", 0.5) in calls


def test_readout_learns_from_the_scores_that_were_predicted() -> None:
    calls: list[Any] = []
    net = sh.StreamNet(SpyLayer("a", calls), readout=SpyReadout(calls, 2))
    result = net.step(torch.tensor([0.0, 2.0]), 0)
    told = [call for call in calls if call[0] == "learn readout"]
    assert told[0][1] == [0]
    assert torch.equal(told[0][2][0], result.scores)
    assert result.prediction == 1  # the label said 0


@pytest.mark.parametrize("make", [conv_net, dense_net])
def test_step_predicts_what_respond_predicted_before_it(make: Any) -> None:
    net = make()
    shape = (1, 6, 6) if make is conv_net else (4,)
    for number, x in enumerate(samples(12, shape)):
        before = net.respond(x)
        step = net.step(x, number % 3)
        assert step.prediction == before.prediction
        assert torch.equal(step.scores, before.scores)
    after = net.respond(x)
    assert not torch.equal(step.scores, after.scores)  # it has learned


def test_the_label_of_the_sample_never_reaches_its_own_prediction() -> None:
    x = samples(1, (4,))[0]
    a, b = dense_net(), dense_net()
    for net in (a, b):
        net.step(x, 0)
        net.step(x, 1)
    ra, rb = a.step(x, 0), b.step(x, 1)
    assert torch.equal(ra.scores, rb.scores)
    assert ra.prediction == rb.prediction
    assert not torch.equal(a.respond(x).scores, b.respond(x).scores)


def test_first_prediction_is_none_and_the_class_appears_after() -> None:
    net = dense_net()
    assert net.step(torch.rand(4), "cat").prediction is None
    assert net.step(torch.rand(4), "dog").prediction == "cat"
    assert net.readout is not None
    assert net.readout.labels == ("cat", "dog")


# -- respond -----------------------------------------------------------------------------------


@pytest.mark.parametrize("readout", [sh.SoftmaxReadout, sh.RLSReadout, None])
def test_respond_changes_nothing(readout: Any) -> None:
    net = conv_net(readout=readout and readout())
    for number, x in enumerate(samples(5, (1, 6, 6))):
        net.step(x, number % 2 if readout else None)
    before = state_of(net)
    counts, generator = dict(net.counts), net.generator.get_state().clone()
    x = samples(3, (1, 6, 6), seed=1)
    net.respond(x[0])
    net.respond(x, activity=True)
    net.features(x)
    net.respond(sh.Sample(x[0], target=9))
    if readout:
        net.probabilities(x)
        net.predict_one(x[0])
        net.predict_proba_one(x[0])
        net.predict(x)
        net.predict_proba(x)
        net.score(x, [0, 1, 0])
    assert same(state_of(net), before)
    assert net.counts == counts
    assert torch.equal(net.generator.get_state(), generator)


def test_learn_false_predicts_and_counts_but_changes_no_weight() -> None:
    net = dense_net()
    net.step(torch.rand(4), 0)
    before = state_of(net)
    result = net.step(torch.rand(4), 1, learn=False)
    after = state_of(net)
    assert result.prediction == 0
    assert result.sample == 1
    assert net.counts == {"samples": 2, "learned": 1, "non-finite": 0}
    before.pop("_extra_state"), after.pop("_extra_state")
    assert same(before, after)


# -- what a step returns -----------------------------------------------------------------------


def test_step_result_fields() -> None:
    clock = VirtualClock()

    class Slow(sh.ReLU):
        def respond(self, x: Tensor) -> Tensor:
            clock.advance(0.25)
            return super().respond(x)

    net = sh.StreamNet(sh.Dense(4, 3), Slow(), readout=sh.SoftmaxReadout(3, 2), clock=clock)
    for number in range(3):
        result = net.step(torch.rand(4), 0)
        assert result.sample == number
    assert result.seconds == 0.25
    assert result.skipped is None
    assert result.scores is not None
    assert result.scores.shape == (2,)
    assert dict(result.activity) == {}


def test_activity_is_what_the_layers_gave() -> None:
    net = conv_net()
    x = samples(1, (1, 6, 6))[0]
    shown = net.step(x, 0, activity=True).activity
    assert tuple(shown) == net.names
    assert shown["1:Conv2d"].shape == (5, 4, 4)
    net = conv_net(readout=None)
    result = net.respond(x, activity=True)
    assert torch.equal(result.activity["6:ReLU"], result.scores)
    y = x[None]
    for layer in net.layers:
        y = layer.respond(y)
    assert torch.equal(y[0], result.scores)
    batch = net.respond(samples(3, (1, 6, 6)), activity=True)
    assert batch.activity["1:Conv2d"].shape == (3, 5, 4, 4)


def test_a_micro_batch_gives_a_list_and_counts_its_samples() -> None:
    net = dense_net()
    assert net.step(samples(3, (4,)), [0, 1, 0]).prediction is None
    result = net.step(samples(3, (4,)), [0, 1, 0])
    assert isinstance(result.prediction, list)
    assert len(result.prediction) == 3
    assert result.scores is not None
    assert result.scores.shape == (3, 2)
    assert result.sample == 3
    assert net.counts["samples"] == 6


def test_a_batch_of_one_is_a_bare_sample_bit_for_bit() -> None:
    one, batch = conv_net(), conv_net()
    for number, x in enumerate(samples(6, (1, 6, 6))):
        a = one.step(x, number % 3)
        b = batch.step(x[None], [number % 3])
        assert [a.prediction] == (b.prediction or [None])
        assert torch.equal(a.scores, b.scores[0])
    assert same(state_of(one), state_of(batch))


def test_sample_brings_its_target_and_an_explicit_one_wins() -> None:
    net = dense_net()
    net.step(sh.Sample(torch.rand(4), target="a", t=0.1, id=7))
    net.step(sh.Sample(torch.rand(4), target="b"), "c")
    assert net.readout is not None
    assert net.readout.labels == ("a", "c")


def test_scores_are_not_a_window_into_the_net() -> None:
    net = dense_net()
    net.step(torch.rand(4), 0)
    x = torch.rand(4)
    result = net.step(x, 1)
    assert result.scores is not None
    kept = result.scores.clone()
    net.step(torch.rand(4), 0)
    assert torch.equal(result.scores, kept)
    copied = x.clone()
    net.step(x, 1)
    assert torch.equal(x, copied)  # nor does the net write into the caller's sample


# -- labels, and none --------------------------------------------------------------------------


def test_unlabelled_net_learns_and_gives_the_last_output() -> None:
    net = sh.StreamNet(sh.Dense(4, 3), seed=1)
    before = net.layers[0].weight.clone()
    result = net.step(torch.rand(4))
    assert result.prediction is None
    assert result.scores is not None
    assert result.scores.shape == (3,)
    assert not torch.equal(before, net.layers[0].weight)
    with pytest.raises(ConfigError, match="no readout"):
        net.probabilities(torch.rand(4))
    with pytest.raises(ConfigError, match="no readout"):
        net.add_classes([1])


def test_labels_given_to_a_net_without_readout_do_no_harm() -> None:
    a, b = sh.StreamNet(sh.Dense(4, 3)), sh.StreamNet(sh.Dense(4, 3))
    x = torch.rand(4)
    a.step(x)
    b.step(x, 5)
    assert same(state_of(a), state_of(b))


def test_unlabelled_sample_moves_the_layers_but_not_the_readout() -> None:
    net = dense_net()
    net.step(torch.rand(4), 0)
    readout = copy.deepcopy(net.readout.state_dict())
    weight = net.layers[1].weight.clone()
    net.step(torch.rand(4))
    assert same(dict(net.readout.state_dict()), dict(readout))
    assert not torch.equal(weight, net.layers[1].weight)


def test_partly_labelled_batch_teaches_the_readout_its_labelled_rows_only() -> None:
    a, b = dense_net(), dense_net()
    x = samples(4, (4,))
    for net in (a, b):
        net.step(x, [0, 1, 0, 1])
    fa, fb = a.features(x), b.features(x)
    assert torch.equal(fa, fb)
    a.readout.learn(a.readout.observe(fa)[1], [1, None, None, 0])
    b.readout.learn(b.readout.observe(fb[[0, 3]])[1], [1, 0])
    torch.testing.assert_close(a.readout.weight, b.readout.weight, rtol=0, atol=1e-7)
    before = a.readout.updates.item()
    a.step(x, [None, None, None, None])
    assert a.readout.updates.item() == before


# -- modulator ---------------------------------------------------------------------------------


def test_modulator_multiplies_the_rate() -> None:
    x = torch.tensor([0.1, 0.9, 0.3, 0.4])

    def moved(modulator: Any) -> Tensor:
        net = sh.StreamNet(sh.Dense(4, 3, rule=sh.Hebb(), rate=0.01, scaling=sh.NoScaling()))
        before = net.layers[0].weight.clone()
        net.step(x, modulator=modulator)
        return net.layers[0].weight - before

    torch.testing.assert_close(moved(0.5), moved(1.0) * 0.5, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(moved(torch.tensor(-1.0)), -moved(1.0), rtol=1e-3, atol=1e-6)
    assert not moved(0.0).any()
    assert torch.equal(moved(np.float32(0.5)), moved(0.5))


@pytest.mark.parametrize(
    "bad", [float("nan"), float("inf"), "1", None, torch.ones(3), torch.tensor(float("nan"))]
)
def test_a_modulator_that_would_poison_the_weights_is_refused(bad: Any) -> None:
    net = dense_net()
    before = state_of(net)
    with pytest.raises(InputError, match="one finite number"):
        net.step(torch.rand(4), modulator=bad)
    assert same(state_of(net), before)


# -- seeds -------------------------------------------------------------------------------------


def test_seed_decides_the_weights_whatever_happened_before() -> None:
    a = conv_net(seed=3)
    torch.rand(17)
    b = conv_net(seed=3)
    assert same(state_of(a), state_of(b))
    c = conv_net(seed=4)
    assert not torch.equal(a.layers[1].weight, c.layers[1].weight)
    assert not torch.equal(a.layers[5].weight, c.layers[5].weight)


def test_seed_none_keeps_the_weights_that_the_layers_have() -> None:
    layer = sh.Dense(4, 3)
    given = torch.arange(12.0).view(3, 4)
    layer.set_weight(given)
    net = sh.StreamNet(layer, seed=None)
    assert torch.equal(net.layers[0].weight, given)


def test_building_a_net_leaves_the_global_generator_of_torch_in_the_hands_of_the_user() -> None:
    torch.manual_seed(5)
    layer = sh.Dense(4, 3)  # a bare layer draws from the global generator, as torch's do
    state = torch.get_rng_state()
    sh.StreamNet(layer, seed=1).step(torch.ones(4))
    assert torch.equal(torch.get_rng_state(), state)


# -- nets that cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: sh.StreamNet(), "at least one layer"),
        (lambda: sh.StreamNet(torch.nn.Linear(2, 2)), "layer 0 is a Linear"),
        (lambda: sh.StreamNet(sh.Dense(2, 2), on_bad="ignore"), "'raise', 'skip'"),
        (lambda: sh.StreamNet(sh.Dense(2, 2), seed="x"), "seed='x'"),
        (lambda: sh.StreamNet(sh.Dense(2, 2), seed=1.5), "seed=1.5"),
        (lambda: sh.StreamNet(sh.Flatten(), sh.Dense(4, 2)), "input_shape=(1, 28, 28)"),
        (lambda: sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout()), "n_in is not known"),
        (
            lambda: sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(4), input_shape=(2,)),
            "n_in=4 features, but 0:Dense gives 3",
        ),
        (
            lambda: sh.StreamNet(
                sh.Conv2d(1, 2, 3), readout=sh.SoftmaxReadout(), input_shape=(1, 5, 5)
            ),
            "Flatten() before the readout",
        ),
    ],
)
def test_a_net_that_cannot_be_built_says_why(build: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert words in str(caught.value)


def test_one_layer_in_two_places_is_refused() -> None:
    layer = sh.Dense(4, 4)
    with pytest.raises(ConfigError, match="stands twice"):
        sh.StreamNet(layer, sh.ReLU(), layer)


def test_layers_that_do_not_fit_are_named() -> None:
    with pytest.raises(ShapeError, match=r"layer 2:Dense: Dense\(9, 2\).*\(8,\).*n_in=8"):
        sh.StreamNet(sh.Dense(4, 8), sh.ReLU(), sh.Dense(9, 2), input_shape=(4,))
    net = sh.StreamNet(sh.Dense(4, 8), sh.ReLU(), sh.Dense(9, 2))
    with pytest.raises(ShapeError, match="layer 2:Dense"):
        net.step(torch.rand(4))
    assert net.input_shape is None  # a refused sample fixes nothing
    assert net.counts["samples"] == 0


def test_the_net_fills_in_the_readouts_number_of_features() -> None:
    readout = sh.RLSReadout()
    sh.StreamNet(sh.Conv2d(1, 5, 3), sh.Flatten(), readout=readout, input_shape=(1, 6, 6))
    assert readout.n_in == 80
    assert readout.inverse.shape == (81, 81)


# -- nets that explode -------------------------------------------------------------------------


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("target", [0, None])
def test_a_net_that_explodes_names_the_layer(readout: bool, target: Any) -> None:
    net = sh.StreamNet(
        sh.Dense(4, 4),
        sh.Dense(4, 3, rule=sh.Hebb(), rate=1e6, scaling=sh.NoScaling()),
        sh.ReLU(),
        readout=sh.SoftmaxReadout(3) if readout else None,
    )

    def explode() -> None:
        for _ in range(60):
            net.step(torch.ones(4), target)

    with pytest.raises(DivergedError, match=r"1:Dense is no longer finite.*lower its rate"):
        explode()
    with pytest.raises(DivergedError):  # and it does not go on in silence
        net.respond(torch.ones(4))


def test_activity_that_overflows_is_not_blamed_on_the_weights() -> None:
    net = sh.StreamNet(sh.Dense(4, 3), readout=None)
    with pytest.raises(DivergedError, match="the activity is no longer finite"):
        net.respond(torch.full((4,), 3e38))


# -- copies ------------------------------------------------------------------------------------


def test_a_deep_copy_goes_its_own_way() -> None:
    net = conv_net()
    x = samples(8, (1, 6, 6))
    for number in range(4):
        net.step(x[number], number % 2)
    before = state_of(net)
    twin = copy.deepcopy(net)
    assert same(state_of(twin), before)
    for number in range(4, 8):
        twin.step(x[number], number)  # classes appear in the copy
    assert same(state_of(net), before)
    for number in range(4, 8):
        net.step(x[number], number)
    assert same(state_of(net), state_of(twin))


def test_repr_marks_what_is_not_local() -> None:
    net = sh.StreamNet(sh.Dense(4, 3, scaling=sh.LayerMax()), sh.Dense(3, 2))
    assert "not local: LayerMax" in repr(net)
    assert net.nonlocal_parts() == {"0:Dense": ("LayerMax",)}
