"""The service that a scenario breaks: its workers run `chaos.worker`, which logs the starts of handlers."""

import time
from functools import partial

from dev.service import Service, serving

chaos_service = partial(serving, worker_module="chaos.worker")


def timed_read(service: Service, job_id: str) -> tuple[float, int]:
    """Read a job over the API; returns the seconds and the status."""
    begin = time.monotonic()
    status = service.call("GET", f"/jobs/{job_id}").status_code
    return time.monotonic() - begin, status
