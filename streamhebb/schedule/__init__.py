"""Who runs what, when: tasks with dependencies on lanes."""

from streamhebb.schedule.cuda_graphs import CudaGraphs
from streamhebb.schedule.cuda_lanes import CudaLanes
from streamhebb.schedule.serial import Serial
from streamhebb.schedule.task import Frame, Plan, Scheduler, Task, make_plan

__all__ = ["CudaGraphs", "CudaLanes", "Frame", "Plan", "Scheduler", "Serial", "Task", "make_plan"]
