"""Modules that the processes of a worker load before the first job."""

import subprocess
import sys

import pytest

WORKER = """
from shared.job_type_loader import load_job_types
from worker import __main__
from worker.registry import match_handlers, load_handlers
match_handlers(load_handlers(), load_job_types(), ["default"])
"""
HEAVY = {
    WORKER: {"numpy", "PIL", "duckdb", "prometheus_client"},
    "import worker.heartbeat.process": {"numpy", "pydantic", "structlog", "uvloop"},
    "import worker.processes.child": {"numpy", "pydantic", "redis", "structlog", "uvloop"},
}
"""Libraries that a process starts without, by the code of its start."""


@pytest.mark.parametrize(("start", "heavy"), HEAVY.items(), ids=["worker", "heartbeat", "child"])
def test_a_process_starts_without_the_libraries_that_it_may_never_need(start: str, heavy: set[str]):
    done = subprocess.run(
        [sys.executable, "-c", f"{start}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not heavy & set(done.stdout.split())
