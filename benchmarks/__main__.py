"""`make bench`: jobs per second of this project and its peers, interleaved, as a Markdown table."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import tally
from dev.stack import ROOT, Stack, join, terminate

PATIENCE = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peers", default="job_server,arq_polling", help="modules in benchmarks/peers, with commas"
    )
    parser.add_argument("--jobs", type=int, default=10_000, help="no-op jobs per measurement")
    parser.add_argument("--slots", type=int, default=10, help="jobs at once in a worker process")
    parser.add_argument("--workers", type=int, default=1, help="worker processes")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per peer; the median counts")
    options = parser.parse_args()
    peers = options.peers.split(",")
    rates: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(options.rounds):
        for peer in peers:
            rate = throughput(peer, jobs=options.jobs, slots=options.slots, workers=options.workers)
            rates[peer].append(rate)
            print(f"{peer}: {rate:,.0f} jobs/s", file=sys.stderr, flush=True)
    print(table(rates))


def throughput(peer: str, *, jobs: int, slots: int, workers: int) -> float:
    """Jobs per second between the first and the last twentieth of a full queue, on a Redis of its own."""
    with TemporaryDirectory(prefix="job-server-bench-") as folder:
        stack = Stack(Path(folder))
        stack.start_redis()
        environment = {**os.environ, "REDIS_URL": stack.redis_url, tally.FOLDER: folder}
        program = [sys.executable, "-m", f"benchmarks.peers.{peer}"]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            subprocess.run(
                [*program, "enqueue", str(jobs)], cwd=ROOT, env=environment, check=True, timeout=PATIENCE
            )
            for _ in range(workers):
                with (Path(folder) / "worker.log").open("ab") as log:
                    command = [*program, "worker", str(slots)]
                    processes.append(
                        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
                    )
            begin, done_before = reach(Path(folder), jobs // 20)
            end, done = reach(Path(folder), jobs - jobs // 20)
            return (done - done_before) / (end - begin)
        finally:
            for process in processes:
                terminate(process)
            for process in processes:
                join(process, seconds=5)
            stack.close()


def reach(folder: Path, count: int) -> tuple[float, int]:
    """The moment at which `count` jobs are done, and how many are done by then."""
    end = time.monotonic() + PATIENCE
    while (done := tally.total(folder)) < count:
        if time.monotonic() > end:
            raise TimeoutError(
                f"{done} of {count} jobs were done: {(folder / 'worker.log').read_text()[-2000:]}"
            )
        time.sleep(0.002)
    return time.monotonic(), done


def table(rates: dict[str, list[float]]) -> str:
    medians = {peer: statistics.median(found) for peer, found in rates.items()}
    base = medians[next(iter(medians))]
    rows = []
    for peer, median in medians.items():
        spread = f"{min(rates[peer]):,.0f} to {max(rates[peer]):,.0f}"
        rows.append(f"| {peer} | {median:,.0f} | {spread} | {base / median:.1f} |")
    head = "| peer | jobs/s, median | range | times slower |\n| --- | --- | --- | --- |"
    return "\n".join([head, *rows])


if __name__ == "__main__":
    main()
