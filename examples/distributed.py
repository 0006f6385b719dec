"""The same net in several processes: each sees a share of every mini-batch, all learn the same.

Start it by torchrun, which also spans machines:

    torchrun --nproc-per-node 2 examples/distributed.py

You will see the same accuracies with --nproc-per-node 1. The net is in double precision for that:
with less, differences of rounding grow, and a sample or two of the test set go another way.
On cards put the net on `cuda:LOCAL_RANK` and take "nccl" for "gloo" (this was not tried).
"""

import argparse
from datetime import timedelta

import torch
import torch.distributed as dist

import streamhebb as sh
from streamhebb.distributed import join
from streamhebb.evaluate import Phase, plan_phases, train_phases
from streamhebb.sources import digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--limit", type=int, help="training samples; all of them if left out")
parser.add_argument("--epochs", type=int, default=20, help="of the readout")
parser.add_argument("--save", help="a snapshot, written by the first process")
options = parser.parse_args()
torch.set_num_threads(1)
# Whoever waits longer than this for the others says so and ends.
dist.init_process_group("gloo", timeout=timedelta(seconds=60))


def arrays(source):
    """All samples of a source as one tensor, and their labels."""
    samples = list(source)
    return torch.stack([sample.x for sample in samples]), [sample.target for sample in samples]


# Every process has the same net and the same data; shares are taken inside.
train, test = arrays(digits("train", seed=0, limit=options.limit)), arrays(digits("test"))
net = sh.StreamNet(
    sh.BatchNorm(1),
    sh.Conv2d(1, 32, 3, padding=1, rate=sh.NormRate(0.08), scaling=sh.LayerMax()),
    sh.Triangle(0.7),
    sh.MaxPool2d(2),
    sh.Flatten(),
    readout=sh.SoftmaxReadout(classes=10, lr=0.01),
    input_shape=(1, 8, 8),
    seed=0,
).double()
supervised = Phase(epochs=options.epochs, batch_size=64)
plan = plan_phases(net, unsupervised=Phase(batch_size=10), supervised=supervised)
with join(net) as processes:
    for report in train_phases(net, plan, train, test, report_every=options.epochs):
        if processes.rank == 0 and report.test_accuracy is not None:
            done = f"epoch {report.epoch} of the readout, {processes.size} processes"
            print(f"{done}: {report.test_accuracy:.1%} of the test set right")
    if processes.rank == 0 and options.save:
        net.save(options.save)
dist.destroy_process_group()
