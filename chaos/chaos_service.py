"""The service that a scenario breaks: its workers run `chaos.worker`, which logs the starts of handlers."""

import time
from functools import partial

from chaos.checks import Check, empty
from dev.service import Service, serving

chaos_service = partial(serving, worker_module="chaos.worker")


def timed_read(service: Service, job_id: str) -> tuple[float, int]:
    """Read a job over the API; returns the seconds and the status."""
    begin = time.monotonic()
    status = service.call("GET", f"/jobs/{job_id}").status_code
    return time.monotonic() - begin, status


def check_running(name: str, service: Service) -> Check:
    """Check that no process of the service has exited; the end of the log of one that has is shown."""
    stack = service.stack
    processes = {"api": stack.api, **{f"worker-{at}": process for at, process in enumerate(stack.workers)}}
    exited = [key for key, process in processes.items() if process is None or process.poll() is not None]
    return empty(f"{name}: processes that exited", [f"{key}: {_last_words(service, key)}" for key in exited])


def _last_words(service: Service, process: str) -> str:
    """The last critical line of a log, or the last line of all: its end, which names the error."""
    lines = service.stack.output(process).splitlines() or [""]
    critical = [line for line in lines if '"level":"critical"' in line]
    return (critical or lines)[-1][-300:]
