"""The price of traces: the rates of `POST /jobs` and of no-op jobs, with OpenTelemetry off, at 1 %, for all.

32 connections submit jobs for some seconds; then one worker with 10 slots works the queue off. Spans go by
OTLP to a collector in the process that measures, which drops them.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvloop
from redis import Redis

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures, ratio
from benchmarks.progress import failure_logged
from benchmarks.sections.operating import work_off
from benchmarks.sections.waits import QUIET
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.markdown import markdown_table
from dev.stack import ROOT, Stack, running
from shared.store import redis_keys
from shared.traces.start import missing

SECONDS = 8.0
OFF = "off"
SHARES = {"1 %": "0.01", "all": "1"}


def run(options: BenchmarkOptions) -> str:
    if missing():
        return "Not measured: the extra `telemetry` is not installed beside the benchmarks."
    figures, seconds = Figures(), 2.0 if options.quick else SECONDS
    with dropping_collector() as url:
        for _ in range(options.rounds):
            for name in (OFF, *SHARES):
                with failure_logged():
                    measure(figures, name, variables(name, url), seconds)
    rows = []
    for name in (OFF, *SHARES):
        cells = [name]
        for column in ("post", "no-op"):
            cells += [figures.show(name, column), figures.spread(name, column)]
            cells.append(ratio(figures.median(name, column), figures.median(OFF, column)))
        rows.append([*cells, figures.show(name, "µs")])
    head = ["traces", "`POST /jobs`, 1/s", "range", "÷ off", "no-op, jobs/s", "range", "÷ off"]
    return markdown_table([*head, "API CPU µs/request"], rows)


def variables(name: str, url: str) -> dict[str, Any]:
    """The environment of API and worker."""
    if name == OFF:
        return {"TRACES": "off"}
    share = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": SHARES[name]}
    return {"TRACES": "link", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **share}


def measure(figures: Figures, name: str, environment: dict[str, Any], seconds: float) -> None:
    with running(**QUIET, **environment) as stack, slow_scripts_recorded(stack.admin_url):
        found = _submit(stack, seconds)
        figures.add(name, "post", found["rate"])
        figures.add(name, "µs", found["µs"])
        with Redis.from_url(stack.admin_url) as redis:
            jobs: Any = redis.zcard(redis_keys.QUEUE + "default")
        figures.add(name, "no-op", uvloop.run(work_off(stack, jobs)))


def _submit(stack: Stack, seconds: float) -> dict[str, float]:
    assert stack.api is not None  # noqa: S101  # it runs
    command = [sys.executable, "-m", "benchmarks.http_load", str(stack.api_port), "post", str(stack.api.pid)]
    command += ["--seconds", str(seconds)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, cwd=ROOT, timeout=120))
    return found


@contextmanager
def dropping_collector() -> Iterator[str]:
    """A collector that answers 200 to every export; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
