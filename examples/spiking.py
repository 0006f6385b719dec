"""A spiking net learns handwritten digits: spikes in, spikes out, weights changed by spike timing.

You will see the accuracy of the last 300 predictions, of a net whose synapses learn and of the same
net with its first, random weights. Only the readout ever sees a label. Spiking neurons need norse:
pip install 'streamhebb[spiking]'.
"""

import argparse
from collections import deque

import torch

import streamhebb as sh
from streamhebb.sources import digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--limit", type=int, help="samples; all 1,797 if left out")
options = parser.parse_args()
torch.set_num_threads(1)  # small nets are seldom faster with more


def spiking_net(rate):
    """Values become spikes by chance; the neuron of highest voltage learns from its spikes."""
    return sh.StreamNet(
        sh.Flatten(),
        sh.L2Norm(3.5),
        sh.Poisson(steps=30, rate=300.0),  # 30 steps of 1 ms
        sh.Dense(
            64,
            200,
            neuron=sh.LIFBox(v_th=0.5),
            rule=sh.PostSTDP(tau=0.005, target=0.5, mu=0.0),
            competition=sh.HardWTA(),
            threshold=sh.AdaptiveThreshold(target=0.05, rate=0.002),
            constraint=sh.Clip(-1.0, 1.0),
            init=sh.Positive(3.0),
            scaling=sh.NoScaling(),
            rate=rate,
            pre_triangle=True,
        ),
        sh.SpikeCount(),
        readout=sh.RLSReadout(classes=10, ridge=10.0, forget=0.999),
        input_shape=(1, 8, 8),
        seed=0,
    )


nets = {"spike timing": spiking_net(0.01), "random weights": spiking_net(0.0)}
hits = {name: deque(maxlen=300) for name in nets}
for number, sample in enumerate(digits(seed=0, limit=options.limit), 1):
    for name, net in nets.items():
        hits[name].append(net.step(sample).prediction == sample.target)
    if number % 300 == 0:
        shares = ", ".join(f"{name} {sum(right) / len(right):.1%}" for name, right in hits.items())
        print(f"{number:5} samples: {shares}")
