"""Networks that never stop learning: one sample in, every layer learns, a prediction out."""

from streamhebb.layers import Conv2d, Dense
from streamhebb.competition import HardWTA, Independent, SoftWTA
from streamhebb.rules import Hebb, Oja, SoftHebb
