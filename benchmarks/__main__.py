"""`make bench`: benchmarks of this project beside its peers, interleaved, as Markdown tables."""

import argparse
import signal
import sys
import time

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.machine import describe_machine
from benchmarks.peer_stack import PeerStack
from benchmarks.progress import log
from benchmarks.sections import (
    acks,
    batches,
    csv_profile,
    depth,
    http,
    inference,
    latency,
    memory,
    metrics,
    operating,
    processes,
    scaling,
    sleep,
    submit,
    throughput,
    traces,
    waits,
    workers,
)
from benchmarks.slow_scripts import report_slow_scripts

SECTIONS = {
    "throughput": throughput,
    "workers": workers,
    "sleep": sleep,
    "latency": latency,
    "submit": submit,
    "depth": depth,
    "memory": memory,
    "http": http,
    "batches": batches,
    "waits": waits,
    "operating": operating,
    "metrics": metrics,
    "traces": traces,
    "acks": acks,
    "processes": processes,
    "scaling": scaling,
    "csv_profile": csv_profile,
    "inference": inference,
}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all processes end
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections to run, with commas")
    parser.add_argument("--peers", default="", help="peers to measure, with commas; default: all")
    parser.add_argument(
        "--rounds", type=int, default=5, help="repetitions of each measurement (medians count)"
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the jobs: does everything run?")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    options = BenchmarkOptions(
        rounds=arguments.rounds, quick=arguments.quick, peers=tuple(filter(None, arguments.peers.split(",")))
    )
    print(f"Measured on {describe_machine(_redis_version())}. Medians of {options.rounds}.")
    for name in chosen:
        section = SECTIONS[name]
        log(f"{name} …")
        begin = time.monotonic()
        found = section.run(options)
        print(f"\n## {name}\n\n{(section.__doc__ or '').strip()}\n\n{found}", flush=True)
        print(f"\n{report_slow_scripts()}", flush=True)
        log(f"{name}: {time.monotonic() - begin:.0f} s")


def _redis_version() -> str:
    with PeerStack("job_server") as stack:
        return str(stack.info("server")["redis_version"])


if __name__ == "__main__":
    main()
