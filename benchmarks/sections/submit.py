"""The cost of a job in Redis: calls, commands and processor time.

*Calls* are round trips: a script, or a command outside of scripts. *Commands* count those inside as well.
"full" works off a full queue, "trickle" gets one job every few milliseconds; 10 slots a worker.
"""

import time
from typing import Any

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.figures import Figures
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import failure_logged
from dev.markdown import markdown_table

WORKERS = (1, 8)
COLUMNS = ("calls", "commands", "µs")
CLIENT_CALLS = ("eval", "evalsha", "blpop", "subscribe", "ping")
TRICKLE = 400


def run(options: BenchmarkOptions) -> str:
    figures, peers = Figures(), options.chosen((OURS, POLLING))
    for _ in range(options.rounds):
        for workers in WORKERS:
            for peer in peers:
                measure(figures, peer, workers, options.jobs(min(peer.jobs, 20_000)))
    rows = []
    for peer in peers:
        for workers in WORKERS:
            for phase in ("submit", "full", "trickle"):
                if phase != "submit" or workers == WORKERS[0]:
                    row = f"{peer.name} {phase} {workers}"
                    cells = [figures.show(row, column, 2) for column in (*COLUMNS, "jobs/s")]
                    rows.append([peer.name, phase, "–" if phase == "submit" else str(workers), *cells])
    return markdown_table(
        ["peer", "phase", "workers", "calls/job", "commands/job", "Redis µs/job", "jobs/s"], rows
    )


def measure(figures: Figures, peer: Peer, workers: int, jobs: int) -> None:
    with failure_logged(), PeerStack(peer.module) as stack:
        before = _cost(stack)
        rate = stack.enqueue(jobs)
        _add(figures, f"{peer.name} submit {workers}", before, _cost(stack), jobs, rate)
        stack.start_workers(workers, 10)
        before, begin = _cost(stack), time.monotonic()
        stack.go()
        end, _ = stack.wait_for_finished(jobs)
        _add(figures, f"{peer.name} full {workers}", before, _cost(stack), jobs, jobs / (end - begin))
        time.sleep(1)
        before, begin = _cost(stack), time.monotonic()
        stack.ping(TRICKLE, 0.005)
        end, _ = stack.wait_for_finished(jobs + TRICKLE)
        _add(
            figures, f"{peer.name} trickle {workers}", before, _cost(stack), TRICKLE, TRICKLE / (end - begin)
        )


def _cost(stack: PeerStack) -> dict[str, float]:
    calls = {
        name.removeprefix("cmdstat_"): _calls(found) for name, found in stack.info("commandstats").items()
    }
    scripted = calls.get("evalsha", 0) > 0 and not calls.get("multi", 0)
    return {
        "calls": sum(calls.get(name, 0) for name in CLIENT_CALLS) if scripted else sum(calls.values()),
        "commands": sum(calls.values()),
        "µs": 1e6 * stack.redis_seconds(),
    }


def _calls(found: Any) -> float:
    return float(found["calls"])


def _add(
    figures: Figures, row: str, before: dict[str, float], after: dict[str, float], jobs: int, rate: float
) -> None:
    for column in COLUMNS:
        figures.add(row, column, (after[column] - before[column]) / jobs)
    figures.add(row, "jobs/s", rate)
