"""Search over settings of any preset, judged on held-out samples; hopeless trials end early.

A *space* is what varies, as data; the published ones come along. A *search* is a space and the
trial that is run with each point of it. optuna runs it, in as many processes as one likes; so does
Ray Tune, on as many machines.
"""

from streamhebb.search.objective import Lookout, Search, settings_line
from streamhebb.search.outcome import Outcome, as_json, best_lines, table
from streamhebb.search.plots import plot
from streamhebb.search.ray_tune import go_on_ray
from streamhebb.search.space import Parameter, Space, find_space, read_spaces, spaces
from streamhebb.search.study import go_on, open_study

__all__ = [
    "Lookout",
    "Outcome",
    "Parameter",
    "Search",
    "Space",
    "as_json",
    "best_lines",
    "find_space",
    "go_on",
    "go_on_ray",
    "open_study",
    "plot",
    "read_spaces",
    "settings_line",
    "spaces",
    "table",
]
