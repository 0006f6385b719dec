"""N processes learn what one learns; what would differ is refused; nobody waits for ever."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

import streamhebb as sh
from streamhebb.distributed import join
from streamhebb.distributed.fitting import adds_up, why_not
from streamhebb.errors import ConfigError
from streamhebb.layers import BackpropDense, Delay, Layer, Poisson
from streamhebb.peers import rows_of
from streamhebb.wake import OnChange

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "tests" / "distributed" / "worker.py"

pytestmark = [
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="this torch has no gloo"
    ),
    pytest.mark.timeout(250),  # seconds where cores are free; processes wait for the slowest one
]


def start(size: int, check: str, folder: Path) -> None:
    """Run a check of worker.py in several processes; all must end well."""
    command = [sys.executable, "-W", "error", str(WORKER)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(folder / "store"), check],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(size)
    ]  # fmt: skip
    try:
        said = [one.communicate(timeout=240)[0] for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    for rank, (one, text) in enumerate(zip(running, said, strict=True)):
        assert one.returncode == 0, f"process {rank}: {text}"
        assert text.strip().endswith("ok"), f"process {rank}: {text}"


@pytest.mark.parametrize("size", [2, 3])  # 3: shares of unlike size, and some without a sample
def test_several_processes_learn_what_one_does(size, tmp_path):
    start(size, "equal", tmp_path)


def test_what_differs_between_processes_is_noticed(tmp_path):
    start(2, "errors", tmp_path)


def test_a_process_that_dies_or_hangs_is_noticed(tmp_path):
    start(2, "lost", tmp_path)


# -- without other processes -----------------------------------------------------------------------


@pytest.fixture
def group():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class OwnLayer(Layer):
    learns = True

    def respond(self, x: torch.Tensor) -> torch.Tensor:
        return x


@dataclasses.dataclass(frozen=True)
class MeanRule:
    """Takes the mean over the mini-batch, which no sum of shares gives."""

    competes = False

    def init(self, n_in, n_out):
        return {}

    def terms(self, seen, state):
        outer = sh.Hebb().terms(seen, state)[0].outer[0]
        return sh.LocalUpdate((outer._replace(post=outer.post / len(outer.post)),)), state


REFUSED: dict[str, tuple[Any, str]] = {
    "rule with state": (lambda: sh.Dense(4, 3, rule=sh.BCM()), "threshold, age"),
    "two rules, one with state": (
        lambda: sh.Dense(4, 3, rule=sh.Both(sh.Hebb(), sh.BCM())), "second_threshold"),
    "traces": (lambda: sh.Dense(4, 3, rule=sh.LPL()), "use carry=False"),
    "lateral": (lambda: sh.Dense(4, 3, lateral=sh.Lateral()), "lateral=None"),
    "delay": (lambda: Delay(1), "leave it out"),
    "chance": (lambda: Poisson(3), "leave it out"),
    "gradient": (lambda: BackpropDense(4, 3), "DistributedDataParallel"),
    "own layer": (OwnLayer, "in a way of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_differ_is_refused_at_the_start(name, group):
    make, words = REFUSED[name]
    net = sh.StreamNet(make(), input_shape=(4,))
    with pytest.raises(ConfigError, match=words) as found:
        join(net)
    assert "0:" in str(found.value)
    assert net.peers is None


def test_a_net_whose_layers_do_not_wait_for_each_other_is_refused(group):
    with pytest.raises(ConfigError, match="wake=None"):
        join(sh.StreamNet(sh.Dense(4, 3), wake=OnChange()))
    for scheduler in (sh.Threads(2), "auto"):
        with (
            sh.StreamNet(sh.Dense(4, 3), scheduler=scheduler) as net,
            pytest.raises(ConfigError, match="set_scheduler"),
        ):
            join(net)


def test_a_scheduler_given_afterwards_is_refused(group):
    net = sh.StreamNet(sh.Dense(4, 3))
    with join(net), pytest.raises(ConfigError, match="scheduler=Threads"):
        net.scheduler = sh.Threads(2)
        net.step(torch.ones(2, 4))
    net.close()


def test_before_there_is_a_group_joining_is_refused():
    with pytest.raises(ConfigError, match="init_process_group"):
        join(sh.StreamNet(sh.Dense(4, 3)))


def test_a_copy_of_a_net_is_by_itself(group):
    net = sh.StreamNet(sh.BatchNorm(4), sh.Dense(4, 3))
    with join(net):
        for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            assert other.peers is None
            assert all(layer.peers is None for layer in other.layers)
            assert other.planner.peers is None


def test_one_process_alone_learns_as_without(group):
    x = torch.rand(5, 4)
    nets = [sh.StreamNet(sh.RunningNorm(4), sh.Dense(4, 3)) for _ in range(2)]
    with join(nets[0]):
        nets[0].step(x)
    nets[1].step(x)
    assert torch.allclose(nets[0].layers[1].weight, nets[1].layers[1].weight, rtol=1e-6)


def test_snapshots_know_nothing_of_processes(group, tmp_path):
    net, path = sh.StreamNet(sh.Dense(4, 3)), tmp_path / "net.safetensors"
    with join(net):
        net.step(torch.ones(2, 4))
        net.save(path)
    assert torch.equal(sh.load(path).layers[0].weight, net.layers[0].weight)


def test_rules_add_up_or_not():
    for rule in (sh.SoftHebb(), sh.Oja(), sh.Hebb(), sh.Sanger(), sh.Instar(), sh.Outstar()):
        assert adds_up(rule), rule
    assert not adds_up(MeanRule())
    assert "not the sum" in why_not(sh.StreamNet(sh.Dense(4, 3, rule=MeanRule())))[0]


def test_shares_cover_every_row_once():
    for rows in range(12):
        for size in range(1, 6):
            found = [i for rank in range(size) for i in range(rows)[rows_of(rank, size, rows)]]
            assert found == list(range(rows))
