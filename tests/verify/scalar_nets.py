"""Blocks and the demo network, written once more with loops around the scalar layer."""

import numpy as np

from tests.verify.scalar import Layer


class Norm:
    """Batch norm without learned scale."""

    def __init__(self, channels):
        self.mean, self.var = np.zeros(channels), np.ones(channels)

    def __call__(self, x, train):
        out = np.empty_like(x)
        for c in range(len(self.mean)):
            values = x[:, c]
            mean, var = self.mean[c], self.var[c]
            if train:
                n, mean = values.size, values.mean()
                var = ((values - mean) ** 2).sum() / n
                self.mean[c] = 0.9 * self.mean[c] + 0.1 * mean
                self.var[c] = 0.9 * self.var[c] + 0.1 * var * n / (n - 1)
            out[:, c] = (values - mean) / np.sqrt(var + 1e-5)
        return out


def triangle(u, power):
    return np.maximum(u - u.mean(1, keepdims=True), 0) ** power


def pool(x, kind, kernel, stride, padding):
    batch, channels, height, width = x.shape
    edge = -np.inf if kind == "max" else 0.0
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    wide = np.pad(x, sides, constant_values=edge)
    oh = (height + 2 * padding - kernel) // stride + 1
    ow = (width + 2 * padding - kernel) // stride + 1
    out = np.empty((batch, channels, oh, ow))
    for y in range(oh):
        for c in range(ow):
            window = wide[:, :, y * stride :, c * stride :][:, :, :kernel, :kernel]
            out[:, :, y, c] = window.max((2, 3)) if kind == "max" else window.mean((2, 3))
    return out


def block(x, w0, cfg, power, pooling, after):
    """Arrays of a block: norm, layer, triangle, perhaps a norm, pool."""
    layer, norms = Layer(w0, cfg), [Norm(x.shape[2])] + [Norm(len(w0))] * after
    out = {}

    def run(batch, train):
        layer.forward(norms[0](batch.astype(np.float64), train))
        z = triangle(layer.folded(layer.u), power)
        z = norms[1](z, train) if after else z
        return pool(z, *pooling)

    for step in range(len(x) - 1):
        out[f"train_out{step}"] = run(x[step], True)
        layer.learn(x.shape[1])
        out[f"w{step + 1}"] = layer.w.copy()
        for j, norm in enumerate(norms):
            out[f"bn{j}_mean{step}"], out[f"bn{j}_var{step}"] = norm.mean.copy(), norm.var.copy()
    out["eval_out"], out["lr_after"] = run(x[-1], False), layer.rate()
    return out


POOLS = (("max", 4, 2, 1), ("max", 4, 2, 1), ("avg", 2, 2, 0))


def demo(images, eval_images, weights, readout, bias, t, lr, power):
    """Arrays of the demo network after all mini-batches."""
    layers = [
        Layer(w, {"softness": "softkrotov", "t": t[i], "lr": lr[i], "power": power, "p": p})
        for i, (w, p) in enumerate(zip(weights, (2, 1, 1), strict=True))
    ]
    norms = [Norm(w.shape[1]) for w in weights]

    def run(batch, train):
        z = (batch / np.float32(255)).astype(np.float32).astype(np.float64)
        for layer, norm, act, pooling in zip(layers, norms, (0.7, 1.4, 1), POOLS, strict=True):
            layer.forward(norm(z, train))
            z = pool(triangle(layer.folded(layer.u), act), *pooling)
        return z.reshape(len(z), -1)

    for batch in images:
        run(batch, True)
        for layer in layers:
            layer.learn(len(batch))
    features = run(eval_images, False)
    out = {"eval_features": features, "eval_logits": features @ readout.T + bias}
    for n, (layer, norm) in enumerate(zip(layers, norms, strict=True), 1):
        out |= {f"conv{n}_w_after": layer.w, f"bn{n}_mean": norm.mean, f"bn{n}_var": norm.var}
    return out
