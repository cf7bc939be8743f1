"""Bytes of Redis' memory per job with small params, all keys and indexes counted."""

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.figures import Figures
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table

TWIN = Peer("arq_records", "arq_records", ("arq",), POLLING.jobs, "")


def run(options: BenchmarkOptions) -> str:
    figures, peers = Figures(), options.chosen((OURS, TWIN))
    for _ in range(options.rounds):
        for peer in peers:
            measure(figures, peer, options.jobs(20_000 if peer is OURS else 5000))
    rows = [
        [peer.name, *(figures.show(peer.name, state) for state in ("waiting", "finished"))] for peer in peers
    ]
    return markdown_table(["peer", "bytes per waiting job", "bytes per finished job"], rows)


def measure(figures: Figures, peer: Peer, jobs: int) -> None:
    with failure_logged(), PeerStack(peer.module) as stack:
        empty = stack.info("memory")["used_memory"]
        stack.enqueue(jobs)
        figures.add(peer.name, "waiting", (stack.info("memory")["used_memory"] - empty) / jobs)
        stack.start_workers(1, 100)
        stack.go()
        stack.wait_for_finished(jobs)
        stack.stop_workers()
        figures.add(peer.name, "finished", (stack.info("memory")["used_memory"] - empty) / jobs)
