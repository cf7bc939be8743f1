"""What a job costs Redis: calls that a client sends, commands that are executed, and processor time.

*Calls* are round trips: scripts, and each command outside of one. *Commands* count those inside as well.
"Full" works off a full queue, "trickle" gets one job every few milliseconds; 10 slots a worker.
"""

import time
from typing import Any

from benchmarks.catalog import OURS, POLLING, Peer
from benchmarks.options import Options
from benchmarks.report import Figures, table, tolerated
from benchmarks.trial import Trial

WORKERS = (1, 8)
COLUMNS = ("calls", "commands", "µs")
CLIENT_CALLS = ("eval", "evalsha", "blpop", "subscribe", "ping")
TRICKLE = 400


def run(options: Options) -> str:
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
    return table(["peer", "phase", "workers", "calls/job", "commands/job", "Redis µs/job", "jobs/s"], rows)


def measure(figures: Figures, peer: Peer, workers: int, jobs: int) -> None:
    with tolerated(), Trial(peer.module) as trial:
        before = _cost(trial)
        rate = trial.enqueue(jobs)
        _add(figures, f"{peer.name} submit {workers}", before, _cost(trial), jobs, rate)
        trial.start_workers(workers, 10)
        before, begin = _cost(trial), time.monotonic()
        trial.go()
        end, _ = trial.reach(jobs)
        _add(figures, f"{peer.name} full {workers}", before, _cost(trial), jobs, jobs / (end - begin))
        time.sleep(1)
        before, begin = _cost(trial), time.monotonic()
        trial.ping(TRICKLE, 0.005)
        end, _ = trial.reach(jobs + TRICKLE)
        _add(
            figures, f"{peer.name} trickle {workers}", before, _cost(trial), TRICKLE, TRICKLE / (end - begin)
        )


def _cost(trial: Trial) -> dict[str, float]:
    calls = {
        name.removeprefix("cmdstat_"): _calls(found) for name, found in trial.info("commandstats").items()
    }
    cpu = trial.info("cpu")
    scripted = calls.get("evalsha", 0) > 0 and not calls.get("multi", 0)
    return {
        "calls": sum(calls.get(name, 0) for name in CLIENT_CALLS) if scripted else sum(calls.values()),
        "commands": sum(calls.values()),
        "µs": 1e6 * (cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]),
    }


def _calls(found: Any) -> float:
    return float(found["calls"])


def _add(
    figures: Figures, row: str, before: dict[str, float], after: dict[str, float], jobs: int, rate: float
) -> None:
    for column in COLUMNS:
        figures.add(row, column, (after[column] - before[column]) / jobs)
    figures.add(row, "jobs/s", rate)
