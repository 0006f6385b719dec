"""The simplest scheduler: everything at once, in order."""

from __future__ import annotations

from streamhebb.schedule.task import Frame, Plan


class Serial:
    """Runs each task in the caller's thread, in plan order. The reference for all others.

    Example:
        >>> from streamhebb.schedule import Task, make_plan
        >>> plan = make_plan([Task("double", 0, (), lambda frame: frame.append(2 * frame[0]))])
        >>> frame = [21]
        >>> Serial().submit(plan, frame)
        >>> frame
        [21, 42]
    """

    def submit(self, plan: Plan, frame: Frame) -> None:
        """Run the whole plan; an exception of a task reaches the caller from here."""
        for task in plan:
            task.run(frame)

    def join(self) -> None:
        """Nothing is ever pending."""

    def close(self) -> None:
        """Nothing to give back."""
