"""The main job: a net learns from a stream, and leaves a folder that tells how."""

from streamhebb.run.job import Job, prepare
from streamhebb.run.loop import Outcome, perform
from streamhebb.run.settings import RunSettings

__all__ = ["Job", "Outcome", "RunSettings", "perform", "prepare"]
