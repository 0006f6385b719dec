"""Who runs what, when: tasks with dependencies on lanes."""

from streamhebb.schedule.cuda_graphs import CudaGraphs
from streamhebb.schedule.cuda_lanes import CudaLanes
from streamhebb.schedule.replay import Replay
from streamhebb.schedule.serial import Serial
from streamhebb.schedule.shuffled import Shuffled
from streamhebb.schedule.task import QUIET, Frame, Pending, Plan, Scheduler, Task, make_plan
from streamhebb.schedule.threads import Threads
from streamhebb.schedule.trace import Event, Trace, read_trace

__all__ = [
    "QUIET",
    "CudaGraphs",
    "CudaLanes",
    "Event",
    "Frame",
    "Pending",
    "Plan",
    "Replay",
    "Scheduler",
    "Serial",
    "Shuffled",
    "Task",
    "Threads",
    "Trace",
    "make_plan",
    "read_trace",
]
