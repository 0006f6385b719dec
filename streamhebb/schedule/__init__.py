"""Who runs what, when: tasks with dependencies on lanes."""

from streamhebb.schedule.serial import Serial
from streamhebb.schedule.task import QUIET, Frame, Pending, Plan, Scheduler, Task, make_plan
from streamhebb.schedule.threads import Threads
from streamhebb.schedule.trace import Event, Trace

__all__ = [
    "QUIET",
    "Event",
    "Frame",
    "Pending",
    "Plan",
    "Scheduler",
    "Serial",
    "Task",
    "Threads",
    "Trace",
    "make_plan",
]
