"""A net built by hand learns handwritten digits from a stream, one sample at a time.

You will see the accuracy of the last 300 predictions rise to well above nine in ten, where a guess
would be right once in ten. Every prediction is made before its label is learned from. At the end
the net is saved.
"""

import argparse
from collections import deque

import torch

import streamhebb as sh
from streamhebb.sources import digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--limit", type=int, help="samples; all 1,797 if left out")
parser.add_argument("--save", default="digits.safetensors", help="where the net goes at the end")
options = parser.parse_args()
torch.set_num_threads(1)  # small nets are seldom faster with more

net = sh.StreamNet(
    sh.RunningNorm(1),
    sh.Conv2d(1, 32, kernel_size=3, padding=1),
    sh.Triangle(power=0.7),
    sh.MaxPool2d(2),
    sh.Flatten(),
    readout=sh.RLSReadout(classes=10, ridge=10.0),
    input_shape=(1, 8, 8),
    seed=0,
)
hits: deque[bool] = deque(maxlen=300)
for number, sample in enumerate(digits(seed=0, limit=options.limit), 1):
    result = net.step(sample)
    hits.append(result.prediction == sample.target)
    if number % 300 == 0:
        print(f"{number:5} samples: {sum(hits) / len(hits):.1%} of the last {len(hits)} right")
net.save(options.save)
print(f"{net.counts['learned']} samples learned from; the net is in {options.save}")
