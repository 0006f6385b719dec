"""The only code whose cost grows with the number of synapses.

Every layer goes through these two functions, so a faster kernel serves every rule and synapse.
"""

from streamhebb.kernels.dense import accumulate, drive
from streamhebb.kernels.windows import windows

__all__ = ["accumulate", "drive", "windows"]
