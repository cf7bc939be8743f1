"""Milliseconds from just before the submission to the start of the job, while nothing else runs."""

import statistics
import time

from benchmarks import tally
from benchmarks.catalog import LOGGING, PEERS, Peer
from benchmarks.options import Options
from benchmarks.report import Figures, table, tolerated
from benchmarks.trial import Trial

WARM_UP = 10
PAUSE = 0.02


def run(options: Options) -> str:
    figures = Figures()
    peers = options.chosen(peer for peer in PEERS if peer is not LOGGING)
    for _ in range(options.rounds):
        for peer in peers:
            measure(figures, peer, options.jobs(120))
    rows = [
        [
            peer.name,
            *(figures.show(peer.name, column, 2) for column in ("p50", "p99")),
            *_spreads(figures, peer),
        ]
        for peer in peers
    ]
    return table(["peer", "p50, ms", "p99, ms", "range of p50", "range of p99"], rows)


def measure(figures: Figures, peer: Peer, jobs: int) -> None:
    with tolerated(), Trial(peer.module, **dict(peer.environment)) as trial:
        trial.start_workers(1, 10)
        trial.go()
        time.sleep(1.0)
        trial.ping(WARM_UP, PAUSE)
        trial.reach(WARM_UP)
        trial.ping(jobs, PAUSE)
        trial.reach(WARM_UP + jobs)
        found = tally.latencies(trial.folder)[WARM_UP:]
    percentiles = statistics.quantiles(found, n=100)
    figures.add(peer.name, "p50", 1000 * percentiles[49])
    figures.add(peer.name, "p99", 1000 * percentiles[98])


def _spreads(figures: Figures, peer: Peer) -> list[str]:
    return [figures.spread(peer.name, column, 2) for column in ("p50", "p99")]
