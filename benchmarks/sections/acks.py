"""The price of acknowledged submissions: `POST /jobs` with REDIS_ACK_REPLICAS 0, and 1, measured by turns.

Two APIs on one Redis with one replica get jobs over 32 connections each; all share the machine. "÷ 0" is the
median of the ratios of neighbouring turns. Redis' processor time is that of the primary's main thread for a
submission; its part in replication is the same for both.
"""

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.figures import Figures
from benchmarks.sections.turns import measure_by_turns
from dev.markdown import markdown_table

NONE, ONE = "0", "1"


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    environments = {replicas: {"REDIS_ACK_REPLICAS": replicas} for replicas in (NONE, ONE)}
    measure_by_turns(figures, environments, options.rounds, ("post",), replica=True)
    rows = []
    for replicas in (NONE, ONE):
        cells = [figures.show(replicas, "post rate"), figures.spread(replicas, "post rate")]
        cells.append(figures.pairs(replicas, NONE, "post rate"))
        cells += [figures.show(replicas, f"post {rank}", 1) for rank in ("p50", "p99")]
        cells += [figures.show(replicas, f"post {processor}") for processor in ("µs", "Redis µs")]
        rows.append([replicas, *cells])
    head = ["`REDIS_ACK_REPLICAS`", "`POST /jobs`, 1/s", "range", "÷ 0", "p50, ms", "p99, ms"]
    return markdown_table([*head, "API CPU µs/request", "Redis CPU µs/request"], rows)
