"""Reports of a function that runs in a child process, to its job: `progress` and `log`."""

from worker.processes.child import log, progress

__all__ = ["log", "progress"]
