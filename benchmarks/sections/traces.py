"""The price of traces: the rates of `POST /jobs` and of no-op jobs, with OpenTelemetry off, at 1 %, for all.

32 connections submit jobs to three APIs by turns; one worker with 10 slots works a queue off. Spans go by
OTLP to a collector in the process that measures, which drops them. "÷ off" is the median of the ratios of
neighbouring turns.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvloop

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures
from benchmarks.progress import failure_logged
from benchmarks.sections.operating import submit, work_off
from benchmarks.sections.turns import measure_by_turns
from benchmarks.sections.waits import QUIET
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.markdown import markdown_table
from dev.stack import running
from shared.traces.start import missing

NOOPS = 40_000
OFF = "off"
SHARES = {"1 %": "0.01", "all": "1"}


def run(options: BenchmarkOptions) -> str:
    if missing():
        return "Not measured: the extra `telemetry` is not installed beside the benchmarks."
    figures = Figures()
    with dropping_collector() as url:
        environments = {name: variables(name, url) for name in (OFF, *SHARES)}
        measure_by_turns(figures, environments, options.rounds, methods=("post",))
        for _ in range(options.rounds):
            for name, environment in environments.items():
                with failure_logged():
                    measure_worker(figures, name, environment, options.jobs(NOOPS))
    rows = []
    for name in (OFF, *SHARES):
        cells = [name]
        for column in ("post rate", "no-op"):
            cells += [figures.show(name, column), figures.spread(name, column)]
            cells.append(figures.pairs(name, OFF, column))
        rows.append([*cells, figures.show(name, "post µs")])
    head = ["traces", "`POST /jobs`, 1/s", "range", "÷ off", "no-op, jobs/s", "range", "÷ off"]
    return markdown_table([*head, "API CPU µs/request"], rows)


def variables(name: str, url: str) -> dict[str, Any]:
    """The environment of API and worker."""
    if name == OFF:
        return {"TRACES": "off"}
    share = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": SHARES[name]}
    return {"TRACES": "link", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **share}


def measure_worker(figures: Figures, name: str, environment: dict[str, Any], jobs: int) -> None:
    with running(**QUIET, **environment) as stack, slow_scripts_recorded(stack.admin_url):
        submit(stack, jobs, {})
        figures.add(name, "no-op", uvloop.run(work_off(stack, jobs)))


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
