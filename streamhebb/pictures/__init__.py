"""Pictures of what a net does and has learned: a net or arrays in, a matplotlib figure out.

No function here touches matplotlib's global state, opens a window, or writes a file; use
[`save`][streamhebb.pictures.save] for that.
"""

from streamhebb.pictures.activity import activity_over_time
from streamhebb.pictures.beside import kernels_beside
from streamhebb.pictures.curve import learning_curve
from streamhebb.pictures.fields import receptive_fields
from streamhebb.pictures.maps import flat_map, neighbours_alike, principal, sample_map
from streamhebb.pictures.patches import Patch, patches, strongest_patches
from streamhebb.pictures.preferred import preferred_inputs, projected
from streamhebb.pictures.radii import radii
from streamhebb.pictures.raster import spike_raster
from streamhebb.pictures.reconstruction import reconstruct, reconstructions
from streamhebb.pictures.recorder import Tuning, TuningRecorder
from streamhebb.pictures.style import png, save
from streamhebb.pictures.timeline import timeline
from streamhebb.pictures.tuning import tuning_over_training
from streamhebb.pictures.wins import count_wins, win_shares

__all__ = [
    "Patch",
    "Tuning",
    "TuningRecorder",
    "activity_over_time",
    "count_wins",
    "flat_map",
    "kernels_beside",
    "learning_curve",
    "neighbours_alike",
    "patches",
    "png",
    "preferred_inputs",
    "principal",
    "projected",
    "radii",
    "receptive_fields",
    "reconstruct",
    "reconstructions",
    "sample_map",
    "save",
    "spike_raster",
    "strongest_patches",
    "timeline",
    "tuning_over_training",
    "win_shares",
]
