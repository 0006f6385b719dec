"""Pictures of what a net does and has learned: arrays in, a matplotlib figure out.

No function here touches matplotlib's global state, opens a window, or writes a file; use
[`save`][streamhebb.pictures.save] for that.
"""

from streamhebb.pictures.activity import activity_over_time
from streamhebb.pictures.curve import learning_curve
from streamhebb.pictures.fields import receptive_fields
from streamhebb.pictures.radii import radii
from streamhebb.pictures.reconstruction import reconstruct, reconstructions
from streamhebb.pictures.style import png, save

__all__ = [
    "activity_over_time",
    "learning_curve",
    "png",
    "radii",
    "receptive_fields",
    "reconstruct",
    "reconstructions",
    "save",
]
