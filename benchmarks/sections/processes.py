"""A `mandelbrot` job of 2048 × 2048 in child processes, and the other jobs of the same worker.

*Processes* is WORKER_PROCESSES: the number of CPUs, which is the default, and one less. *Echo* is
`POST /jobs?wait=10` on one connection, until the client has the result: idle, and beside the picture.
*Freed* is the time from the cancellation until the child processes have ended.
"""

import os
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.http_load import POST, measure_latency
from benchmarks.progress import failure_logged
from dev.json_request import json_request
from dev.markdown import markdown_table
from dev.stack import Stack, running, wait_until

QUIET: dict[str, Any] = {
    "LOG_LEVEL": "WARNING",
    "UVICORN_LOG_LEVEL": "warning",
    "UVICORN_ACCESS_LOG": "false",
}
ECHO = POST.replace(b"/jobs", b"/jobs?wait=10", 1)
SECONDS = 4.0
CPUS = os.cpu_count() or 1
SIZE = 2048
ITERATIONS = {"short": 256, "long": 10_000}  # of the picture to complete, and of the picture to cancel


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    counts = [str(count) for count in (CPUS, CPUS - 1) if count]
    for _ in range(options.rounds):
        for count in counts:
            with failure_logged(), running(workers=1, WORKER_PROCESSES=count, **QUIET) as stack:
                for name, value in measure(stack, 1.0 if options.quick else SECONDS).items():
                    figures.add(count, name, value)
    head = [
        "processes",
        "picture, s",
        "echo p50, ms",
        "beside",
        "÷",
        "echo p99, ms",
        "beside",
        "÷",
        "freed, s",
    ]
    return markdown_table(head, [row(figures, count) for count in counts])


def row(figures: Figures, count: str) -> list[str]:
    cells = [count, figures.show(count, "drawn", 1)]
    for quantile in ("p50", "p99"):
        idle, beside = f"idle {quantile}", f"beside {quantile}"
        cells += [figures.show(count, idle, 1), figures.show(count, beside, 1)]
        cells.append(ratio(figures.median(count, beside), figures.median(count, idle)))
    return [*cells, figures.show(count, "freed", 2)]


def measure(stack: Stack, seconds: float) -> dict[str, float]:
    drawn = draw(stack, "short")
    found = {"drawn": drawn}
    echo(stack, 1.0)  # warm up
    found |= {f"idle {name}": value for name, value in echo(stack, seconds).items()}
    job = json_request("POST", stack.api_url + "/jobs", picture("long"))
    path = f"/jobs/{job['job_id']}"
    wait_until(
        lambda: json_request("GET", stack.api_url + path)["progress"], "the picture is begun", seconds=60
    )
    found |= {f"beside {name}": value for name, value in echo(stack, seconds).items()}
    busy = children(stack)
    begin = time.monotonic()
    json_request("DELETE", stack.api_url + path)
    wait_until(lambda: not busy & children(stack), "the processes are gone")
    return found | {"freed": time.monotonic() - begin}


def draw(stack: Stack, length: str) -> float:
    """Seconds from the submission of a picture until it is done."""
    begin = time.monotonic()
    path = f"/jobs/{json_request('POST', stack.api_url + '/jobs', picture(length))['job_id']}"
    wait_until(lambda: json_request("GET", stack.api_url + path)["done"], "the picture is drawn", seconds=120)
    return time.monotonic() - begin


def picture(length: str) -> dict[str, Any]:
    return {"type": "mandelbrot", "params": {"size": SIZE, "max_iterations": ITERATIONS[length]}}


def echo(stack: Stack, seconds: float) -> dict[str, float]:
    """Milliseconds until a client has the result of an echo: p50 and p99."""
    return uvloop.run(measure_latency(stack.api_port, [ECHO], 1, seconds))


def children(stack: Stack) -> set[str]:
    """The pids of the worker's processes for functions, from /proc; its heartbeat process is left out."""
    tasks = Path(f"/proc/{stack.workers[0].pid}/task").glob("*/children")
    pids = {pid for file in tasks for pid in file.read_text().split()}
    return {pid for pid in pids if b"worker.processes" in _command_line(pid)}


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # the process has ended
        return b""
