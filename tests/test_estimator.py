"""River's and scikit-learn's verbs; and the two libraries themselves."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import streamhebb as sh
from streamhebb.errors import ConfigError, InputError, LabelError, NonFiniteError


def make_net(**settings: Any) -> sh.StreamNet:
    settings.setdefault("readout", sh.SoftmaxReadout(6, lr=0.05))
    return sh.StreamNet(sh.RunningNorm(4), sh.Dense(4, 6), sh.Triangle(), **settings)


def digits_net(**settings: Any) -> sh.StreamNet:
    return sh.StreamNet(
        sh.Dense(64, 200, rate=sh.NormRate(0.01)),
        sh.Triangle(),
        sh.L2Norm(3.0),
        readout=sh.RLSReadout(200, ridge=0.1),
        **settings,
    )


@pytest.fixture(scope="module")
def digits() -> Any:
    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32)[:900], y[:900]


def blobs(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Two clouds that a line separates."""
    source = np.random.default_rng(seed)
    y = source.integers(0, 2, count)
    x = source.normal(size=(count, 4)).astype(np.float32) * 0.3 + y[:, None] * [[1, -1, 1, 0]]
    return x.astype(np.float32), y


# -- River -------------------------------------------------------------------------------------


def test_river_runs_a_net_inside_its_own_pipeline() -> None:
    from river import datasets, evaluate, metrics, preprocessing

    net = sh.StreamNet(sh.Dense(9, 20), sh.Triangle(), readout=sh.SoftmaxReadout(20, lr=0.02))
    model = preprocessing.StandardScaler() | net
    metric = evaluate.progressive_val_score(
        datasets.Phishing().take(1000), model, metrics.Accuracy()
    )
    assert metric.get() > 0.8
    assert net.counts == {"samples": 1000, "learned": 1000, "non-finite": 0}
    assert net.readout is not None
    assert sorted(net.readout.labels) == [False, True]
    assert all(isinstance(label, bool) for label in net.readout.labels)


def test_river_metrics_of_probabilities_and_delayed_labels() -> None:
    from river import evaluate, metrics

    x, y = blobs(300)
    rows = [dict(zip("abcd", row, strict=True)) for row in x]
    net = make_net(readout=sh.SoftmaxReadout(6, lr=0.01))
    data = zip(rows, map(bool, y), strict=True)
    loss = evaluate.progressive_val_score(data, net, metrics.LogLoss())
    assert 0 < loss.get() < 0.5  # 0.69 is chance
    net = make_net(readout=sh.SoftmaxReadout(6, lr=0.01))
    data = zip(rows, map(bool, y), strict=True)
    accuracy = evaluate.progressive_val_score(data, net, metrics.Accuracy(), delay=5)
    assert accuracy.get() > 0.85


def test_river_takes_it_for_a_classifier() -> None:
    from river import base, metrics

    net = make_net()
    assert isinstance(net, base.Classifier)
    assert metrics.Accuracy().works_with(net)


def test_river_verbs() -> None:
    net = make_net()
    x = dict(zip("abcd", [0.1, 0.2, 0.3, 0.4], strict=True))
    assert net.predict_one(x) is None
    assert net.predict_proba_one(x) == {}
    assert net.learn_one(x, "yes") is None
    net.learn_one(x, "no")
    before = copy.deepcopy(dict(net.readout.state_dict()))
    assert net.predict_one(x) in ("yes", "no")
    shares = net.predict_proba_one(x)
    assert set(shares) == {"yes", "no"}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    assert max(shares, key=shares.__getitem__) == net.predict_one(x)
    assert torch.equal(before["weight"], net.readout.weight)
    net.learn_one(x)  # unlabelled
    assert net.counts["learned"] == 3


def test_river_verbs_on_a_bad_sample() -> None:
    bad = dict.fromkeys("abcd", float("nan"))
    good = dict.fromkeys("abcd", 0.5)
    net = make_net(on_bad="skip")
    net.learn_one(good, 0)
    assert net.predict_one(bad) is None
    assert net.predict_proba_one(bad) == {}
    net.learn_one(bad, 0)
    assert net.counts["non-finite"] == 1
    net = make_net()
    net.learn_one(good, 0)
    for verb in (net.predict_one, net.predict_proba_one, net.learn_one):
        with pytest.raises(NonFiniteError):
            verb(bad)


# -- scikit-learn ------------------------------------------------------------------------------


def test_sklearn_pipeline(digits: Any) -> None:
    x, y = digits
    model = make_pipeline(StandardScaler(), digits_net())
    model.fit(x[:700], y[:700])
    found = model.predict(x[700:])  # warnings are errors: it knows that it is fitted
    assert found.shape == (200,)
    assert found.dtype.kind == "i"
    assert model.score(x[700:], y[700:]) == (found == y[700:]).mean() > 0.85
    probabilities = model.predict_proba(x[700:])
    assert probabilities.shape == (200, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert model[-1].transform(x[:3]).shape == (3, 200)


def test_sklearn_cross_validation_starts_each_fold_afresh(digits: Any) -> None:
    x, y = digits
    net = digits_net()
    model = make_pipeline(StandardScaler(), net)
    scores = cross_val_score(model, x[:500], y[:500], cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert scores.min() > 0.7
    assert net.counts["samples"] == 0  # the net that was given stays as it is
    again = cross_val_score(model, x[:500], y[:500], cv=3, error_score="raise")
    assert (scores == again).all()


def test_a_clone_is_untrained_and_equal_to_a_fresh_net() -> None:
    net, fresh = make_net(seed=5), make_net(seed=5)
    x, y = blobs(40)
    for row, label in zip(x, y, strict=True):
        net.step(dict(zip("abcd", row, strict=True)), int(label))
    twin = clone(net)
    assert twin.counts == {"samples": 0, "learned": 0, "non-finite": 0}
    assert twin.readout.labels == ()
    for (name, a), b in zip(twin.named_buffers(), fresh.buffers(), strict=True):
        assert torch.equal(a, b), name
    assert torch.equal(twin.generator.get_state(), fresh.generator.get_state())
    twin.step(dict.fromkeys("efgh", 0.5), "other features, other labels")
    assert net.readout.labels != twin.readout.labels


def test_sklearn_knows_what_it_is() -> None:
    net = make_net()
    assert is_classifier(net)
    with pytest.raises(NotFittedError):
        check_is_fitted(net)
    net.step(torch.rand(4), 0)
    check_is_fitted(net)


def test_partial_fit_is_step_after_step() -> None:
    x, y = blobs(30)
    a, b = make_net(), make_net()
    assert a.partial_fit(x, y) is a
    for row, label in zip(x, y, strict=True):
        b.step(row, int(label))
    for left, right in zip(a.buffers(), b.buffers(), strict=True):
        assert torch.equal(left, right)


def test_partial_fit_takes_classes_before_they_appear() -> None:
    x, y = blobs(5)
    net = make_net().partial_fit(x, np.zeros(5), classes=np.unique([0.0, 1.0, 2.0]))
    assert net.readout.labels == (0, 1, 2)
    fixed = make_net(readout=sh.SoftmaxReadout(6, classes=2))
    with pytest.raises(LabelError, match="label 2"):
        fixed.partial_fit(x, y, classes=[0, 1, 2])
    assert fixed.counts["samples"] == 0


def test_fit_takes_arrays_loaders_pairs_and_samples() -> None:
    x, y = blobs(64)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size=16
    )
    parts = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    nets = []
    for data in (
        (x, y),
        (torch.from_numpy(x), torch.from_numpy(y)),
        (x.tolist(), y.tolist()),
        (loader,),
        (parts,),
        ([sh.Sample(a, target=b) for a, b in parts],),
    ):
        settings = {"batch_size": 16} if len(data) == 2 else {}
        nets.append(make_net().fit(*data, epochs=2, **settings))
    for net in nets[1:]:
        assert net.counts["learned"] == 128
        for left, right in zip(nets[0].buffers(), net.buffers(), strict=True):
            assert torch.equal(left, right)


def test_fit_learns_whole_numbers_as_scikit_learn_hands_them_out() -> None:
    x = np.array([[0, 1, 2, 3], [3, 2, 1, 0]] * 10)
    net = make_net().fit(x, [0, 1] * 10, batch_size=1)
    assert net.score(x, [0, 1] * 10) == 1.0
    assert torch.equal(net.features(x.astype(np.float32)), net.features(x))


def test_fit_without_labels() -> None:
    x, _ = blobs(32)
    net = make_net(readout=None).fit(x)
    assert net.counts["learned"] == 32
    assert net.transform(x).shape == (32, 6)


def test_fit_measures_kernels_once_with_a_mini_batch_and_only_if_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    choose = sh.StreamNet.choose_kernels

    def spy(self: Any, x: Any) -> dict[str, str]:
        asked.append(len(x))
        return choose(self, x)

    monkeypatch.setattr(sh.StreamNet, "choose_kernels", spy)
    net, x, y = make_net(), np.random.default_rng(0).random((30, 4)), [0, 1, 2] * 10
    net.fit(x, y, batch_size=7, epochs=2)
    assert not asked
    net.fit(x, y, batch_size=7, epochs=2, tune=True)
    assert asked == [7]
    assert net.counts["learned"] == 120  # what is measured is not learned from
    net.fit([(x[:5], y[:5]), (x[5:], y[5:])], tune=True)
    assert asked == [7, 5]


def test_score_of_anything_that_yields_labelled_samples() -> None:
    x, y = blobs(60)
    net = make_net().fit(x, y, epochs=3, batch_size=4)
    wanted = net.score(x, y)
    assert 0.8 < wanted <= 1
    assert net.score([(x[:30], y[:30]), (x[30:], y[30:])]) == wanted
    assert net.score(zip(x, y, strict=True)) == wanted  # one sample at a time
    assert net.score(sh.Sample(a, target=b) for a, b in zip(x, y, strict=True)) == wanted
    assert net.score(x, y.astype(float)) == wanted
    half = [label if number < 30 else None for number, label in enumerate(y.tolist())]
    assert net.score(x, half) == net.score(x[:30], y[:30])  # what is unknown does not count


def test_predictions_stand_where_their_samples_do() -> None:
    x, y = blobs(10)
    net = make_net(on_bad="skip")
    assert net.predict(x).tolist() == [None] * 10  # no class is known yet
    net.fit(x, np.where(y, "yes", "no"))
    assert set(net.predict(x)) <= {"yes", "no"}
    x[4, 0] = np.nan
    found = net.predict(x, batch_size=2)
    assert found[4] is None
    assert found[5] is None
    assert None not in found[[0, 1, 2, 3, 6, 7, 8, 9]].tolist()
    assert net.score(x[4:5], ["yes"]) == 0.0


# -- bad input ---------------------------------------------------------------------------------

X, Y = blobs(6)

BAD_CALLS = [
    (lambda n: n.fit(X, Y, epochs=0), ConfigError, "epochs=0"),
    (lambda n: n.fit(X, Y, batch_size=0), ConfigError, "batch_size=0"),
    (lambda n: n.fit(X, Y, batch_size=-4), ConfigError, "batch_size=-4"),
    (lambda n: n.fit([]), ConfigError, "nothing to learn from"),
    (lambda n: n.fit(iter([(X, Y)]), epochs=2), ConfigError, "again.*pass 2"),
    (lambda n: n.fit(X, Y[:5]), LabelError, "5 labels were given for 6 samples"),
    (lambda n: n.fit(X, np.eye(6)), LabelError, "one-hot"),
    (lambda n: n.partial_fit(X, Y[:5]), LabelError, "5 labels were given for 6 samples"),
    (lambda n: n.score(X, Y[:5]), LabelError, "5 labels were given for 6 samples"),
    (lambda n: n.score(X), InputError, "no sample has a label"),
    (lambda n: n.score(X[:0], Y[:0]), InputError, "nothing to score"),
    (lambda n: n.score(X, np.eye(6)), LabelError, "one-hot"),
    (lambda n: n.score([(X, 0)]), LabelError, "1 labels were given for 6 samples"),
    (lambda n: n.predict(iter(X)), InputError, "give an array of samples"),
    (lambda n: n.predict([[1.0, 2.0], [3.0]]), InputError, "ragged list"),
    (lambda n: n.predict(X[:, :3]), InputError, r"\(6, 3\)"),
    (lambda n: n.predict(X[0]), InputError, r"\(4,\); give a set of samples.*X\[None\]"),
    (lambda n: n.fit(X[0], Y[:1]), InputError, r"\(4,\); give a set"),
    (lambda n: n.predict_proba(X[:0]), InputError, "empty"),
    (lambda n: n.features(X[:0]), InputError, "empty"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD_CALLS)
def test_bad_calls(call: Any, error: Any, words: str) -> None:
    net = make_net().fit(X, Y)
    with pytest.raises(error, match=words):
        call(net)


def test_probabilities_have_sorted_columns_whatever_class_came_first() -> None:
    net = sh.StreamNet(sh.Dense(2, 3), readout=sh.SoftmaxReadout(3, lr=0.5, step="plain"))
    x = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    for _ in range(20):
        net.partial_fit(x, ["zebra", "ant"])
    assert net.labels == ("zebra", "ant")
    assert list(net.classes_) == ["ant", "zebra"]
    assert [net.classes_[i] for i in net.predict_proba(x).argmax(1)] == list(net.predict(x))
