"""The published layer written once more, with loops, from its equations alone.

Nothing of the library is used, so that agreement means something. Everything is float64.
"""

import json
from pathlib import Path

import numpy as np

STEPS = 20


def single(value):
    return float(np.float32(value))


def mirrored(index, length):
    """Where a reflected pixel comes from."""
    if index < 0:
        return -index
    return 2 * (length - 1) - index if index >= length else index


def patches(image, cfg, kernel):
    """What each output pixel sees: a list of (C, k, k)."""
    channels, height, width = image.shape
    s, p, d = cfg.get("s", 1), cfg.get("p", 0), cfg.get("d", 1)
    zeros = cfg.get("pad", "reflect") == "zeros"
    oh = (height + 2 * p - d * (kernel - 1) - 1) // s + 1
    ow = (width + 2 * p - d * (kernel - 1) - 1) // s + 1
    seen = []
    for oy in range(oh):
        for ox in range(ow):
            patch = np.zeros((channels, kernel, kernel))
            for ky in range(kernel):
                for kx in range(kernel):
                    y, x = oy * s + ky * d - p, ox * s + kx * d - p
                    if not zeros:
                        y, x = mirrored(y, height), mirrored(x, width)
                    if 0 <= y < height and 0 <= x < width:
                        patch[:, ky, kx] = image[:, y, x]
            seen.append(patch)
    return seen, (oh, ow)


def shares(u, cfg):
    """S of one competition."""
    fn = cfg.get("fn", "exp")
    if fn == "exp":
        power = [np.exp(single(cfg["t"]) * (value - max(u))) for value in u]
    elif fn == "relu":
        power = [max(0.0, value) for value in u]
    elif fn == "repu":
        power = [max(0.0, value) ** 15 for value in u]
    elif fn == "sigmoid":
        power = [1 / (1 + np.exp(-value)) for value in u]
    elif fn == "tanh":
        power = [np.tanh(value) for value in u]
    total = sum(power)
    return [value / total if total else 0.0 for value in power]


def factors(u, cfg):
    """Y of one competition."""
    rule, winner = cfg["softness"], int(np.argmax(u))
    if rule in ("hard", "hardkrotov"):
        y = [float(i == winner) for i in range(len(u))]
        if rule == "hardkrotov":
            y[sorted(range(len(u)), key=lambda i: -u[i])[cfg["rank"] - 1]] = -single(cfg["delta"])
        return y
    share = shares(u, cfg)
    if rule == "soft":
        return share
    if not cfg.get("mode", 0):
        return [value if i == winner else -value for i, value in enumerate(share)]
    ranked = sorted(range(len(u)), key=lambda i: -u[i])[cfg["rank"] - 1]
    against = share[ranked] if cfg["mode"] == 1 else 1.0
    return [
        -single(cfg["delta"]) * against if i == ranked else value for i, value in enumerate(share)
    ]


class Layer:
    """One layer, its weights, and one forward pass."""

    def __init__(self, w0, cfg):
        self.w = w0.astype(np.float64)
        self.cfg = cfg
        self.conv = w0.ndim == 4
        self.k = len(w0)
        self.groups = cfg.get("g", 1)
        self.p = cfg.get("lb", 2)
        self.b = None
        if cfg.get("bias"):
            self.b = np.full(self.k, single(np.log(1 / self.k) / single(cfg["t"])))
        self.step = 0

    def radius(self):
        return np.array([(np.abs(w) ** self.p).sum() ** (1 / self.p) for w in self.w])

    def rate(self):
        cfg = self.cfg
        if cfg.get("adaptive", True):
            return cfg["lr"] * (np.abs(self.radius() - 1) + 1e-10) ** cfg["power"]
        lr, done = cfg["lr"], self.step * cfg.get("ratio", 0) / cfg.get("nb_epochs", 1)
        if cfg.get("decay", "linear") == "linear":
            return max(0.0, lr * (1 - done))
        if cfg["decay"] == "exp":
            v = cfg.get("speed", 7 if self.conv else 0.4)
            div = cfg.get("div", 96 if self.conv else 100)
            low = (lr / div - lr * np.exp(-v)) / (1 - np.exp(-v))
            return low + (lr - low) * np.exp(-v * done)
        return lr

    def forward(self, x):
        """Lists over competitions: what each neuron sees, u, y."""
        self.seen, self.u, self.y, self.s = [], [], [], []
        per = self.k // self.groups
        for sample in x.astype(np.float64):
            found, self.sides = (
                patches(sample, self.cfg, self.w.shape[2]) if self.conv else ([sample], ())
            )
            for patch in found:
                parts = np.split(patch, self.groups) if self.conv else [patch]
                u = []
                for i in range(self.k):
                    w, part = self.w[i], parts[i // per]
                    u.append((np.sign(w) * np.abs(w) ** (self.p - 1) * part).sum())
                    u[-1] += 0 if self.b is None else self.b[i]
                if self.cfg.get("tri"):
                    mean = sum(u) / len(u)
                    u = [max(0.0, value - mean) for value in u]
                y, s = [], []
                for start in range(0, self.k, per):
                    y += factors(u[start : start + per], self.cfg)
                    own = u[start : start + per]
                    hard = self.cfg["softness"].startswith("hard")
                    s += factors(own, {"softness": "hard"}) if hard else shares(own, self.cfg)
                self.seen.append(parts)
                self.u.append(u)
                self.y.append(y)
                self.s.append(s)

    def change(self):
        per = self.k // self.groups
        raw = np.zeros_like(self.w)
        for parts, u, y in zip(self.seen, self.u, self.y, strict=True):
            for i in range(self.k):
                raw[i] += y[i] * (parts[i // per] - u[i] * self.w[i])
        scale = [np.abs(part).max() + 1e-30 for part in np.split(raw, self.groups)]
        scaled = np.concatenate(
            [part / c for part, c in zip(np.split(raw, self.groups), scale, strict=True)]
        )
        return raw, scaled, np.array(scale)

    def bias_change(self, samples):
        n, total = len(self.y), np.sum(self.y, 0)
        if self.cfg.get("fn", "exp") == "relu":
            change = total - n * self.b - samples
        else:
            prior = np.exp(single(self.cfg["t"]) * self.b)
            change = (total - n * prior) / prior
        return change / (np.abs(change).max() + 1e-30)

    def learn(self, samples):
        rate, (_, scaled, _) = self.rate(), self.change()
        wide = np.broadcast_to(rate, (self.k,)).reshape(-1, *(1,) * (self.w.ndim - 1))
        change = None if self.b is None else self.bias_change(samples)
        rows = slice(self.cfg.get("nb_train"))
        self.w[rows] += (wide * scaled)[rows]
        if self.b is not None:
            c = single(1 / single(self.cfg["t"]))
            self.b = self.b + single(single(rate) * c) * change
        self.step += 1

    def folded(self, values):
        rows = np.array(values)
        if not self.conv:
            return rows
        return rows.reshape(-1, *self.sides, self.k).transpose(0, 3, 1, 2)


def reference(x, w0, cfg):
    """Every array of a layer case."""
    layer = Layer(w0, cfg)
    out = {}
    layer.forward(x[0])
    out["u"], out["y"] = layer.folded(layer.u), layer.folded(layer.y)
    out["dw_raw"], out["dw"], out["dw_scale"] = layer.change()
    out["lr0"] = layer.rate()
    if layer.b is not None:
        out["b0"], out["db"] = layer.b, layer.bias_change(len(x[0]))
    norms, rates, wins, winner, against = [], [], np.zeros(layer.k), [], []
    for step in range(STEPS):
        batch = x[step % len(x)]
        layer.forward(batch)
        rates.append(layer.rate())
        wins += np.sum(layer.s, 0)
        best = [s[int(np.argmax(u))] for s, u in zip(layer.s, layer.u, strict=True)]
        winner.append(np.mean(best))
        if cfg.get("mode"):
            order = [sorted(range(layer.k), key=lambda i: -u[i]) for u in layer.u]
            ranked = [s[o[cfg["rank"] - 1]] for s, o in zip(layer.s, order, strict=True)]
            against.append(np.mean(ranked))
        else:
            against.append(1 - winner[-1])
        layer.learn(len(batch))
        norms.append(layer.radius())
        if step == 0:
            out["w1"], out["b1"] = layer.w.copy(), layer.b
    apart = np.abs(norms[-1] - 1)
    out |= {
        "w20": layer.w,
        "b20": layer.b,
        "norms": np.array(norms),
        "lr20": layer.rate(),
        "win20": wins,
        "convergence20": apart.mean(),
        "R1_20": np.int64((apart < (0.01 if layer.conv else 0.005)).sum()),
    }
    if not cfg.get("adaptive", True):
        out["lr_seq"] = np.array(rates)
    if cfg["softness"] == "softkrotov" and layer.groups == 1:
        out |= {"m_winner": np.array(winner), "m_anti_winner": np.array(against)}
    return {key: value for key, value in out.items() if value is not None}


TWINS = ("dw_raw", "lr0", "w1", "w20", "b0", "b20", "lr_seq")


def layer_case(x_shape, w_shape, seed, radius, **cfg):
    """Arrays and settings of one case, x and w0 in float32 as in the real ones."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, *x_shape)).astype(np.float32)
    w0 = rng.standard_normal(w_shape) * radius / np.sqrt(np.prod(w_shape[1:]))
    w0 = w0.astype(np.float32)
    found = reference(x, w0, cfg)
    arrays = {"x": x, "w0": w0}
    arrays |= {key: _narrow(value) for key, value in found.items()}
    arrays |= {f"{key}_f64": found[key] for key in TWINS if key in found}
    return arrays, {"source": "scalar loops", "seed": seed, "B": x_shape[0], **cfg}


def _narrow(value):
    array = np.asarray(value)
    return array if array.dtype.kind == "i" else array.astype(np.float32)


def write(path: Path, arrays, meta):
    np.savez(path, meta=np.array(json.dumps(meta)), **arrays)
    return path
