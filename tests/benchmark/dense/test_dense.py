"""The sides of `streamhebb bench dense` do the same, and the command tells what it measured."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from streamhebb import kernels
from streamhebb.benchmark.commands import app
from streamhebb.benchmark.dense import command, compare
from streamhebb.benchmark.dense.plain import Law, in_place, plain
from streamhebb.errors import ConfigError
from streamhebb.kernels import changing


def by_hand(weight, x, law):
    """One step of the paper's equations, number by number."""
    n_out, n_in = weight.shape
    u = [[sum(weight[j][i] * row[i] for i in range(n_in)) for j in range(n_out)] for row in x]
    delta = torch.zeros(n_out, n_in, dtype=weight.dtype)
    for row, drive in zip(x, u, strict=True):
        total = sum(torch.exp(law.t * each) for each in drive)
        winner = max(range(n_out), key=lambda j: drive[j])
        for j in range(n_out):
            y = torch.exp(law.t * drive[j]) / total * (1 if j == winner else -1)
            for i in range(n_in):
                delta[j, i] += y * (row[i] - drive[j] * weight[j][i])
    largest, after = delta.abs().max(), weight.clone()
    for j in range(n_out):
        radius = sum(each**2 for each in weight[j]) ** 0.5
        after[j] += law.lr * (abs(radius - 1) + 1e-10) ** law.power * delta[j] / largest
    return after


@pytest.mark.parametrize("make", [plain, in_place])
@pytest.mark.parametrize("batch", [1, 3])
def test_plain_calls_are_the_equation(make, batch):
    chance = torch.Generator().manual_seed(batch)
    weight = torch.randn(5, 4, generator=chance).double()
    x, law = torch.rand(batch, 4, generator=chance).double(), Law(t=0.7)
    expected = by_hand(weight, x, law)
    first = weight.clone()
    torch.testing.assert_close(make(weight, law)(x), x @ first.T)
    torch.testing.assert_close(weight, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("large", [1, 1 << 30])
def test_all_sides_do_the_same(monkeypatch, batch, backend, large):
    monkeypatch.setattr(changing, "LARGE", large)  # by rows, or whole
    with kernels.use(backend):
        assert compare.difference(batch, steps=5, n_in=30, n_out=40) < 1e-12


def test_another_arithmetic_would_be_noticed(monkeypatch):
    monkeypatch.setattr(compare, "LAW", Law(lr=0.081))
    net = compare.make_net(30, 40)
    monkeypatch.setattr(compare, "make_net", lambda n_in, n_out: net)
    monkeypatch.setattr(compare, "LAW", Law())
    assert compare.difference(steps=3, n_in=30, n_out=40) > 1e-6


def test_all_sides_are_measured():
    before = torch.get_num_threads()
    found, peak = compare.compare(2, 2, rounds=2, seconds=1e-4, n_in=20, n_out=30)
    assert [(row.way, row.learns) for row in found] == [
        ("plain", True), ("plain, in place", True),
        ("torch", True), ("torch, in blocks", True), ("torch", False),
        ("numba", True), ("numba, in blocks", True), ("numba", False),
    ]  # fmt: skip
    assert found[0].took.times == 1
    assert all(row.took.us > 0 and row.took.times > 0 and row.of_floor > 0 for row in found)
    assert all(row.threads == 2 and row.batch == 2 for row in found)
    assert min(peak.gflops, peak.copied, peak.weighed) > 0
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("batch", "bound"), [(1, "memory"), (64, "products")])
def test_the_floor_is_by_memory_or_by_products(monkeypatch, batch, bound):
    """At 1e11 multiplications and 1 matrix of 100 numbers copied in 1e-8 seconds."""
    monkeypatch.setattr(compare.peaks, "product", lambda: lambda: 1e-11)
    monkeypatch.setattr(compare.peaks, "copy", lambda rows, columns: lambda: 1e-8)
    found, peak = compare.compare(batch, 1, ways=["torch"], rounds=1, seconds=0, n_in=5, n_out=20)
    floors = {"memory": 1e-2, "products": 1e6 * 64 * 100 * 2 * 1e-11}
    learns, looks = found[-2:]
    assert {learns.bound, looks.bound} == {bound}
    assert learns.floor == pytest.approx(floors[bound])
    assert looks.floor == pytest.approx(floors[bound] / 2)
    assert learns.of_floor == pytest.approx(learns.floor / learns.took.us)
    assert peak.gflops == pytest.approx(200)
    assert peak.copied == pytest.approx(80)


def invoke(*words):
    return CliRunner().invoke(app, ["dense", *words])


def test_the_table_the_picture_and_the_file(tmp_path):
    out, picture = tmp_path / "dense.json", tmp_path / "deep" / "dense.png"
    words = "--batches", "1,2", "--threads", "1", "--rounds", "1", "--seconds", "0.0001"
    sizes = "--inputs", "20", "--neurons", "30", "--out", str(out), "--picture", str(picture)
    result = invoke(*words, *sizes, "--ways", "torch")
    assert result.exit_code == 0, result.output
    assert "apart" in result.output
    assert len([line for line in result.output.splitlines() if "plain, in place" in line]) == 2
    assert "numba" not in result.output
    assert picture.read_bytes()[1:4] == b"PNG"
    kept = json.loads(out.read_text())
    assert len(kept["dense"]) == 2 * 5
    assert kept["apart"] < 1e-12
    assert kept["processor"]
    assert kept["versions"]["numba"]
    assert kept["settings"]["n_out"] == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--batches", "ten"), "batches='ten'"),
        (("--threads", "0"), "threads"),
        (("--ways", "fast"), "ways='fast'"),
        (("--rounds", "0"), "rounds"),
        (("--neurons", "-3"), "neurons"),
        (("--seconds", "0"), "seconds"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch, words, message):
    monkeypatch.setattr(command, "difference", lambda *given, **named: pytest.fail("measured"))
    result = invoke(*words)
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
