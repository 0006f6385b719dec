"""Every equation of the core once more, as plain loops over plain numbers.

Written from the papers' equations, with lists and ``math`` only. Nothing here may import
streamhebb or torch: what these functions say is what the library is held to.

Shapes are nested lists: ``x[n][i]`` what competition ``n`` sees, ``w[j][i]`` weights, ``u[n][j]``
drive, ``y[n][j]`` postsynaptic factor. Images are ``image[c][row][col]``.
"""

from __future__ import annotations

import math
from typing import Any

Vector = list[float]
Matrix = list[list[float]]
Image = list[list[list[float]]]
TINY = 1e-30


def zeros(rows: int, cols: int) -> Matrix:
    return [[0.0] * cols for _ in range(rows)]


# ---- drive and radius (Journé et al. 2023; Moraitis et al. 2022) ----------------------------


def sign(value: float) -> float:
    return (value > 0) - (value < 0)


def drive(x: Matrix, w: Matrix, p: float = 2.0, bias: Vector | None = None) -> Matrix:
    """u_nj = sum_i sign(w_ji) |w_ji|^(p-1) x_ni + b_j."""
    u = zeros(len(x), len(w))
    for n, row in enumerate(x):
        for j, weights in enumerate(w):
            total = 0.0
            for value, weight in zip(row, weights, strict=True):
                total += sign(weight) * abs(weight) ** (p - 1) * value
            u[n][j] = total + (bias[j] if bias is not None else 0.0)
    return u


def radius(w: Matrix, p: float = 2.0) -> Vector:
    """r_j = (sum_i |w_ji|^p)^(1/p)."""
    return [sum(abs(weight) ** p for weight in row) ** (1 / p) for row in w]


def triangle(u: Vector, power: float = 1.0) -> Vector:
    """z_j = max(0, u_j - mean(u))^power."""
    mean = sum(u) / len(u)
    return [max(0.0, value - mean) ** power for value in u]


# ---- postsynaptic functions and competitions: one competition in, one out --------------------


def logistic(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def function(name: str, value: float) -> float:
    if name == "linear":
        return value
    if name == "relu":
        return max(0.0, value)
    if name == "repu":
        return max(0.0, value) ** 15
    if name == "sigmoid":
        return logistic(value)
    if name == "tanh":
        return math.tanh(value)
    raise KeyError(name)


def first_largest(u: Vector) -> int:
    best = 0
    for j, value in enumerate(u):
        if value > u[best]:
            best = j
    return best


def ranked(u: Vector, rank: int) -> int:
    """The neuron of the given rank, counted from 1; of equals the first ranks higher."""
    left = list(range(len(u)))
    for _ in range(rank - 1):
        left.remove(max(left, key=lambda j: (u[j], -j)))
    return max(left, key=lambda j: (u[j], -j))


def softmax(u: Vector, t: float = 1.0) -> Vector:
    largest = max(u)
    parts = [math.exp(t * (value - largest)) for value in u]
    return [part / sum(parts) for part in parts]


def independent(u: Vector, name: str = "linear") -> Vector:
    return [function(name, value) for value in u]


def soft(u: Vector, t: float) -> Vector:
    return softmax(u, t)


def soft_anti(u: Vector, t: float) -> Vector:
    winner = first_largest(u)
    return [s if j == winner else -s for j, s in enumerate(softmax(u, t))]


def soft_ranked(u: Vector, t: float, rank: int, delta: float, scaled: bool) -> Vector:
    y = softmax(u, t)
    k = ranked(u, rank)
    y[k] = -delta * y[k] if scaled else -delta
    return y


def share(u: Vector, name: str) -> Vector:
    values = [function(name, value) for value in u]
    total = sum(values)
    return [value / total for value in values] if total != 0 else values


def hard(u: Vector) -> Vector:
    winner = first_largest(u)
    return [1.0 if j == winner else 0.0 for j in range(len(u))]


def hard_ranked(u: Vector, rank: int, delta: float) -> Vector:
    """Krotov, Hopfield 2019: g = 1 for the winner, -delta for the unit of rank k, else 0."""
    y = hard(u)
    y[ranked(u, rank)] = -delta
    return y


# ---- rules: the summed change of one group of neurons ----------------------------------------


def hebb(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Hebb 1949: dw_ji = sum_n y_nj x_ni."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += y[n][j] * x[n][i]
    return dw


def oja(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Oja 1982: dw_ji = sum_n y_nj (x_ni - y_nj w_ji)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += y[n][j] * (x[n][i] - y[n][j] * w[j][i])
    return dw


def softhebb(x: Matrix, y: Matrix, u: Matrix, w: Matrix) -> Matrix:
    """Moraitis et al. 2022: dw_ji = sum_n y_nj (x_ni - u_nj w_ji)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += y[n][j] * (x[n][i] - u[n][j] * w[j][i])
    return dw


def krotov_hopfield(
    x: Matrix, w: Matrix, p: float, rank: int, delta: float, r: float = 1.0
) -> Matrix:
    """Krotov, Hopfield 2019, eq. 3: dw_ji = g(j) (R^p v_i - <w_j, v> w_ji).

    <a, b>_j = sum_i |w_ji|^(p-2) a_i b_i is their inner product, and g ranks the units by <w_j, v>.
    """
    dw = zeros(len(w), len(w[0]))
    for v in x:
        inputs = []
        for row in w:
            total = 0.0
            for weight, value in zip(row, v, strict=True):
                if weight:  # 0^(p-2) 0 is 0 for p > 1
                    total += abs(weight) ** (p - 2) * weight * value
            inputs.append(total)
        g = hard_ranked(inputs, rank, delta)
        for j, row in enumerate(w):
            for i, weight in enumerate(row):
                dw[j][i] += g[j] * (r**p * v[i] - inputs[j] * weight)
    return dw


def delta_rule(x: Matrix, y: Matrix, u: Matrix, w: Matrix, weight_decay: float = 0.0) -> Matrix:
    """Widrow, Hoff 1960, y being the error: dw_ji = sum_n (y_nj x_ni - decay w_ji)."""
    dw = zeros(len(w), len(w[0]))
    for n in range(len(x)):
        for j in range(len(w)):
            for i in range(len(w[0])):
                dw[j][i] += y[n][j] * x[n][i] - weight_decay * w[j][i]
    return dw


# ---- scalings: one divisor per neuron --------------------------------------------------------


def layer_max(dw: Matrix, groups: int = 1) -> Vector:
    """c = max |dw| + 1e-30 over all the neurons of a group."""
    each = len(dw) // groups
    divisor = []
    for group in range(groups):
        rows = dw[group * each : (group + 1) * each]
        divisor += [max(abs(value) for row in rows for value in row) + TINY] * each
    return divisor


def remember(history: Vector, memory: float) -> float:
    """Plain mean while there are fewer than ``memory`` values, then exponential."""
    kept = 0.0
    for age, value in enumerate(history, 1):
        weight = max(1 / age, 1 / memory)
        kept = (1 - weight) * kept + weight * value
    return kept


def neuron_rms(history: list[Matrix], memory: float) -> Vector:
    """c_j: root of the remembered mean square of the neuron's own changes, last one included."""
    return [
        math.sqrt(remember([sum(v * v for v in dw[j]) / len(dw[j]) for dw in history], memory))
        + TINY
        for j in range(len(history[0]))
    ]


def neuron_max(history: list[Matrix], memory: float) -> Vector:
    """c_j: remembered largest change of the neuron."""
    return [
        remember([max(abs(v) for v in dw[j]) for dw in history], memory) + TINY
        for j in range(len(history[0]))
    ]


# ---- rates ----------------------------------------------------------------------------------


def norm_rate(lr: float, power: float, r: float) -> float:
    """eta_j = eta (|r_j - 1| + 1e-10)^q."""
    return lr * (abs(r - 1) + 1e-10) ** power


def linear_decay(lr: float, steps: float, s: int) -> float:
    return max(0.0, lr * (1 - s / steps))


def exponential_decay(lr: float, steps: float, speed: float, div: float, s: int) -> float:
    """m + (eta - m) e^(-v s / steps), m chosen so that it ends at eta / D."""
    m = (lr / div - lr * math.exp(-speed)) / (1 - math.exp(-speed))
    return m + (lr - m) * math.exp(-speed * s / steps)


# ---- bias -----------------------------------------------------------------------------------


def prior_start(neurons: int, t: float) -> float:
    """b_j = ln(1/K) / t for K neurons that compete with each other."""
    return math.log(1 / neurons) / t


def prior_change(
    total: Vector, b: Vector, n: int, samples: int, t: float, gain: float, name: str
) -> Vector:
    """Change of the prior, without the rate; ``total[j] = sum_n y_nj``."""
    change = []
    for y, prior in zip(total, b, strict=True):
        if name == "exp":
            change.append((y - n * math.exp(t * prior)) / math.exp(t * prior))
        else:
            change.append(y - n * prior - samples)
    largest = max(abs(value) for value in change) + TINY
    return [gain * value / largest for value in change]


# ---- convolution ----------------------------------------------------------------------------


def mirror(position: int, length: int) -> int:
    """Reflection without repeating the edge: -1 -> 1, length -> length - 2."""
    if position < 0:
        return -position
    if position >= length:
        return 2 * (length - 1) - position
    return position


def pad(image: Image, amount: int, mode: str) -> Image:
    padded = []
    for channel in image:
        height, width = len(channel), len(channel[0])
        rows = []
        for r in range(-amount, height + amount):
            row = []
            for c in range(-amount, width + amount):
                inside = 0 <= r < height and 0 <= c < width
                if mode == "zeros" and not inside:
                    row.append(0.0)
                else:
                    row.append(channel[mirror(r, height)][mirror(c, width)])
            rows.append(row)
        padded.append(rows)
    return padded


def side(length: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Output side: floor((H + 2 pad - dil (k - 1) - 1) / stride) + 1."""
    return math.floor((length + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1


def patches(
    image: Image,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    mode: str = "reflect",
    dilation: int = 1,
) -> Matrix:
    """What every output pixel sees, in the order (channel, kernel row, kernel column)."""
    padded = pad(image, padding, mode)
    height = side(len(image[0]), kernel, stride, padding, dilation)
    width = side(len(image[0][0]), kernel, stride, padding, dilation)
    seen = []
    for row in range(height):
        for col in range(width):
            patch = []
            for channel in padded:
                for dr in range(kernel):
                    for dc in range(kernel):
                        patch.append(
                            channel[row * stride + dr * dilation][col * stride + dc * dilation]
                        )
            seen.append(patch)
    return seen


def pool(image: Image, kernel: int, stride: int, padding: int, kind: str) -> Image:
    """Maximum or mean of each window; padding never wins a maximum, counts as 0 in a mean."""
    out = []
    for channel in image:
        height, width = len(channel), len(channel[0])
        rows = []
        for r in range(side(height, kernel, stride, padding, 1)):
            row = []
            for c in range(side(width, kernel, stride, padding, 1)):
                found = []
                for dr in range(kernel):
                    for dc in range(kernel):
                        y, x = r * stride + dr - padding, c * stride + dc - padding
                        if 0 <= y < height and 0 <= x < width:
                            found.append(channel[y][x])
                row.append(max(found) if kind == "max" else sum(found) / kernel**2)
            rows.append(row)
        out.append(rows)
    return out


# ---- normalisation --------------------------------------------------------------------------


def running_norm(
    samples: list[Matrix], tau: float, eps: float
) -> tuple[list[Matrix], Vector, Vector]:
    """Causal normalisation, one sample after another; ``samples[t][c]`` holds channel c's pixels.

    a = max(1/tau, 1/(n+1)); m' = m + a (mu - m); v' = (1-a) (v + a (mu - m)^2) + a s2.
    """
    channels = len(samples[0])
    mean, var = [0.0] * channels, [0.0] * channels
    out = []
    for number, sample in enumerate(samples):
        a = max(1 / tau, 1 / (number + 1))
        normed = []
        for c, pixels in enumerate(sample):
            mu = sum(pixels) / len(pixels)
            s2 = sum((value - mu) ** 2 for value in pixels) / len(pixels)
            apart = mu - mean[c]
            mean[c] = mean[c] + a * apart
            var[c] = (1 - a) * (var[c] + a * apart**2) + a * s2
            normed.append([(value - mean[c]) / math.sqrt(var[c] + eps) for value in pixels])
        out.append(normed)
    return out, mean, var


# ---- the whole step of a plastic layer -------------------------------------------------------


def step(
    images: list[list[Matrix]],
    w: Matrix,
    *,
    compete: Any,
    rule: Any,
    scale: Any,
    rate: Any,
    groups: int = 1,
    p: float = 2.0,
    bias: Vector | None = None,
    prior: Any = None,
    pre_triangle: bool = False,
    trained: int | None = None,
    history: list[Matrix] | None = None,
) -> tuple[list[Matrix], Matrix, Vector | None]:
    """One update.

    Args:
        images: ``images[b][g]``: what the competitions of sample b in group g see, a Matrix.
        w: weights of all neurons, neurons of group 0 first.
        compete: one competition's drive -> its postsynaptic factors.
        rule: ``(x, y, u, w) -> dw`` of a group.
        scale: ``(history, groups) -> divisors``; the history's last entry is the present change.
        rate: ``radius -> rate`` of one neuron.
        groups: number of groups.
        p: exponent of radius and drive.
        bias: b of all neurons.
        prior: ``(total, b, competitions, samples) -> change``.
        pre_triangle: centre and rectify the drive over all channels.
        trained: how many neurons learn.
        history: raw changes of earlier steps; the present one is appended.

    Returns:
        ``u[b][n][j]`` over all neurons, the new weights, the new bias.
    """
    each = len(w) // groups
    drives = []
    for sample in images:
        rows: Matrix = []
        for n in range(len(sample[0])):
            u: Vector = []
            for g in range(groups):
                part = slice(g * each, (g + 1) * each)
                u += drive([sample[g][n]], w[part], p, bias[part] if bias else None)[0]
            rows.append(triangle(u) if pre_triangle else u)
        drives.append(rows)

    dw: Matrix = []
    total: Vector = []
    for g in range(groups):
        part = slice(g * each, (g + 1) * each)
        x = [row for sample in images for row in sample[g]]
        u_group = [row[part] for rows in drives for row in rows]
        y = [compete(row) for row in u_group]
        dw += rule(x, y, u_group, w[part])
        total += [sum(row[j] for row in y) for j in range(each)]

    history = [] if history is None else history
    history.append(dw)
    divisors = scale(history, groups)
    rates = [rate(r) for r in radius(w, p)]
    learning = len(w) if trained is None else trained
    after = [
        [
            weight + (rates[j] * change / divisors[j] if j < learning else 0.0)
            for weight, change in zip(w[j], dw[j], strict=True)
        ]
        for j in range(len(w))
    ]
    new_bias = bias
    if bias is not None:
        n = sum(len(sample[0]) for sample in images)
        changes = prior(total, bias, n, len(images))
        new_bias = [
            b + (rates[j] * change if j < learning else 0.0)
            for j, (b, change) in enumerate(zip(bias, changes, strict=True))
        ]
    return drives, after, new_bias


# ---- spiking neurons: one neuron over time ----------------------------------------------------


def leak(value: float, towards: float, dt: float, tau: float) -> float:
    """One Euler step of dx/dt = (towards - x) / tau."""
    return value + dt / tau * (towards - value)


def spiking(
    drive: Vector,
    *,
    tau_mem: float,
    dt: float,
    v_leak: float,
    tau_syn: float | None = None,
    v_th: float = math.inf,
    v_reset: float = 0.0,
    shift: float = 0.0,
    rest: int = 0,
    tau_adapt: float | None = None,
    beta: float = 0.0,
) -> tuple[Vector, Vector, float]:
    """Gerstner et al. 2014, chapter 1.3; Bellec et al. 2018 for the adaptive threshold.

    dv/dt = (v_leak - v + i) / tau_mem, di/dt = -i / tau_syn, spike if v > b + shift,
    db/dt = (v_th - b) / tau_adapt, b += beta at a spike. Without tau_syn the drive is the current.
    The drive reaches the current before the step; with an adaptive threshold, after it.

    Returns:
        Spikes, voltages before the reset, and the smallest distance of a voltage to its threshold.
    """
    v, i, b, resting, margin = v_leak, 0.0, v_th, 0, math.inf
    spikes, voltages = [], []
    for u in drive:
        late = tau_adapt is not None
        current = u if tau_syn is None else i if late else i + u
        moved = leak(v, v_leak + current, dt, tau_mem)
        if tau_syn is not None:
            i = leak(current, 0.0, dt, tau_syn) + (u if late else 0.0)
        if tau_adapt is not None:
            b = leak(b, v_th, dt, tau_adapt)
        if resting:
            resting -= 1
            spikes.append(0.0)
            voltages.append(v)
            continue
        margin = min(margin, abs(moved - (b + shift)))
        fired = moved > b + shift
        spikes.append(float(fired))
        voltages.append(moved)
        v = v_reset if fired else moved
        b += beta * fired
        resting = rest if fired else 0
    return spikes, voltages, margin


# ---- encoders ---------------------------------------------------------------------------------


def split_mix(seed: int, sample: int, count: int) -> Vector:
    """SplitMix64 (Steele, Lea, Flood 2014), two numbers of 24 bits from -0.5 to 0.5 each time."""
    gamma, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mix(z: int) -> int:
        z &= mask
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    key = mix(sample * gamma + mix(seed + gamma))
    drawn: Vector = []
    for place in range(1, count + 1):
        z = mix(key + place * gamma)
        for half in (z & 0xFFFFFFFF, z >> 32):
            signed = half - (half >> 31 << 32)
            drawn.append((signed >> 8) / 2**24)
    return drawn[:count]


def send_on_delta(signal: Vector, threshold: float, last: float | None = None) -> list[int]:
    """Miskowicz 2006: +1 or -1 where a signal has moved so far since its last event."""
    reference = signal[0] if last is None else last
    events = []
    for value in signal:
        moved = value - reference
        event = (moved >= threshold) - (moved <= -threshold)
        reference = value if event else reference
        events.append(event)
    return events
