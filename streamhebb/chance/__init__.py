"""Chance without a generator's state: a seed and counters say it all, on every device.

What was drawn for one element does not depend on which others were drawn, so a draw can be made
again, in another order, or by another kernel, to the bit.
"""

from streamhebb.chance.counters import BITS, HALF, numbers
from streamhebb.chance.dropout import Dropout

__all__ = ["BITS", "HALF", "Dropout", "numbers"]
