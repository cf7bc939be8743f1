"""No-op jobs per second of one worker process.

Processor time is that of the worker's processes and that of Redis' main thread, over the same jobs.
"""

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS, Peer
from benchmarks.figures import Figures, ratio
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table

SLOTS = (10, 100)


def run(options: BenchmarkOptions) -> str:
    figures, peers = Figures(), options.chosen()
    for _ in range(options.rounds):
        for slots in SLOTS:
            for peer in peers:
                if slots in peer.slots:
                    measure(figures, peer, str(slots), options.jobs(peer.jobs), slots)
    return _table(figures, peers)


def measure(figures: Figures, peer: Peer, column: str, jobs: int, slots: int, *, workers: int = 1) -> None:
    """Measure the rate at which a full queue is worked off, and at which it was filled."""
    with failure_logged(), PeerStack(peer.module, **dict(peer.environment)) as stack:
        figures.add(peer.name, "submit", stack.enqueue(jobs))
        stack.start_workers(workers, slots)
        stack.go()
        rate = stack.rate(jobs)
        figures.add(peer.name, column, rate.jobs)
        figures.add(peer.name, f"{column} worker µs", rate.worker)
        figures.add(peer.name, f"{column} Redis µs", rate.redis)


def _table(figures: Figures, peers: list[Peer]) -> str:
    rows = []
    for peer in peers:
        cells = [peer.name, peer.versions, peer.setup]
        for slots in SLOTS:
            column = str(slots)
            ours = figures.median(OURS.name, column)
            cells += [figures.show(peer.name, column), figures.spread(peer.name, column)]
            cells.append(ratio(ours, figures.median(peer.name, column)))
            cells += [figures.show(peer.name, f"{column} {process} µs") for process in ("worker", "Redis")]
        rows.append([*cells, figures.show(peer.name, "submit")])
    head = ["peer", "version", "setup"]
    for slots in SLOTS:
        head += [f"jobs/s, {slots} slots", "range", "job_server is × as fast"]
        head += ["worker CPU µs/job", "Redis CPU µs/job"]
    return markdown_table([*head, "submitted/s"], rows)
