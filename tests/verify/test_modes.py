"""Training runs and named neurons: what must be refused, and what must be seen."""

import copy

import numpy as np
import pytest

from streamhebb.verify import verify_folder
from streamhebb.verify.modes import read_preset
from tests.verify import scalar, scalar_nets
from tests.verify.test_layers import load

BLOCK = {
    "arch": "CNN", "preset": "softkrotov-c4-k3-p1-s1-d1-b0-t0.8-lr0.03-lp0.5-e0", "num": 0,
    "operation": "batchnorm2d", "activation": "triangle_0.7", "pool": "avg_2_2_0",
    "batch_norm": False,
}  # fmt: skip
READOUT = {"arch": "MLP", "preset": "BP-c10", "operation": "flatten", "num": 1, "dropout": 0}


def trained():
    """A block learns for two epochs, then a readout for two: plain loops, and Adam's equations."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 4, 2, 4, 4)).astype(np.float32)
    x_test = rng.standard_normal((5, 2, 4, 4)).astype(np.float32)
    y, y_test = rng.integers(0, 3, (3, 4)), rng.integers(0, 3, 5)
    w0 = rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    v0 = (0.1 * rng.standard_normal((3, 16))).astype(np.float32)
    b0 = (0.1 * rng.standard_normal(3)).astype(np.float32)
    out = {"x": x, "y": y, "x_test": x_test, "y_test": y_test}
    out |= {"b0_w0": w0, "b1_w0": v0, "classifier_b0": b0}
    short = {"softness": "softkrotov", "t": 0.8, "lr": 0.03, "power": 0.5, "p": 1}
    layer, norm = scalar.Layer(w0, short), scalar_nets.Norm(2)

    def features(batch, train):
        layer.forward(norm(batch.astype(np.float64), train))
        z = scalar_nets.triangle(layer.folded(layer.u), 0.7)
        return scalar_nets.pool(z, "avg", 2, 2, 0).reshape(len(batch), -1)

    log = []
    for epoch in range(2):
        for batch in x:
            features(batch, True)
            layer.learn(len(batch))
        apart = np.abs(layer.radius() - 1)
        log.append([epoch + 1, 0, 0, apart.mean(), (apart < 0.01).sum()])
    out |= {"after_t0_b0_w": layer.w, "log_t0": np.array(log)}
    out |= {"after_t0_b0_bn0_mean": norm.mean, "after_t0_b0_bn0_var": norm.var}

    w = np.concatenate([v0, b0[:, None]], 1).astype(np.float64)
    m, v, step, log = np.zeros_like(w), np.zeros_like(w), 0, []
    seen = [np.concatenate([features(b, False), np.ones((len(b), 1))], 1) for b in (*x, x_test)]

    def measure(z, labels):
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        loss = -np.log(p[np.arange(len(labels)), labels]).mean()
        return p, loss, (z.argmax(1) == labels).sum()

    for epoch in range(2):
        loss, right = 0.0, 0
        for rows, labels in zip(seen[:3], y, strict=True):
            p, mean, hits = measure(rows @ w.T, labels)
            loss, right, step = loss + mean, right + hits, step + 1
            grad = (p - np.eye(3)[labels]).T @ rows / len(rows)
            m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
            w -= 0.002 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        _, test_loss, hits = measure(seen[3] @ w.T, y_test)
        log.append([epoch + 1, loss / 12, 100 * right / 12, test_loss / 5, 100 * hits / 5])
    out |= {"after_t1_b1_w": w[:, :-1], "after_t1_classifier_b": w[:, -1]}
    out |= {"log_t1": np.array(log), "logits_test": seen[3] @ w.T}
    arrays = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in out.items()}
    phases = {
        "t0": {"blocks": [0], "mode": "unsupervised", "lr": 0.03},
        "t1": {"blocks": [1], "mode": "supervised", "lr": 0.002},
    }
    meta = {
        "mode": "successive", "net": {"b0": BLOCK, "b1": READOUT}, "phases": phases,
        "nb_epoch_unsup": 2, "nb_epoch_sup": 2, "training_blocks": None,
        "dataset": {"training_sample": 12, "batch_size": 4},
    }  # fmt: skip
    return arrays, meta


@pytest.fixture(scope="module")
def case():
    return trained()


def verify(folder, arrays, meta):
    scalar.write(folder / "case.npz", arrays, meta)
    (result,) = verify_folder(folder).results
    return result


def changed(meta, *path, value):
    meta = copy.deepcopy(meta)
    place = meta
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return meta


def test_a_run_in_phases_passes(case, tmp_path):
    result = verify(tmp_path, *case)
    assert result.status == "passed", result
    assert result.notes == ()
    assert set(result.worst) == {"float32", "float64"}


def test_consecutive_is_the_same_here(case, tmp_path):
    arrays, meta = case
    assert verify(tmp_path, arrays, meta | {"mode": "consecutive"}).status == "passed"


def test_a_wrong_entry_of_any_array_fails(case, tmp_path):
    arrays, meta = case
    for key in sorted(arrays.keys() - {"y", "y_test"}):
        wrong = {k: v.copy() for k, v in arrays.items()}
        flat = wrong[key].reshape(-1)
        flat[0] += 2e-3 * max(np.abs(flat).max(), 1.0)
        assert verify(tmp_path, wrong, meta).status == "failed", key


def test_every_column_of_a_log_is_seen(case, tmp_path):
    arrays, meta = case
    for key, column in (("log_t0", 3), ("log_t0", 4), *(("log_t1", c) for c in range(5))):
        wrong = {k: v.copy() for k, v in arrays.items()}
        wrong[key][1, column] += 1e-3 * max(wrong[key][1, column], 1.0)
        assert verify(tmp_path, wrong, meta).status == "failed", (key, column)


@pytest.mark.parametrize("key", ["y", "y_test"])
def test_other_labels_fail(case, tmp_path, key):
    arrays, meta = case
    assert verify(tmp_path, arrays | {key: (arrays[key] + 1) % 3}, meta).status == "failed"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("phases", "t1", "lr"), 0.001),
        (("nb_epoch_unsup",), 1),
        (("net", "b0", "activation"), "triangle_1"),
        (("net", "b0", "preset"), BLOCK["preset"].replace("t0.8", "t0.9")),
        (("net", "b0", "operation"), ""),
    ],
)
def test_every_setting_matters(case, tmp_path, path, value):
    arrays, meta = case
    assert verify(tmp_path, arrays, changed(meta, *path, value=value)).status == "failed"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("mode",), "backwards", "mode backwards"),
        (("net", "b0", "preset"), "BP-c4-k3", "block 0 is BP"),
        (("net", "b0", "preset"), "bcm-c4-k3", "rule bcm"),
        (("net", "b0", "pool"), "median_2_2_0", "block 0: pool"),
        (("net", "b0", "dropout"), 0.5, "random"),
        (("net", "b1", "preset"), "soft-c3", "a readout is needed"),
        (("net", "b1", "dropout"), 0.5, "random"),
    ],
)
def test_not_supported(case, tmp_path, path, value, said):
    arrays, meta = case
    result = verify(tmp_path, arrays, changed(meta, *path, value=value))
    assert result.status == "not supported"
    assert said in result.reason


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("net",), [], "meta has no net"),
        (("net", "b0"), 3, "by their presets"),
        (("net", "b0", "preset"), "softkrotov-c4-kx", "k needs a whole number"),
        (("phases",), [], "no table"),
        (("phases", "t0", "blocks"), [1], "meta's phases train [[1], [1]]"),
        (("dataset",), None, "batch_size=None"),
        (("nb_epoch_sup",), 1.5, "nb_epoch_sup=1.5"),
        (("training_blocks",), [7], "blocks (7,)"),
    ],
)
def test_damage(case, tmp_path, path, value, said):
    arrays, meta = case
    result = verify(tmp_path, arrays, changed(meta, *path, value=value))
    assert result.status == "failed"
    assert said in result.reason


@pytest.mark.parametrize("key", ["x", "y_test", "b0_w0", "b1_w0", "classifier_b0", "log_t1"])
def test_a_missing_array_fails(case, tmp_path, key):
    arrays, meta = case
    result = verify(tmp_path, {k: v for k, v in arrays.items() if k != key}, meta)
    assert result.status == "failed"
    assert key in result.reason


def test_presets():
    assert read_preset("supervisedsoftkrotov-c5-t12-lr0.045-r35-v0") == {
        "softness": "supervisedsoftkrotov", "t": 12, "lr": 0.045, "adaptive": False,
    }  # fmt: skip
    assert read_preset("softkrotov-k5-p2-a0.1-lb3-e1") == {
        "softness": "softkrotov", "p": 2, "delta": 0.1, "lb": 3, "tri": True,
    }  # fmt: skip


# -- named neurons -------------------------------------------------------------------------------


def named():
    rng = np.random.default_rng(5)
    pre = rng.standard_normal((30, 4)).astype(np.float32)
    pre[:, 2] = -9  # never wins
    wta = rng.random((30, 4)).astype(np.float32)
    targets = rng.integers(0, 3, 30)
    winners = pre.argmax(1)
    labels = [
        max(range(3), key=lambda c, j=j: (winners[targets == c] == j).sum()) for j in range(4)
    ]
    labels[2] = max(range(3), key=lambda c: wta[targets == c, 2].sum())
    labels = np.array(labels)
    accuracy = np.float64(100 * (labels[winners] == targets).mean())
    return {
        "pre": pre, "wta": wta, "targets": targets, "winners": winners, "labels": labels,
        "accuracy": accuracy,
    }  # fmt: skip


def test_named_neurons_pass_and_wrong_ones_fail(tmp_path):
    arrays = named()
    result = verify(tmp_path, arrays, {})
    assert result.status == "passed", result
    for key, wrong in (
        ("labels", (arrays["labels"] + 1) % 3),
        ("winners", arrays["winners"][::-1]),
        ("accuracy", arrays["accuracy"] + 1),
        ("targets", (arrays["targets"] + 1) % 3),
        ("wta", -arrays["wta"]),
        ("targets", arrays["targets"] + 0.5),
        ("pre", arrays["pre"][1:]),
    ):
        assert verify(tmp_path, arrays | {key: wrong}, {}).status == "failed", key


def test_the_published_runs_see_wrong_settings(golden, tmp_path):
    if not (golden / "modes_successive.npz").is_file():
        pytest.skip("modes_successive is not among the reference vectors")
    arrays, meta = load(golden / "modes_successive.npz")
    wrong = changed(meta, "net", "b1", "preset", value=meta["net"]["b0"]["preset"])
    assert verify(tmp_path, arrays, wrong).status == "failed"
