"""The service that a scenario breaks: its workers run `chaos.worker`, which logs the starts of handlers."""

from functools import partial

from dev.service import serving

chaos_service = partial(serving, worker_module="chaos.worker")
