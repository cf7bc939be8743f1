"""How each job type's work is done: one file each, found by being here.

A handler takes its contract's params and the context of its job, and returns the contract's result. An
`async def` runs on the event loop and gets a `JobContext`; a plain `def` runs in a thread of its own and
gets a `BlockingContext`. Either computes in `job.in_process`. To fail, it raises
`RetryableError` or `FinalError`; any other exception counts as retryable.
"""
