"""Requests per second of one uvicorn process at 32 connections; client, Redis and server share the machine.

"plain" is FastAPI with `response_model`, stock `enqueue_job` and a record hash (benchmarks/http_peer.py).
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.markdown import markdown_table
from dev.stack import ROOT, Process, Stack, free_port, running, wait_until

APPS = {"job_server": "api.main:app", "plain": "benchmarks.http_peer:app"}
METHODS = ("post", "get")
SECONDS = 4.0
CONNECTIONS = 32
Server = tuple[Process, int]  # its process, and its port
QUIET: dict[str, Any] = {"LOG_LEVEL": "WARNING", "QUEUE_MAX_WAITING": "10000000"}


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    for _ in range(options.rounds):
        for method in METHODS:
            for name, app in APPS.items():
                measure(figures, name, app, method, 1.0 if options.quick else SECONDS)
    rows = []
    for method in METHODS:
        for name in APPS:
            rate = f"{method} rate"
            cells = [figures.show(name, rate), figures.spread(name, rate)]
            cells.append(ratio(figures.median(name, rate), figures.median("plain", rate)))
            cells += [figures.show(name, f"{method} {p}", 1) for p in ("p50", "p99")]
            cells += [figures.spread(name, f"{method} p99", 1), figures.show(name, f"{method} µs")]
            rows.append([_title(method), name, *cells])
    head = [
        "request",
        "app",
        "requests/s",
        "range",
        "÷ plain",
        "p50, ms",
        "p99, ms",
        "range of p99",
        "server CPU µs/request",
    ]
    return markdown_table(head, rows)


def measure(
    figures: Figures,
    name: str,
    app: str,
    method: str,
    seconds: float,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    with running(api=False, **{**QUIET, **environment}) as stack, slow_scripts_recorded(stack.admin_url):
        stack.api, port = start_server(stack, app)
        time.sleep(0.5)
        load(figures, name, method, port, stack.api.pid, seconds)


def start_server(stack: Stack, app: str, environment: Mapping[str, str] = MappingProxyType({})) -> Server:
    """Start a server that the caller ends; its process and its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--no-access-log"]
    command += ["--log-level", "warning"]
    process = stack.spawn(f"server-{port}", command, {"REDIS_URL": stack.admin_url, **environment})
    wait_until(lambda: _listens(port), "the server listens")
    return process, port


def load(figures: Figures, name: str, method: str, port: int, server: int, seconds: float) -> None:
    """Keep a server busy; adds its rate, latencies and processor time."""
    for key, value in _load(port, method, server, seconds).items():
        figures.add(name, f"{method} {key}", value)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _load(port: int, method: str, server: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.http_load", str(port), method, str(server)]
    command += ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if ended.returncode:
        raise RuntimeError(ended.stderr[-2000:])
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def _title(method: str) -> str:
    return "`POST /jobs`" if method == "post" else "`GET /jobs/{id}`"
