"""The heartbeat: a process that renews the leases of a worker, and the worker's thread that supervises it."""
