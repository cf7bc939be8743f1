"""Bytes of Redis' memory per job with small params, all keys and indexes counted."""

from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.options import Options
from benchmarks.report import Figures, table, tolerated
from benchmarks.trial import Trial

TWIN = Peer("arq_records", "arq_records", ("arq",), POLLING.jobs, "")


def run(options: Options) -> str:
    figures, peers = Figures(), options.chosen((OURS, TWIN))
    for _ in range(options.rounds):
        for peer in peers:
            measure(figures, peer, options.jobs(20_000 if peer is OURS else 5000))
    rows = [
        [peer.name, *(figures.show(peer.name, state) for state in ("waiting", "finished"))] for peer in peers
    ]
    return table(["peer", "bytes per waiting job", "bytes per finished job"], rows)


def measure(figures: Figures, peer: Peer, jobs: int) -> None:
    with tolerated(), Trial(peer.module) as trial:
        empty = trial.info("memory")["used_memory"]
        trial.enqueue(jobs)
        figures.add(peer.name, "waiting", (trial.info("memory")["used_memory"] - empty) / jobs)
        trial.start_workers(1, 100)
        trial.go()
        trial.reach(jobs)
        trial.stop_workers()
        figures.add(peer.name, "finished", (trial.info("memory")["used_memory"] - empty) / jobs)
