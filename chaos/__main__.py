"""`python -m chaos` runs the fault suite: each scenario breaks the service in one way and checks what holds.

The checks are printed as a Markdown table. The exit code is 1 if one of them fails.
"""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module

from chaos.checks import Check, table
from chaos.suite_options import SuiteOptions

SCENARIOS = (
    "kills",
    "api_kills",
    "redis_restarts",
    "outages",
    "failovers",
    "sentinel",
    "cluster",
    "replicas",
    "cuts",
    "broken_scripts",
    "slow_link",
    "broken_logs",
    "freezes",
    "rolling",
    "interleavings",
    "store_model",
    "rogues",
    "crossed_calls",
    "gil",
    "held_claims",
    "flush",
    "leaks",
    "artifacts",
    "model_hosts",
    "output",
    "steering",
    "webhooks",
    "tarpits",
    "attacks",
    "releases",
)


def main(arguments: Sequence[str] | None = None) -> int:
    names, options = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    print(
        f"{len(names)} scenarios, seed {options.seed}, scale {options.scale:g}", file=sys.stderr, flush=True
    )
    begin = time.monotonic()
    checks: dict[str, list[Check]] = {}
    try:
        for name in names:
            checks[name] = run_scenario(name, options)
    except KeyboardInterrupt:
        checks["the run"] = [Check("the run", "was interrupted", "complete", False)]
    every = [check for found in checks.values() for check in found]
    failed = [name for name, found in checks.items() if not all(check.passed for check in found)]
    print(table(every))
    print(f"\nScenarios: {len(checks)}. Checks: {len(every)}, ", end="")
    print(f"{sum(not check.passed for check in every)} failed; {time.monotonic() - begin:.0f} s.")
    if again := ",".join(name for name in failed if name in SCENARIOS):
        print(f"Repeat: python -m chaos --only {again} --seed {options.seed} --scale {options.scale:g}")
    return 1 if failed else 0


def parse(arguments: Sequence[str] | None) -> tuple[list[str], SuiteOptions]:
    """The scenarios to run and their options, from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Run the fault suite and print its checks as a Markdown table.",
        epilog=f"Scenarios: {', '.join(SCENARIOS)}.",
    )
    parser.add_argument("--only", metavar="NAMES", default=",".join(SCENARIOS), help="scenarios, with commas")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the seed of every random choice")
    parser.add_argument("--scale", type=float, default=1.0, help="less than 1 for a shorter run")
    chosen = parser.parse_args(arguments)
    names = chosen.only.split(",")
    if unknown := set(names) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}")
    return names, SuiteOptions(chosen.seed, chosen.scale)


def run_scenario(name: str, options: SuiteOptions) -> list[Check]:
    """The checks of one scenario; an exception becomes a failed check."""
    print(f"{name:15} …", file=sys.stderr, flush=True)
    begin = time.monotonic()
    try:
        checks: list[Check] = import_module(f"chaos.scenarios.{name}").run(options)
    except Exception as error:
        traceback.print_exc()
        checks = [Check(name, f"{type(error).__name__}: {error}"[:200], "runs to its end", False)]
    failed = sum(not check.passed for check in checks)
    verdict = f"{failed} of {len(checks)} checks FAILED" if failed else "ok"
    print(f"{name:15} {verdict}, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return checks


def _interrupt(number: int, frame: object) -> None:
    """End the run at SIGTERM as at Ctrl-C, so that the processes of the scenario end too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
