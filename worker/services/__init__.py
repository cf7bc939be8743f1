"""Services of a worker: tasks that run beside its lanes for as long as the worker runs, one a module."""
