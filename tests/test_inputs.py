"""Bad input is refused before anything learns, and the message says value, allowed and cure."""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import streamhebb as sh
from streamhebb import inputs
from streamhebb.errors import (
    DeviceError,
    DTypeError,
    InputError,
    LabelError,
    NonFiniteError,
    ShapeError,
)


def make_net(**settings: Any) -> sh.StreamNet:
    settings.setdefault("readout", sh.SoftmaxReadout(5))
    return sh.StreamNet(sh.RunningNorm(4), sh.Dense(4, 5), sh.Triangle(), **settings)


def taught(**settings: Any) -> sh.StreamNet:
    net = make_net(**settings)
    for number, x in enumerate(torch.rand(6, 4, generator=torch.Generator().manual_seed(0))):
        net.step(x, number % 2)
    return net


def frozen(net: sh.StreamNet) -> dict[str, Any]:
    return copy.deepcopy(dict(net.state_dict()))


def unchanged(net: sh.StreamNet, before: dict[str, Any]) -> bool:
    """Every tensor, bit for bit; and every other value."""
    now = dict(net.state_dict())
    if now.keys() != before.keys():
        return False
    for name, old in before.items():
        new = now[name]
        if isinstance(old, Tensor):
            if not torch.equal(new, old):
                return False
        else:
            for key, value in old.items():
                there = new[key]
                ok = torch.equal(value, there) if isinstance(value, Tensor) else value == there
                if not ok:
                    return False
    return True


REFUSED = [
    # shapes
    (torch.rand(5), ShapeError, ["(5,)", "(4,)", "(B, 4)"]),
    (torch.rand(2, 3), ShapeError, ["(2, 3)", "(4,)"]),
    (torch.rand(1, 1, 4), ShapeError, ["(1, 1, 4)"]),
    (torch.tensor(1.0), ShapeError, ["()"]),
    (torch.rand(0, 4), ShapeError, ["empty micro-batch", "(0, 4)", "skip it"]),
    (torch.rand(0), ShapeError, ["(0,)"]),
    # kinds of numbers
    (torch.ones(4, dtype=torch.int64), DTypeError, ["torch.int64", "x.float()"]),
    (torch.ones(4, dtype=torch.uint8), DTypeError, ["torch.uint8", "x / 255"]),
    (torch.ones(4, dtype=torch.bool), DTypeError, ["torch.bool"]),
    (torch.ones(4, dtype=torch.complex64), DTypeError, ["torch.complex64", "abs(x)"]),
    (np.ones(4, np.int32), DTypeError, ["int32", "astype('float32')"]),
    (np.ones(4, np.uint8), DTypeError, ["uint8", "x / 255"]),
    (np.ones(4, np.complex128), DTypeError, ["complex128", "abs(x)"]),
    (np.array([1.0, None, 2.0, 3.0]), DTypeError, ["object", "dtype='float32'"]),
    (np.array(["1", "2", "3", "4"]), DTypeError, ["<U1", "floating point"]),
    # things that are no array at all
    (None, InputError, ["None", "a tensor, a numpy array, a list of numbers"]),
    ("0123", InputError, ["a str"]),
    (b"0123", InputError, ["a bytes"]),
    (1.0, InputError, ["a float"]),
    (object(), InputError, ["a object"]),
    ({1.0, 2.0}, InputError, ["a set"]),
    ([[1.0, 2.0], [3.0]], InputError, ["ragged list"]),
    (["1", "2", "3", "4"], InputError, ["a list that holds <U1", "list of numbers"]),
    ([1.0, None, 2.0, 3.0], InputError, ["a list that holds object"]),
    ([], InputError, ["(0,)"]),
    (torch.ones(4).to_sparse(), InputError, ["sparse_coo", "x.to_dense()"]),
    # features
    ({"a": 1.0}, InputError, ["(1,)", "(4,)"]),
    ({"a": "1.5", "b": 1, "c": 1, "d": 1}, InputError, ["'a' is '1.5'", "OneHotEncoder"]),
    ({"a": None, "b": 1, "c": 1, "d": 1}, InputError, ["'a' is None", "not a number"]),
    ({}, InputError, ["(0,)"]),
    # place
    (torch.ones(4, device="meta"), DeviceError, ["meta", "cpu", "x.to('cpu')", "net.to('meta')"]),
]


@pytest.mark.parametrize(
    ("x", "error", "words"), REFUSED, ids=[str(i) for i in range(len(REFUSED))]
)
@pytest.mark.parametrize("verb", ["step", "respond"])
def test_refused_before_anything_learns(
    verb: str, x: Any, error: type[Exception], words: list[str]
) -> None:
    net = taught()
    before = frozen(net)
    with pytest.raises(error) as caught:
        getattr(net, verb)(x)
    for word in words:
        assert word in str(caught.value)
    assert unchanged(net, before)
    fresh = make_net()
    before = frozen(fresh)
    with pytest.raises(InputError):
        getattr(fresh, verb)(x)
    assert unchanged(fresh, before)
    assert fresh.step(torch.rand(4)).sample == 0  # the first good sample finds a net untouched


def test_an_error_of_dtype_is_a_type_error_too() -> None:
    with pytest.raises(TypeError):
        make_net().step(torch.ones(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="int64"):
        make_net().step(torch.ones(4, dtype=torch.int64))


def test_a_net_elsewhere_names_both_places() -> None:
    net = make_net().to("meta")
    with pytest.raises(DeviceError, match="x is on cpu but the net is on meta"):
        net.step(torch.ones(4))


# -- NaN and infinity --------------------------------------------------------------------------

BAD = [float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("value", BAD)
def test_non_finite_raises_counts_and_changes_no_weight(value: float) -> None:
    net = taught()
    before = frozen(net)
    x = torch.rand(4)
    x[2] = value
    with pytest.raises(NonFiniteError, match=r"sample 6 holds 1 NaN or infinite values of 4.*skip"):
        net.step(x, 1)
    assert net.counts == {"samples": 7, "learned": 6, "non-finite": 1}
    net.counts.update(before["_extra_state"]["counts"])
    assert unchanged(net, before)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("label", [0, None, "new"])
def test_non_finite_skipped_counts_and_changes_no_weight(value: float, label: Any) -> None:
    net = taught(on_bad="skip")
    before = frozen(net)
    x = torch.rand(4)
    x[0] = value
    result = net.step(x, label)
    assert (result.prediction, result.scores, result.skipped) == (None, None, "non-finite")
    assert result.sample == 6
    assert net.counts == {"samples": 7, "learned": 6, "non-finite": 1}
    net.counts.update(before["_extra_state"]["counts"])
    assert unchanged(net, before)
    assert net.step(torch.rand(4), 0).skipped is None


def test_both_infinities_do_not_cancel_out() -> None:
    with pytest.raises(NonFiniteError, match="2 NaN or infinite"):
        make_net().step(torch.tensor([float("inf"), -float("inf"), 0.0, 0.0]))


def test_respond_refuses_too_and_counts_nothing() -> None:
    net = taught()
    counts = dict(net.counts)
    with pytest.raises(NonFiniteError):
        net.respond(torch.full((4,), float("nan")))
    assert net.counts == counts
    net = taught(on_bad="skip")
    counts = dict(net.counts)
    assert net.respond(torch.full((4,), float("nan"))).skipped == "non-finite"
    assert net.counts == counts


def test_a_micro_batch_with_one_bad_sample_is_refused_whole_and_counted_whole() -> None:
    net = taught(on_bad="skip")
    x = torch.rand(3, 4)
    x[1, 1] = float("nan")
    result = net.step(x, [0, 1, 0])
    assert result.skipped == "non-finite"
    assert net.counts == {"samples": 9, "learned": 6, "non-finite": 3}


def test_features_of_a_set_never_contain_nan_whatever_the_policy() -> None:
    x = torch.rand(3, 4)
    x[1, 1] = float("nan")
    for policy in ("raise", "skip"):
        with pytest.raises(NonFiniteError):
            make_net(on_bad=policy).features(x)


def test_a_float64_that_float32_cannot_hold_is_not_finite() -> None:
    net = taught()
    before = frozen(net)
    for x in (
        torch.full((4,), 1e300, dtype=torch.float64),
        np.full(4, 1e300),
        [1e300, 0.0, 0.0, 0.0],
    ):
        with pytest.raises(NonFiniteError, match=r"as torch.float32"):
            net.step(x, 0)
    net.counts.update(before["_extra_state"]["counts"])
    assert unchanged(net, before)
    with pytest.raises(NonFiniteError):
        net.step({"a": 1e300, "b": 0.0, "c": 0.0, "d": 0.0}, 0)
    assert make_net().double().step(torch.full((4,), 1e30, dtype=torch.float64)).skipped is None


def test_large_finite_values_are_not_mistaken_for_infinite_ones() -> None:
    assert inputs.all_finite(torch.full((4,), 3e38))  # their sum overflows
    assert not inputs.all_finite(torch.tensor([3e38, 3e38, float("inf")]))
    assert inputs.all_finite(torch.tensor([3e38, -3e38, 3e38, -3e38]))


# -- what is taken -----------------------------------------------------------------------------


def scores_of(x: Any) -> Tensor:
    scores = taught().respond(x).scores
    assert scores is not None
    return scores


def test_everything_that_holds_the_same_numbers_gives_the_same_scores() -> None:
    values = [0.5, 0.25, 0.0, 1.0]
    array = np.array(values, np.float32)
    read_only = array.copy()
    read_only.flags.writeable = False
    wanted = scores_of(torch.tensor(values))
    for x in (
        array,
        read_only,
        array[::-1].copy()[::-1],  # negative stride
        np.repeat(array, 2)[::2],  # holes
        array.astype(np.float64),
        array.astype(np.float16),
        array.astype(np.longdouble),
        array.astype(">f4"),
        array.astype(">f8"),
        values,
        tuple(values),
        [np.float32(value) for value in values],
        torch.tensor(values, dtype=torch.float64),
        torch.tensor(values, dtype=torch.float16),
        torch.tensor(values, dtype=torch.bfloat16),
        torch.tensor(values).repeat_interleave(3)[::3],
        torch.nn.Parameter(torch.tensor(values)),
        dict(zip("abcd", values, strict=True)),
        sh.Sample(array),
    ):
        assert torch.equal(scores_of(x), wanted), repr(x)


def test_whole_numbers_in_a_list_are_numbers() -> None:
    assert torch.equal(scores_of([1, 0, 0, 1]), scores_of(torch.tensor([1.0, 0.0, 0.0, 1.0])))


def test_non_contiguous_images() -> None:
    image = torch.rand(1, 6, 6)
    array = image.numpy()
    net = sh.StreamNet(sh.Conv2d(1, 3, 3), sh.Flatten(), readout=None)
    wanted = net.respond(image.flip(2)).scores
    assert torch.equal(net.respond(array[:, :, ::-1]).scores, wanted)
    turned = np.asfortranarray(array[:, :, ::-1])
    assert torch.equal(net.respond(turned).scores, wanted)
    assert torch.equal(net.respond(image.transpose(1, 2).flip(1).transpose(1, 2)).scores, wanted)


def test_a_read_only_array_gives_no_warning_and_stays_as_it_is() -> None:
    array = np.frombuffer(np.ones(4, np.float32).tobytes(), np.float32)
    make_net().step(array, 0)  # warnings are errors
    assert (array == 1).all()


def test_no_autograd_graph_is_kept() -> None:
    net = make_net()
    x = torch.rand(4, requires_grad=True)
    weight = torch.rand(4, requires_grad=True)
    result = net.step(x * weight, 0, activity=True)
    assert not any(value.requires_grad for value in net.state_dict().values() if _tensor(value))
    assert result.scores is not None
    assert not result.scores.requires_grad
    assert not any(value.requires_grad for value in result.activity.values())
    gc.collect()
    tensors = [o for o in gc.get_objects() if issubclass(type(o), Tensor)]
    kept = [o for o in tensors if o.grad_fn is not None]
    assert kept == []
    assert not net.respond(x).scores.requires_grad
    assert not net.features(x[None]).requires_grad


def _tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


# -- dicts of features -------------------------------------------------------------------------


def test_features_keep_the_order_of_the_first_sample() -> None:
    net = make_net()
    net.step({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, 0)
    result = net.respond({"d": 0.4, "c": 0.3, "b": 0.2, "a": 0.1})
    assert torch.equal(result.scores, net.respond({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}).scores)
    # the same values as a vector
    assert torch.equal(result.scores, net.respond([0.1, 0.2, 0.3, 0.4]).scores)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ({"a": 1, "b": 1, "c": 1}, "missing ['d'], new []"),
        ({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, "missing [], new ['e']"),
        ({"a": 1, "b": 1, "c": 1, "e": 1}, "missing ['d'], new ['e']"),
    ],
)
def test_features_that_change_are_named(x: Any, words: str) -> None:
    net = make_net()
    net.step({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, 0)
    with pytest.raises(InputError) as caught:
        net.step(x, 0)
    assert words in str(caught.value)
    assert net.counts["samples"] == 1


def test_a_refused_first_dict_names_no_features() -> None:
    net = make_net()
    with pytest.raises(ShapeError):
        net.step({"x": 1.0}, 0)
    with pytest.raises(InputError):
        net.step({"a": "1", "b": 1, "c": 1, "d": 1}, 0)
    net.step({"d": 0.1, "c": 0.2, "b": 0.3, "a": 0.4}, 0)
    assert net.counts["samples"] == 1


# -- labels ------------------------------------------------------------------------------------

BAD_LABELS = [
    (2, ["label 2", "outside the classes 0, 1", "classes=None"]),
    (-1, ["label -1", "0, 1"]),
    ("0", ["label '0'", "0, 1"]),
    (2.5, ["label 2.5", "int, str or bool"]),
    (float("nan"), ["label nan", "int, str or bool"]),
    (b"x", ["bytes"]),
    ({1}, ["set"]),
    (torch.tensor([0.0, 1.0]), ["2 labels", "1 samples", "argmax"]),
    ([0, 1], ["2 labels", "1 samples"]),
    ([[0, 1]], ["[0, 1]", "one-hot"]),
    ([], ["0 labels"]),
]


@pytest.mark.parametrize(("label", "words"), BAD_LABELS, ids=[repr(b[0]) for b in BAD_LABELS])
def test_a_label_that_cannot_be_teaches_nothing_at_all(label: Any, words: list[str]) -> None:
    net = taught(readout=sh.SoftmaxReadout(5, classes=2))
    before = frozen(net)
    with pytest.raises(LabelError) as caught:
        net.step(torch.rand(4), label)
    for word in words:
        assert word in str(caught.value)
    assert unchanged(net, before)  # neither the layers nor the counters
    with pytest.raises(LabelError):  # the same in a micro-batch, beside a good one
        net.step(torch.rand(2, 4), [0, label])
    assert unchanged(net, before)


@pytest.mark.parametrize(
    "labels", [[0], [0, 1, 0], 0, "ab", torch.tensor([0]), np.zeros(3, int), np.eye(2), []]
)
def test_one_label_a_sample(labels: Any) -> None:
    net = taught()
    before = frozen(net)
    with pytest.raises(LabelError):
        net.step(torch.rand(2, 4), labels)
    assert unchanged(net, before)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1],
        (0, 1),
        torch.tensor([0, 1]),
        torch.tensor([0.0, 1.0]),
        np.array([0, 1]),
        np.array([0.0, 1.0]),
        np.array([0, 1], np.uint8),
        [torch.tensor(0), np.int64(1)],
        [np.float32(0), 1.0],
    ],
)
def test_labels_of_a_micro_batch_come_in_many_clothes(labels: Any) -> None:
    net = make_net()
    net.step(torch.rand(2, 4), labels)
    assert net.readout is not None
    assert net.readout.labels == (0, 1)
    assert [type(label) for label in net.readout.labels] == [int, int]


def test_a_series_like_thing_is_a_list_of_labels() -> None:
    class Series:
        def tolist(self) -> list[int]:
            return [0, 1]

    assert inputs.targets(Series(), 2, False) == [0, 1]
