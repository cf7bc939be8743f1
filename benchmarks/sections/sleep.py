"""Jobs that sleep, four for each slot: do they fill every slot of every worker?"""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import job_counter
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.figures import Figures, ratio
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table

SIZES = ((10, 1.0), (20, 1.0), (25, 2.0), (40, 1.0))  # workers, and seconds that each job takes
SLOTS = 10
WAVES = 4


def run(options: BenchmarkOptions) -> str:
    figures, peers = Figures(), options.chosen((OURS, POLLING))
    for _ in range(options.rounds):
        for workers, nap in SIZES:
            for peer in peers:
                measure(figures, peer, workers, nap)
    rows = []
    for peer in peers:
        for workers, nap in SIZES:
            seconds = figures.median(peer.name, f"{workers} seconds")
            row = [
                peer.name,
                str(workers),
                f"{nap:g}",
                str(workers * SLOTS),
                figures.show(peer.name, f"{workers} most"),
            ]
            row += [number_of(seconds), f"{WAVES * nap:.0f}", ratio(seconds, WAVES * nap)]
            rows.append(row)
    return markdown_table(
        ["peer", "workers", "s a job", "slots in all", "most at once", "s", "ideal s", "s ÷ ideal"], rows
    )


def measure(figures: Figures, peer: Peer, workers: int, nap: float) -> None:
    """Measure the most jobs at once, and the seconds from the first start to the last end."""
    jobs = workers * SLOTS * WAVES
    with failure_logged(), PeerStack(peer.module, BENCH_NAP=str(nap)) as stack, ThreadPoolExecutor(1) as pool:
        stack.start_workers(workers, SLOTS)
        stack.go()
        time.sleep(3)
        submitting = pool.submit(stack.enqueue, jobs)
        most, begin, done = 0, 0.0, 0
        end = time.monotonic() + 60
        while done < jobs and time.monotonic() < end:
            done, begun = stack.finished(), job_counter.read_count(stack.folder, "started")
            begin = begin or (time.monotonic() if begun else 0.0)
            most = max(most, begun - done)
            time.sleep(0.02)
        submitting.result()
        figures.add(peer.name, f"{workers} most", most)
        figures.add(peer.name, f"{workers} seconds", time.monotonic() - begin)


def number_of(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f}"
