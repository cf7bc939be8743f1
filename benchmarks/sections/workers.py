"""No-op jobs per second of 1, 2 and 4 worker processes with 10 slots each."""

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS, PEERS
from benchmarks.figures import Figures, ratio
from benchmarks.sections.throughput import measure
from dev.markdown import markdown_table

WORKERS = (1, 2, 4)
NAMES = ("job_server", "arq_polling", "saq", "taskiq")


def run(options: BenchmarkOptions) -> str:
    peers = options.chosen(peer for peer in PEERS if peer.name in NAMES)
    figures = Figures()
    for _ in range(options.rounds):
        for workers in WORKERS:
            for peer in peers:
                jobs = options.jobs(peer.jobs * (1 if workers == 1 or peer is OURS else 2))
                measure(figures, peer, str(workers), jobs, 10, workers=workers)
    rows = []
    for peer in peers:
        cells = [peer.name]
        for workers in WORKERS:
            cells += [figures.show(peer.name, str(workers)), figures.spread(peer.name, str(workers))]
        most = figures.median(peer.name, str(WORKERS[-1]))
        rows.append([*cells, ratio(most, figures.median(peer.name, "1"))])
    head = ["peer"]
    for workers in WORKERS:
        head += [f"{workers} worker{'s' * (workers > 1)}, jobs/s", "range"]
    return markdown_table([*head, f"{WORKERS[-1]} ÷ 1"], rows)
