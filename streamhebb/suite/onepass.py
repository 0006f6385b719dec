"""Every sample once: how good is a net after so many?"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from streamhebb.evaluate import NeuronLabels, features, linear_probe
from streamhebb.layers import Dense
from streamhebb.net import StreamNet
from streamhebb.presets import Prepared
from streamhebb.suite.about import NetTrial
from streamhebb.suite.passes import Learner, batches_between, loss_and_accuracy, rows_of
from streamhebb.suite.trial import Result, Work

STOPS = (1000, 5000, 10000, 30000, 60000)
"""Numbers of samples after which nets are measured."""


class OnePassTrial(NetTrial):
    """Layers and readout learn together from samples shown once, and are tested on the way.

    After a kill the pass begins anew; epochs of the probes that are through are not repeated.

    Three measures, each after every number of samples:

    * ``stream``: by the net's own readout, which learned from each sample once, as the layers did;
    * ``probe``: by a linear layer, fitted to the features of the samples seen so far as the layers
      make them then, in several epochs;
    * ``neurons``: by neurons that are named after the class they won most often among the samples
      seen so far. Only of a net whose first weights are a dense Hebbian layer's.

    Args:
        batch_size: samples a change of the weights.
        probe_epochs: of the linear layer.

    Example:
        >>> OnePassTrial(net="backprop-mnist-mlp").label()
        'one-pass backprop-mnist-mlp'
    """

    kind: Literal["one-pass"] = "one-pass"
    batch_size: int = Field(default=32, ge=1)
    probe_epochs: int = Field(default=10, ge=1)

    def run(self, work: Work) -> Result:
        """Learn, and stop here and there to measure."""
        trial = self.offline()
        built = trial.build()
        net = built.net.to(work.setup.device)
        data = work.noted(trial.read(built.stages[-1].data, work.setup.device))
        rows = rows_of(data.y, net.labels).to(data.x.device)
        learner = Learner(net)
        result: Result = {}
        order: list[Tensor] = []
        for seen, part in batches_between(len(data.x), self.batch_size, self.seed, STOPS):
            order.append(part)
            part = part.to(data.x.device)
            learner.step(data.x[part], rows[part])
            if seen in STOPS or seen == len(data.x):
                found = self.measure(net, data, torch.cat(order), work)
                result |= {f"{name} {seen} accuracy": value for name, value in found.items()}
                words = ", ".join(f"{name} {100 * value:.2f} %" for name, value in found.items())
                work.tell(f"after {seen} samples: {words}")
        net.save(work.folder.net)
        return result | {"test_accuracy": found["stream"]}

    def measure(self, net: StreamNet, data: Prepared, seen: Tensor, work: Work) -> dict[str, float]:
        """Test in all ways, with the labels of the samples seen so far."""
        rows = seen.to(data.x.device)
        x, y = data.x[rows], [data.y[row] for row in seen.tolist()]
        test_rows = rows_of(data.y_test, net.labels).to(data.x.device)
        found = {"stream": loss_and_accuracy(net, data.x_test, test_rows)[1]}
        # Test samples of classes that were not seen yet are read wrongly.
        seen_labels = set(y)
        known = [row for row, label in enumerate(data.y_test) if label in seen_labels]
        made = [features(net, each) for each in (x, data.x_test[known])]
        probed = linear_probe(
            None, (made[0], y), (made[1], [data.y_test[row] for row in known]),
            epochs=self.probe_epochs, batch_size=32, dropout=0.0, schedule="full", seed=self.seed,
            progress=work.folder.progress(f"probe-{len(seen)}"),
        )  # fmt: skip
        found["probe"] = probed.test_accuracy * len(known) / len(data.y_test)
        layer = next((each for each in net.layers if isinstance(each, Dense)), None)
        if layer is not None:
            found["neurons"] = neuron_accuracy(net, layer, (x, y), data)
        return found


@torch.no_grad()
def neuron_accuracy(net: Any, layer: Dense, seen: Any, data: Prepared) -> float:
    """Accuracy of neurons named after what they win among the samples seen."""
    named = NeuronLabels(layer.n_out)
    below = list(net.layers)[: list(net.layers).index(layer) + 1]

    def drives(x: Tensor) -> Any:
        for part in torch.split(x, 500):
            for each in below:
                part = each.respond(part)
            yield part

    start = 0
    for drive in drives(seen[0]):
        named.update(drive, seen[1][start : start + len(drive)])
        start += len(drive)
    return named.accuracy(torch.cat(list(drives(data.x_test))), data.y_test)
