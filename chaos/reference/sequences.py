"""Random sequences of calls to one Redis server, as many as fit into a time.

`python -m chaos.reference.sequences (fake | URL) SEQUENCES SEED SECONDS` prints the number of sequences and
of steps that it played.
"""

import asyncio
import sys
import time

from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from redis.asyncio import Redis

from chaos.reference.state_machine import StoreStateMachine
from shared.store.client import connect

STEPS = 50
PORTION = 50  # sequences between two checks of the time


def play(server: str, sequences: int, number: int, *, steps: int = STEPS) -> tuple[int, int]:
    """Compare the store with its reference; returns the number of sequences and of steps.

    Args:
        server: the URL of a Redis whose database may be emptied, or `fake`.
        sequences: the number to play.
        number: the seed.
        steps: the calls of each.

    Raises:
        AssertionError: store and reference differ; the shortest sequence that shows it is printed.
    """
    loop = asyncio.new_event_loop()
    redis: Redis = FakeAsyncRedis() if server == "fake" else connect(server)

    class Machine(StoreStateMachine):
        pass

    Machine.loop, Machine.redis = loop, redis
    terms = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(Machine), settings=terms)
    finally:
        loop.run_until_complete(redis.aclose(close_connection_pool=True))
        loop.close()
    return Machine.sequences, Machine.steps


def play_for(server: str, sequences: int, number: int, seconds: float) -> tuple[int, int]:
    """Play in portions, each with its own seed, until all are played or `seconds` have passed."""
    end = time.monotonic() + seconds
    played, steps = 0, 0
    while played < sequences and time.monotonic() < end:
        more, calls = play(server, min(PORTION, sequences - played), number * 100_000 + played)
        played, steps = played + more, steps + calls
    return played, steps


if __name__ == "__main__":
    print(*play_for(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
