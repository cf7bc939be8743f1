"""The cost of metrics: rates with metrics on, and off, measured by turns.

"on, shared" is an API whose cells are in a file, as those of several processes are. "÷ off" is the median of
the ratios of neighbouring turns.
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS
from benchmarks.figures import Figures
from benchmarks.sections import http, throughput
from benchmarks.sections.turns import measure_by_turns
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
    with TemporaryDirectory(prefix="job-server-bench-") as folder:
        on = {"API_METRICS": "on"}
        shared = {**on, "JOB_SERVER_METRICS_FOLDER": folder}
        measure_by_turns(figures, {OFF: {"API_METRICS": "off"}, ON: on, SHARED: shared}, options.rounds)
    for turn in range(options.rounds):
        for metrics in (OFF, ON) if turn % 2 else (ON, OFF):
            _measure_worker(figures, metrics, options)
    rows = []
    for rate, *processors in RATES:
        for metrics in (OFF, ON, SHARED):
            if figures.median(metrics, rate) is not None:
                cells = [figures.show(metrics, rate), figures.spread(metrics, rate)]
                cells.append(figures.pairs(metrics, OFF, rate))
                cells += [figures.show(metrics, processor, 1) for processor in processors]
                rows.append([rate.removesuffix(" rate"), metrics, *cells])
    head = ["what", "metrics", "per second", "range", "÷ off", "CPU µs, API or worker", "CPU µs, Redis"]
    return markdown_table(head, rows)


def _measure_worker(figures: Figures, metrics: str, options: BenchmarkOptions) -> None:
    port = "0" if metrics == OFF else str(free_port())
    peer = replace(OURS, name=metrics, environment=(("WORKER_METRICS_PORT", port),))
    for slots in SLOTS:
        column = f"no-op, {slots} slots"
        throughput.measure(figures, peer, column, options.jobs(peer.jobs), slots)
