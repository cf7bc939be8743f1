"""`make bench`: measures this project beside its peers, interleaved, and prints Markdown tables."""

import argparse
import signal
import sys
import time

from benchmarks.catalog import machine
from benchmarks.options import Options
from benchmarks.report import log
from benchmarks.sections import (
    csv_profile,
    depth,
    http,
    latency,
    memory,
    sleep,
    submit,
    throughput,
    waits,
    workers,
)
from benchmarks.trial import Trial

SECTIONS = {
    "throughput": throughput,
    "workers": workers,
    "sleep": sleep,
    "latency": latency,
    "submit": submit,
    "depth": depth,
    "memory": memory,
    "http": http,
    "waits": waits,
    "csv_profile": csv_profile,
}


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every process is ended
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas")
    parser.add_argument("--peers", default="", help="rows to measure, with commas; all unless given")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of everything; the median counts")
    parser.add_argument("--quick", action="store_true", help="few jobs: to see that all works")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    options = Options(
        rounds=arguments.rounds, quick=arguments.quick, peers=tuple(filter(None, arguments.peers.split(",")))
    )
    print(f"Measured on {machine(_redis_version())}. Medians of {options.rounds}.")
    for name in chosen:
        section = SECTIONS[name]
        log(f"{name} …")
        begin = time.monotonic()
        found = section.run(options)
        print(f"\n## {name}\n\n{(section.__doc__ or '').strip()}\n\n{found}", flush=True)
        log(f"{name}: {time.monotonic() - begin:.0f} s")


def _redis_version() -> str:
    with Trial("job_server") as trial:
        return str(trial.info("server")["redis_version"])


if __name__ == "__main__":
    main()
