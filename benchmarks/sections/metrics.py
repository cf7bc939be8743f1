"""The cost of metrics: rates with metrics on, and off, measured by turns.

"on, shared" is an API whose cells are in a file, as those of several processes are.
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS
from benchmarks.figures import Figures, ratio
from benchmarks.sections import http, throughput
from dev.markdown import markdown_table
from dev.stack import free_port

SLOTS = (10, 100)
OFF, ON, SHARED = "off", "on", "on, shared"
RATES = [(f"{method} rate", f"{method} µs", "") for method in http.METHODS] + [
    (f"no-op, {slots} slots", f"no-op, {slots} slots worker µs", f"no-op, {slots} slots Redis µs")
    for slots in SLOTS
]
"""The names of the rates, each with those of the processor times."""


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    for turn in range(options.rounds):
        for metrics in (OFF, ON, SHARED) if turn % 2 else (SHARED, ON, OFF):
            _measure_api(figures, metrics, 1.0 if options.quick else http.SECONDS)
            if metrics != SHARED:
                _measure_worker(figures, metrics, options)
    rows = []
    for rate, *processors in RATES:
        for metrics in (OFF, ON, SHARED):
            if figures.median(metrics, rate) is not None:
                cells = [figures.show(metrics, rate), figures.spread(metrics, rate)]
                cells.append(ratio(figures.median(metrics, rate), figures.median(OFF, rate)))
                cells += [figures.show(metrics, processor, 1) for processor in processors]
                rows.append([rate.removesuffix(" rate"), metrics, *cells])
    head = ["what", "metrics", "per second", "range", "÷ off", "CPU µs, API or worker", "CPU µs, Redis"]
    return markdown_table(head, rows)


def _measure_api(figures: Figures, metrics: str, seconds: float) -> None:
    with TemporaryDirectory(prefix="job-server-bench-") as folder:
        environment = {"API_METRICS": "off" if metrics == OFF else "on"}
        if metrics == SHARED:
            environment["JOB_SERVER_METRICS_FOLDER"] = folder
        for method in http.METHODS:
            http.measure(figures, metrics, http.APPS[OURS.name], method, seconds, environment)


def _measure_worker(figures: Figures, metrics: str, options: BenchmarkOptions) -> None:
    port = "0" if metrics == OFF else str(free_port())
    peer = replace(OURS, name=metrics, environment=(("WORKER_METRICS_PORT", port),))
    for slots in SLOTS:
        column = f"no-op, {slots} slots"
        throughput.measure(figures, peer, column, options.jobs(peer.jobs), slots)
