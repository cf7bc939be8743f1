"""Whether jobs that wait fill every slot of every worker: one-second jobs, four for each slot."""

import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import tally
from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.options import Options
from benchmarks.report import Figures, ratio, table, tolerated
from benchmarks.trial import Trial

WORKERS = (10, 25)
SLOTS = 10
NAP = 1.0
WAVES = 4


def run(options: Options) -> str:
    figures, peers = Figures(), options.chosen((OURS, POLLING))
    for _ in range(options.rounds):
        for workers in WORKERS:
            for peer in peers:
                measure(figures, peer, workers)
    rows = []
    for peer in peers:
        for workers in WORKERS:
            seconds = figures.median(peer.name, f"{workers} seconds")
            row = [peer.name, str(workers), str(workers * SLOTS), figures.show(peer.name, f"{workers} most")]
            row += [number_of(seconds), f"{WAVES * NAP:.0f}", ratio(seconds, WAVES * NAP)]
            rows.append(row)
    return table(["peer", "workers", "slots in all", "most at once", "s", "ideal s", "s ÷ ideal"], rows)


def measure(figures: Figures, peer: Peer, workers: int) -> None:
    """The most jobs at once, and the seconds from the first start to the last end."""
    jobs = workers * SLOTS * WAVES
    with tolerated(), Trial(peer.module, BENCH_NAP=str(NAP)) as trial, ThreadPoolExecutor(1) as pool:
        trial.start_workers(workers, SLOTS)
        trial.go()
        time.sleep(3)
        submitting = pool.submit(trial.enqueue, jobs)
        most, begin, done = 0, 0.0, 0
        end = time.monotonic() + 60
        while done < jobs and time.monotonic() < end:
            done, begun = trial.done(), tally.total(trial.folder, "begun")
            begin = begin or (time.monotonic() if begun else 0.0)
            most = max(most, begun - done)
            time.sleep(0.02)
        submitting.result()
        figures.add(peer.name, f"{workers} most", most)
        figures.add(peer.name, f"{workers} seconds", time.monotonic() - begin)


def number_of(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.2f}"
