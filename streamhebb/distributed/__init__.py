"""One net, several processes: each sees a share of every mini-batch, all keep the same weights.

What a layer sums over the samples of a mini-batch is summed over the processes before anything
looks at how large it is. So N processes learn what one process would with the whole mini-batch,
to rounding. What cannot be had so is refused when they join.
"""

from streamhebb.distributed.joining import join
from streamhebb.distributed.processes import Processes

__all__ = ["Processes", "join"]
