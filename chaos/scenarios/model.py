"""Random sequences of calls: the store does what a plain model does, on the fake and on a real Redis."""

import subprocess
import sys
import time

from chaos.rows import Options, Row
from chaos.sequences import STEPS
from chaos.site import Site, site
from dev.stack import Process, join, terminate

SEQUENCES = {"real": 2000, "fake": 800}  # the fake takes twice as long
SECONDS, PATIENCE = 150.0, 240.0  # to play; to wait for the last portion, or for a failure to be made short


def run(options: Options) -> list[Row]:
    """Both at once, each in a process of its own."""
    players: dict[str, Process] = {}
    with site(api=False) as place:
        try:
            for kind in SEQUENCES:
                players[kind] = start(place, kind, options)
            end = time.monotonic() + PATIENCE
            return [row(place, kind, player, end) for kind, player in players.items()]
        finally:
            for player in players.values():
                terminate(player)
                join(player, seconds=2)


def start(place: Site, kind: str, options: Options) -> Process:
    server = place.stack.admin_url if kind == "real" else "fake"
    words = (server, options.times(SEQUENCES[kind], least=20), options.seed, SECONDS)
    return place.stack._spawn(kind, [sys.executable, "-m", "chaos.sequences", *map(str, words)])


def row(place: Site, kind: str, player: Process, end: float) -> Row:
    """How a player ended; a failure's sequence goes to stderr."""
    test = f"model against {kind} Redis"
    try:
        code = player.wait(timeout=max(1.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return Row(test, f"not done after {PATIENCE:g} s", "done", False)
    output = place.stack.output(kind)
    if code != 0:
        print(output[-20_000:], file=sys.stderr)
        return Row(test, output.strip().splitlines()[-1][:200], "no difference", False)
    sequences, steps = output.split()[-2:]
    figure = f"0 differences in {int(sequences):,} sequences, {int(steps):,} steps"
    return Row(test, figure, f"0 in {SEQUENCES[kind]:,} × {STEPS} at scale 1, or {SECONDS:g} s", True)
