"""A picture of 2048 × 2048 in processes, and the other jobs of the same worker.

*Processes* is WORKER_PROCESSES: one for each CPU, as the default is, and one less.
*Echo* is `POST /jobs?wait=10` on one connection: until its client has the result, on the idle service and
beside the picture. *Freed* is from the cancellation until the processes that drew it are gone.
"""

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.load import POST, drive
from benchmarks.options import Options
from benchmarks.report import Figures, ratio, table, tolerated
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
ITERATIONS = {"short": 256, "long": 10_000}  # of the picture that is drawn, and of the one that is cancelled


def run(options: Options) -> str:
    figures = Figures()
    counts = [str(count) for count in (CPUS, CPUS - 1) if count]
    for _ in range(options.rounds):
        for count in counts:
            with tolerated(), running(workers=1, WORKER_PROCESSES=count, **QUIET) as stack:
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
    return table(head, [row(figures, count) for count in counts])


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
    uvloop.run(drive(stack.api_port, [ECHO], 1, 1.0))
    found |= {f"idle {name}": value for name, value in echo(stack, seconds).items()}
    job = call(stack, "POST", "/jobs", picture("long"))
    path = f"/jobs/{job['job_id']}"
    wait_until(lambda: call(stack, "GET", path)["progress"], "the picture is begun", seconds=60)
    found |= {f"beside {name}": value for name, value in echo(stack, seconds).items()}
    busy = children(stack)
    begin = time.monotonic()
    call(stack, "DELETE", path)
    wait_until(lambda: not busy & children(stack), "the processes are gone")
    return found | {"freed": time.monotonic() - begin}


def draw(stack: Stack, length: str) -> float:
    """Seconds in which a picture is made."""
    begin = time.monotonic()
    path = f"/jobs/{call(stack, 'POST', '/jobs', picture(length))['job_id']}"
    wait_until(lambda: call(stack, "GET", path)["done"], "the picture is drawn", seconds=120)
    return time.monotonic() - begin


def picture(length: str) -> dict[str, Any]:
    return {"type": "mandelbrot", "params": {"size": SIZE, "max_iterations": ITERATIONS[length]}}


def echo(stack: Stack, seconds: float) -> dict[str, float]:
    """Milliseconds until a client has the result of an echo."""
    (client,) = uvloop.run(drive(stack.api_port, [ECHO], 1, seconds))
    times = sorted(1e3 * value for value in client.seconds)
    return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def children(stack: Stack) -> set[str]:
    """The worker's processes; only Linux tells."""
    tasks = Path(f"/proc/{stack.workers[0].pid}/task").glob("*/children")
    return {pid for file in tasks for pid in file.read_text().split()}


def call(stack: Stack, method: str, path: str, body: object = None) -> dict[str, Any]:
    request = urllib.request.Request(
        stack.api_url + path,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        record: dict[str, Any] = json.load(answer)
        return record
