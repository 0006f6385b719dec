"""The same net on a data set in mini-batches, and what its frozen features are worth.

You will see how long each step takes, and two accuracies on samples that were never learned from:
of the readout that learned with the net, and of a linear layer fitted afterwards to the features
(a linear probe, with Adam). No layer below ever saw a label.
"""

import argparse
import time

import torch

import streamhebb as sh
from streamhebb.evaluate import linear_probe
from streamhebb.sources import digits, mnist

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
parser.add_argument("--limit", type=int, help="training samples; all of them if left out")
parser.add_argument("--tested", type=int, help="test samples; all of them if left out")
parser.add_argument("--epochs", type=int, default=20, help="of the probe")
options = parser.parse_args()
torch.set_num_threads(1)  # small nets are seldom faster with more

read = {"digits": digits, "mnist": mnist}[options.data]
train, test = read("train", limit=options.limit), read("test", limit=options.tested)


def arrays(source):
    """All samples of a source as one tensor, and their labels."""
    samples = list(source)
    return torch.stack([sample.x for sample in samples]), [sample.target for sample in samples]


(x, y), (x_test, y_test) = arrays(train), arrays(test)
net = sh.build(options.data, input_shape=train.shape, classes=train.classes, seed=0)
start = time.perf_counter()
net.fit(x, y, batch_size=10)
print(f"{len(x)} samples of {options.data} learned in {time.perf_counter() - start:.1f} s")
print(f"readout that learned with the net: {net.score(x_test, y_test):.1%} of {len(x_test)} right")
print(f"features of one sample: {tuple(net.features(x[:1]).shape[1:])}")
# The defaults are the published ones, for 50,000 samples; a small set wants longer steps.
small = {"lr": 0.01, "dropout": 0.0} if options.data == "digits" else {}
found = linear_probe(net, (x, y), (x_test, y_test), epochs=options.epochs, **small)
print(f"linear probe after {options.epochs} epochs: {found.test_accuracy:.1%} right")
