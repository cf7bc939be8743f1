"""`python -m chaos` breaks the service in every way it must survive, and prints a Markdown table."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module

from chaos.rows import Options, Row, table

SCENARIOS = (
    "kills",
    "api_kills",
    "redis_restarts",
    "outages",
    "failovers",
    "cuts",
    "broken_scripts",
    "slow_link",
    "broken_logs",
    "freezes",
    "rolling",
    "interleavings",
    "model",
    "rogues",
    "crossed_calls",
    "gil",
    "flush",
    "leaks",
    "artifacts",
    "webhooks",
    "tarpits",
    "strangers",
    "releases",
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios to run, with commas")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="where every choice comes from")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for a shorter run")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    signal.signal(signal.SIGTERM, _interrupt)
    options = Options(chosen.seed, chosen.scale)
    rows: list[Row] = []
    try:
        for name in names:
            rows += perform(name, options)
    except KeyboardInterrupt:
        rows.append(Row("the run", "was interrupted", "complete", False))
    print(table(rows))
    if all(row.good for row in rows):
        return 0
    print(f"\nRepeat with: python -m chaos --seed {options.seed} --scale {options.scale:g} --only …")
    return 1


def perform(name: str, options: Options) -> list[Row]:
    """One scenario; if it breaks off, that is its row."""
    print(f"{name} (seed {options.seed}) …", file=sys.stderr, flush=True)
    begin = time.monotonic()
    try:
        rows: list[Row] = import_module(f"chaos.scenarios.{name}").run(options)
    except Exception as error:
        traceback.print_exc()
        rows = [Row(name, f"{type(error).__name__}: {error}"[:200], "runs to its end", False)]
    seconds = time.monotonic() - begin
    verdict = "ok" if all(row.good for row in rows) else "FALLS SHORT"
    print(f"{name}: {verdict}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return rows


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM ends the run as Ctrl-C does, so that every process ends with it."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
