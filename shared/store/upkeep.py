"""Upkeep: rescue, expiry, pruning and repair of jobs, done now and then by every process."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store import scripts
from shared.store.client import Runner
from shared.store.moves import NO_MOVES, Move, moves_of
from shared.store.redis_calls import RedisCalls, milliseconds
from shared.store.retention import Retention

RETRY_SECONDS = 0.5  # after a try that Redis did not answer
SHORT_PAUSE = 0.02  # between two calls when one does not do everything
MAX_PAUSE = 1.0  # of a process that does not know how long a lease of the next worker will hold

log = get_log(__name__)


class UpkeepResult(NamedTuple):
    """The effects of one upkeep.

    Attributes:
        lease: seconds that the workers' leases hold.
        rescued: ids of jobs whose lease ran out.
        repaired: ids of jobs that were lost, each with its fault.
        more: whether more is to be done, since a call is short.
        moves: those that the call has made.
    """

    lease: float
    rescued: list[str]
    repaired: dict[str, str]
    more: bool
    moves: list[Move] = NO_MOVES


class Upkeep:
    """The state changes that have to happen even if no request and no worker step ever reaches the job.

    Args:
        runner: sends commands to Redis.
        retention: how long finished jobs are kept.
    """

    def __init__(self, runner: Runner, retention: Retention) -> None:
        self._redis = RedisCalls(runner)
        self._retention = retention

    async def run(self, queues: Iterable[str], *, lease: float = 0) -> UpkeepResult:
        """Rescue, expire, prune and repair jobs once. Raises QueueUnavailable.

        Args:
            queues: where leases may have run out.
            lease: the caller's own, in seconds; 0 for that of the workers.
        """
        lease_ms, rescued, repaired, more, moves = await self._redis.run(
            scripts.UPKEEP, *self._retention, milliseconds(lease), *queues
        )
        words = [word.decode() for word in repaired]
        return UpkeepResult(
            lease_ms / 1000,
            [job_id.decode() for job_id in rescued],
            dict(zip(words[::2], words[1::2], strict=True)),
            bool(more),
            moves_of(moves),
        )


async def keep_up(
    upkeep: Upkeep,
    queues: Sequence[str],
    *,
    lease: float = 0,
    on_moves: Callable[[Sequence[Move]], None] | None = None,
) -> None:
    """Rescue, expire, prune and repair jobs, at least three times a lease, until cancelled.

    The calls are signs of life as well: a gap between those of all processes tells that Redis was away.

    Args:
        queues: where leases may have run out.
        lease: the caller's own, in seconds; 0 for that of the workers, which may change.
        on_moves: called with the moves of each call.
    """
    while True:
        pause = RETRY_SECONDS
        try:
            done = await upkeep.run(queues, lease=lease)
        except QueueUnavailable:
            pass  # requests and steps say so
        except Exception:
            log.exception("the upkeep failed; it is tried again")
        else:
            if on_moves is not None:
                on_moves(done.moves)
            for job_id in done.rescued:
                log.warning("rescued a job whose worker was lost", job_id=job_id)
            for job_id, wrong in done.repaired.items():
                log.error("repaired a job that was lost", job_id=job_id, wrong=wrong)
            pause = lease / 3 or min(done.lease / 3, MAX_PAUSE)
            pause = min(pause, SHORT_PAUSE) if done.more else pause
        await asyncio.sleep(pause * random.uniform(0.8, 1.0))
