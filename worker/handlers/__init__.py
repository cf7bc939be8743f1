"""How each job type's work is done: one file each, found by being here.

A handler takes its contract's params and a `JobContext` and returns the contract's result. An
`async def` runs on the event loop; a plain `def` runs in a thread of its own. To fail, it raises
`RetryableError` or `FinalError`; any other exception counts as retryable.
"""
