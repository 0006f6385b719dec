"""One trial of a search: the accuracy on the way, and what it does not touch."""

from __future__ import annotations

import pytest
import torch

from streamhebb.errors import ConfigError
from streamhebb.presets import prepare
from streamhebb.search import Lookout, Search, Space, find_space
from streamhebb.search.objective import check_pruning, settings_line
from streamhebb.suite import OfflineTrial, Setup, TrialFolder, Work

SMALL = {"twin": True, "samples": 60, "tested": 20, "epochs": 1}
NET = "2SoftMlpMNIST"


def search(net=NET, space="radius", **more):
    settings = {"prune": "none", "window": 20, "report_every": 10} | more
    return Search(space=find_space(space), trial=OfflineTrial(net=net, **SMALL), **settings)


def nlms(batches, labels, window, lr=0.3):
    """Prequential accuracy after each mini-batch, value by value from the equation."""
    weights, hits, found = {}, [], []
    for rows, xs in batches:
        scores = [
            {c: sum(w * v for w, v in zip(ws, x, strict=True)) for c, ws in weights.items()}
            for x in xs
        ]
        for row, score in zip(rows, scores, strict=True):
            guess = max(score, key=score.get) if score else None
            hits.append(guess == labels[row])
        for row in rows:
            weights.setdefault(labels[row], [0.0] * len(xs[0]))
        before = {c: list(ws) for c, ws in weights.items()}
        for row, x in zip(rows, xs, strict=True):
            energy = sum(v * v for v in x)
            for c, ws in weights.items():
                y = sum(w * v for w, v in zip(before[c], x, strict=True))
                step = lr / len(rows) * ((c == labels[row]) - y) / energy
                for i, v in enumerate(x):
                    ws[i] += step * v
        last = hits[-window:]
        found.append((len(hits), sum(last) / len(last)))
    return found


def test_prequential_accuracy_is_that_of_a_loop():
    torch.manual_seed(0)
    labels = [0, 1, 2, 1, 0, 2, 2, 1, 0, 1, 0, 2] * 3
    order = torch.randperm(36).split(5)
    x = torch.rand(36, 2, 3) + torch.nn.functional.one_hot(torch.tensor(labels), 3)[:, None]
    lookout = Lookout(window=9, report_every=5)
    on_batch = lookout.watch(0, labels)
    for rows in order:
        on_batch(rows, x[rows])
    batches = [(rows.tolist(), x[rows].flatten(1).tolist()) for rows in order]
    wanted = [each for each in nlms(batches, labels, 9) if each[0] % 5 == 0]
    assert [at for at, _ in lookout.reports] == [5, 10, 15, 20, 25, 30, 35]
    assert lookout.reports == [(at, pytest.approx(share)) for at, share in wanted]
    assert lookout.reports[-1][1] > 0.4


def test_reports_come_at_the_same_counts_whatever_the_mini_batch():
    for size in (1, 3, 7):
        lookout = Lookout(window=5, report_every=10)
        on_batch = lookout.watch(0, ["a"] * 40)
        for rows in torch.arange(40).split(size):
            on_batch(rows, torch.ones(len(rows), 2))
        assert [at for at, _ in lookout.reports] == [10, 20, 30, 40]


def test_samples_without_labels_are_not_counted():
    lookout = Lookout(window=5, report_every=2)
    on_batch = lookout.watch(0, [None] * 4)
    on_batch(torch.arange(4), torch.ones(4, 2))
    assert lookout.reports == []


def test_layers_learn_as_they_do_unwatched(tmp_path):
    one = search("softhebb-cifar-1conv")
    point = {"block 0 r": 8.0, "seed": 3}
    watched = one.run(point, Setup())
    alone = one.at(point).run(Work(TrialFolder(tmp_path)))
    assert watched["layers"] == alone["layers"]
    assert watched["test_accuracy"] == alone["test_accuracy"]
    assert [at for at, _ in watched["prequential"]] == [10, 20, 30, 40]


def test_threads_change_nothing_that_is_reported():
    point = {"hidden rule": "soft", "hidden t": 1.0, "seed": 0}
    one = search("softhebb-cifar-2conv", "regimes")
    assert one.run(point, Setup())["prequential"] == one.run(point, Setup(threads=2))["prequential"]


def test_what_a_report_raises_ends_the_trial():
    seen = []

    def report(samples, accuracy):
        seen.append(samples)
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        search(report_every=40).run({"block 0 r": 8.0, "seed": 0}, Setup(), report)
    assert seen == [40]


def test_the_test_set_is_never_read(monkeypatch):
    opened = []
    real = prepare._open
    monkeypatch.setattr(
        prepare, "_open", lambda s, split, *more: opened.append(split) or real(s, split, *more)
    )
    search().run({"block 0 r": 8.0, "seed": 0}, Setup())
    assert set(opened) == {"train"}
    opened.clear()
    plain = OfflineTrial(net=NET, **SMALL)
    plain.read(plain.build().stages[0].data, "cpu")
    assert "test" in opened  # it would have been noticed


def test_changes_of_the_trial_stay_beside_those_of_the_point():
    base = OfflineTrial(net=NET, changes={"0": {"t": 3.0}}, **SMALL)
    one = Search(space=find_space("radius"), trial=base).at({"block 0 r": 8.0, "seed": 2})
    assert one.changes == {"0": {"t": 3.0, "radius": 8.0}}
    assert (one.seed, one.validation) == (2, True)


def test_activations_are_searched_too():
    one = search("softhebb-cifar-1conv", "3a")
    found = one.at({"block 0 activation": "repu_2"}).preset().blocks[0]
    assert found.activation == "repu_2"
    assert settings_line(one, {"block 0 activation": "repu_2"})[0].endswith("repu_2")


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"block": 7, "key": "r", "values": [1.0]}, "no block '7'"),
        ({"block": 0, "key": "r", "values": [-1.0]}, "radius"),
        ({"block": 0, "key": "rule", "values": ["sof"]}, "rule"),
        ({"block": 0, "key": "activation", "values": ["triangel_1"]}, "did you mean triangle"),
        ({"block": 0, "key": "t", "low": 0.0, "high": 1.0}, "t=0"),
    ],
)
def test_a_preset_that_cannot_be_so_is_refused_beforehand(parameter, words):
    space = Space(name="own", parameters=(parameter,))
    with pytest.raises((ConfigError, ValueError), match=words):
        Search(space=space, trial=OfflineTrial(net=NET))


@pytest.mark.parametrize(
    ("net", "key"),
    [("backprop-mnist-mlp", "r"), ("backprop-mnist-mlp", "t"), ("hard-wta-mnist-mlp", "t"),
     ("2SoftMlpMNIST_linearDecay", "lp")],
)  # fmt: skip
def test_what_the_rule_ignores_is_not_searched(net, key):
    space = Space(name="own", parameters=({"block": 0, "key": key, "low": 0.5, "high": 2.0},))
    with pytest.raises(ValueError, match=f"block 0 {key}: .* stays the same, for its rule ignores"):
        Search(space=space, trial=OfflineTrial(net=net))


def test_what_one_rule_uses_is_searched_with_it():
    rules = {"block": 0, "key": "rule", "values": ["hard", "soft"]}
    space = Space(name="own", parameters=(rules, {"block": 0, "key": "t", "values": [1.0, 2.0]}))
    Search(space=space, trial=OfflineTrial(net="hard-wta-mnist-mlp"))
    rate = {"block": 0, "key": "ls", "low": 0.0001, "high": 0.001, "log": True}
    Search(
        space=Space(name="own", parameters=(rate,)), trial=OfflineTrial(net="backprop-mnist-mlp")
    )


def test_reports_that_never_come_are_refused():
    base = OfflineTrial(net=NET, **SMALL)
    with pytest.raises(ConfigError, match="--report 6, or --prune none"):
        check_pruning(Search(space=find_space("radius"), trial=base))
    check_pruning(Search(space=find_space("radius"), trial=base, prune="none"))
