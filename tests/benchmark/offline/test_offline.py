"""The offline run as one command, and its probe's step: they do what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import streamhebb as sh
from streamhebb.benchmark.commands import app
from streamhebb.benchmark.offline import cifar10, probe
from streamhebb.errors import ConfigError
from streamhebb.evaluate import Phase, features, linear_probe, train_phases
from streamhebb.schedule import Serial

CHANCE = torch.Generator().manual_seed(0)
X = torch.rand(120, 3, 8, 8, generator=CHANCE)
Y = [n % 3 for n in range(120)]
for n, label in enumerate(Y):
    X[n, label] += 1  # a colour each


def small(seed: int = 0) -> sh.StreamNet:
    parts: dict[str, Any] = {"scaling": sh.LayerMax(), "rate": sh.NormRate(0.05)}
    return sh.StreamNet(
        sh.BatchNorm(3), sh.Conv2d(3, 6, 3, padding=1, **parts), sh.Triangle(), sh.MaxPool2d(2),
        sh.BatchNorm(6), sh.Conv2d(6, 8, 3, padding=1, **parts), sh.Triangle(), sh.Flatten(),
        input_shape=(3, 8, 8), seed=seed,
    )  # fmt: skip


SETS = (X[:90], Y[:90]), (X[90:], Y[90:])


def test_it_is_a_pass_features_and_a_probe() -> None:
    told: list[str] = []
    found = cifar10.run_seed(
        4, *SETS, net=small(), method="direct", batch_size=9, epochs=12, tell=told.append
    )
    net = small()
    (learned,) = train_phases(net, Phase((0, 1), batch_size=9, seed=4), (X[:90], None))
    sets = (features(net, X[:90]), Y[:90]), (features(net, X[90:]), Y[90:])
    wanted = linear_probe(None, *sets, epochs=12, seed=4)
    assert found.test_accuracy == wanted.test_accuracy > 0.6
    assert found.train_accuracy == wanted.train_accuracy
    assert [epoch.epoch for epoch in found.epochs] == [1, 11, 12]
    assert found.convergence == learned.convergence
    assert (found.images, found.tested, found.seed) == (90, 30, 4)
    parts = found.learn_seconds, found.feature_seconds, found.test_feature_seconds
    assert 0 < sum(parts) + found.probe_seconds <= found.seconds
    assert len(told) == 3 + 3


@pytest.mark.parametrize("method", ["direct", "winograd4"])
def test_threads_kept_features_and_their_precision_change_time_only(
    method: str, tmp_path: Path
) -> None:
    def run(**settings: Any) -> Any:
        net = small()
        found = cifar10.run_seed(1, *SETS, net=net, method=method, epochs=3, **settings)
        assert found.kernels == {"1:Conv2d": method, "5:Conv2d": method}
        assert isinstance(net.scheduler, Serial)
        return [epoch.loss for epoch in found.epochs]

    alone = run()
    assert run(threads=2) == alone
    assert run(threads=2, keep=tmp_path) == alone
    assert len(list(tmp_path.glob("*.npy"))) == 2
    assert run(keep=tmp_path) == alone
    assert run(half=True) == pytest.approx(alone, rel=0.02)


def test_kernels_may_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cifar10.run_seed(1, *SETS, net=small(), method="tune", epochs=1)
    assert set(found.kernels) == {"1:Conv2d", "5:Conv2d"}
    with pytest.raises(ConfigError, match="method='fft'.*'tune'"):
        cifar10.run_seed(1, *SETS, net=small(), method="fft")


def test_the_command_runs_on_real_images_and_writes_down_everything(
    data_dir: Path, tmp_path: Path
) -> None:
    net = tmp_path / "small.yaml"
    net.write_text(
        "layers:\n"
        "  - BatchNorm\n"
        "  - {type: Conv2d, n_out: 8, kernel_size: 5, scaling: LayerMax}\n"
        "  - Triangle\n"
        "  - {type: MaxPool2d, kernel_size: 4}\n"
        "  - Flatten\n",
        encoding="utf-8",
    )
    out = tmp_path / "cifar10.json"
    words = f"cifar10 --limit 60 --epochs 2 --seeds 0,1 --net {net} --kernels torch --out {out}"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert "over 2 seeds" in result.output
    kept = json.loads(out.read_text("utf-8"))
    assert kept["torch"] == torch.__version__
    assert kept["settings"]["workers"] == 2
    assert [row["seed"] for row in kept["cifar10"]] == [0, 1]
    assert {row["images"] for row in kept["cifar10"]} == {60}
    assert kept["cifar10"][0]["epochs"][-1]["epoch"] == 2
    alone = cifar10.run_seed(1, *cifar10.read(60), net=str(net), epochs=2)
    assert kept["cifar10"][1]["test_accuracy"] == alone.test_accuracy
    assert kept["cifar10"][1]["epochs"][-1]["loss"] == alone.epochs[-1].loss


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cifar10 --seeds one", "seeds='one'"),
        ("cifar10 --threads 0", "threads=0"),
        ("probe --rounds 0", "rounds=0"),
        ("probe --features -3", "features=-3"),
    ],
)
def test_bad_words(words: str, said: str) -> None:
    result = CliRunner().invoke(app, words.split())
    assert isinstance(result.exception, ConfigError)
    assert said in str(result.exception)


def test_the_plain_step_of_the_probe_is_the_same_but_for_chance() -> None:
    """Without dropout both sides do the same arithmetic."""
    x, y = torch.rand(64, 50), torch.randint(probe.CLASSES, (64,))
    plain = probe.PlainProbe(x, y, 0.0)
    mine = probe.Probe(x, y, x[:1], y[:1], probe.CLASSES, 0.0, 16, 1e-3, 0)
    mine.layer.weight.copy_(plain.layer.weight.detach())
    mine.layer.bias.copy_(plain.layer.bias.detach())
    batches = torch.randperm(64).split(16)
    plain.run(batches)
    mine.run(batches)
    weight = plain.layer.weight.detach()
    torch.testing.assert_close(mine.layer.weight, weight, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [1, 2])
def test_steps_are_measured(count: int, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    rows = probe.compare(features=80, batch=8, samples=40, count=count, rounds=2, steps=2)
    assert [row.way for row in rows] == [
        "plain",
        "torch, float32", "torch, half precision", "numba, float32", "numba, half precision",
        "plain, dropout alone", "torch, dropout alone", "numba, dropout alone",
    ]  # fmt: skip
    assert all(row.ms > 0 and row.lowest <= row.times <= row.highest for row in rows)
    assert rows[0].times == rows[5].times == 1
    assert torch.get_num_threads() == before
    out = tmp_path / "probe.json"
    words = f"probe --features 64 --samples 64 --batch-size 8 --rounds 1 --out {out}"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert len(json.loads(out.read_text("utf-8"))["probe"]) == 8
