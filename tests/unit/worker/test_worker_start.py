"""Modules that a worker loads before its first job."""

import subprocess
import sys

HEAVY = ("numpy", "PIL", "duckdb", "prometheus_client")
START = f"""
import sys
from shared.job_type_loader import load_job_types
from worker import __main__
from worker.registry import match_handlers, load_handlers
match_handlers(load_handlers(), load_job_types(), ["default"])
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_a_worker_starts_without_the_libraries_of_its_processes_and_of_metrics():
    done = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
