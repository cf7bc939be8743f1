"""Milliseconds from just before the submission to the start of the job, while nothing else runs.

Every peer has the same loop of submissions: one job at a time, 10 to 30 ms apart.
"""

import time

from benchmarks import job_counter
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import LOGGING, PEERS, Peer
from benchmarks.figures import Figures
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table
from dev.percentiles import percentile

WARM_UP = 10
PAUSE = 0.02
JOBS = 300  # the p99 of fewer is one of the two longest


def run(options: BenchmarkOptions) -> str:
    figures = Figures()
    peers = options.chosen(peer for peer in PEERS if peer is not LOGGING)
    for _ in range(options.rounds):
        for peer in peers:
            measure(figures, peer, options.jobs(JOBS))
    rows = [
        [
            peer.name,
            *(figures.show(peer.name, column, 2) for column in ("p50", "p99")),
            *_spreads(figures, peer),
        ]
        for peer in peers
    ]
    return markdown_table(["peer", "p50, ms", "p99, ms", "range of p50", "range of p99"], rows)


def measure(figures: Figures, peer: Peer, jobs: int) -> None:
    with failure_logged(), PeerStack(peer.module, **dict(peer.environment)) as stack:
        stack.start_workers(1, 10)
        stack.go()
        time.sleep(1.0)
        stack.ping(WARM_UP, PAUSE)
        stack.wait_for_finished(WARM_UP)
        stack.ping(jobs, PAUSE)
        stack.wait_for_finished(WARM_UP + jobs)
        found = job_counter.read_latencies(stack.folder)[WARM_UP:]
    figures.add(peer.name, "p50", 1000 * percentile(found, 50))
    figures.add(peer.name, "p99", 1000 * percentile(found, 99))


def _spreads(figures: Figures, peer: Peer) -> list[str]:
    return [figures.spread(peer.name, column, 2) for column in ("p50", "p99")]
