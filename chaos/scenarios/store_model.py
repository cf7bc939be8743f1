"""Random sequences of calls: the store against a reference in plain Python, on fakeredis and on Redis."""

import subprocess
import sys
import time

from chaos.chaos_service import chaos_service
from chaos.checks import Check
from chaos.reference.sequences import STEPS
from chaos.suite_options import SuiteOptions
from dev.service import Service
from dev.stack import Process, join, terminate

SEQUENCES = {"real": 2000, "fake": 800}  # fakeredis takes twice as long
SECONDS, PATIENCE = 150.0, 240.0  # to play; then for the last portion, or to shrink a failing sequence


def run(options: SuiteOptions) -> list[Check]:
    """Play on both servers at once, each in its own process."""
    players: dict[str, Process] = {}
    with chaos_service(api=False) as service:
        try:
            for kind in SEQUENCES:
                players[kind] = start(service, kind, options)
            end = time.monotonic() + PATIENCE
            return [check(service, kind, player, end) for kind, player in players.items()]
        finally:
            for player in players.values():
                terminate(player)
                join(player, seconds=2)


def start(service: Service, kind: str, options: SuiteOptions) -> Process:
    server = service.stack.admin_url if kind == "real" else "fake"
    words = (server, options.scaled(SEQUENCES[kind], least=20), options.seed, SECONDS)
    return service.stack.spawn(kind, [sys.executable, "-m", "chaos.reference.sequences", *map(str, words)])


def check(service: Service, kind: str, player: Process, end: float) -> Check:
    """The check of one player; the sequence of a failure is printed to stderr."""
    name = f"store against its reference: differences, {kind} Redis"
    try:
        code = player.wait(timeout=max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return Check(name, f"not done after {PATIENCE:g} s", "done", False)
    output = service.stack.output(kind)
    if code != 0:
        print(output[-20_000:], file=sys.stderr)
        return Check(name, output.strip().splitlines()[-1][:200], "no difference", False)
    sequences, steps = output.split()[-2:]
    figure = f"0 in {int(sequences):,} sequences, {int(steps):,} steps"
    return Check(name, figure, f"0 in {SEQUENCES[kind]:,} × {STEPS} at scale 1, or {SECONDS:g} s", True)
