"""The only code whose cost grows with the number of synapses.

Every layer goes through these functions, so a faster kernel serves every rule and synapse. They
are carried out by one of several backends that agree to rounding: ``torch``, the default;
``numba``, compiled for the CPU; or ``triton``, compiled for CUDA cards.
[`use`][streamhebb.kernels.use] chooses, or the environment variable ``STREAMHEBB_KERNELS``.

Shapes: without groups ``pre (n, n_in)``, ``post (n, n_out)``; with ``g`` groups
``pre (g, n, n_in)``, ``post (g, n, n_out / g)``. Weights are ``(n_out, n_in)`` in both cases. On a
sparse synapse of fixed fan-in they are ``(n_out, fan_in)``, and ``index``, of the same shape and
type ``int64``, says which input (of the neuron's group) each one weighs.
"""

from streamhebb.kernels.at_once import Running, at_once, keeps
from streamhebb.kernels.changing import (
    Rows,
    add_change,
    by_neuron,
    by_rows,
    change,
    change_by_own,
    change_events,
    in_cache,
    largest_change,
    rows_of,
)
from streamhebb.kernels.choice import backend, during, load, use
from streamhebb.kernels.coarse import multiplies, rounded
from streamhebb.kernels.dispatch import accumulate, drive, over_competitions, soft_wta, sparse_drive
from streamhebb.kernels.images import (
    Pool,
    follow,
    fuses,
    moments,
    move,
    padded,
    pooled,
    powers,
    rectified,
    running_moments,
    scaled,
    statistics,
)
from streamhebb.kernels.memory import fresh
from streamhebb.kernels.passes import Rates, add_scaled, largest, lengths, rates, row_norms
from streamhebb.kernels.patches import METHODS, Patches
from streamhebb.kernels.windows import windows

__all__ = [
    "METHODS",
    "Patches",
    "Pool",
    "Rates",
    "Rows",
    "Running",
    "accumulate",
    "add_change",
    "add_scaled",
    "at_once",
    "backend",
    "by_neuron",
    "by_rows",
    "change",
    "change_by_own",
    "change_events",
    "drive",
    "during",
    "follow",
    "fresh",
    "fuses",
    "in_cache",
    "keeps",
    "largest",
    "largest_change",
    "lengths",
    "load",
    "moments",
    "move",
    "multiplies",
    "over_competitions",
    "padded",
    "pooled",
    "powers",
    "rates",
    "rectified",
    "rounded",
    "row_norms",
    "rows_of",
    "running_moments",
    "scaled",
    "soft_wta",
    "sparse_drive",
    "statistics",
    "use",
    "windows",
]
