"""Workers as API and operators see them: the WorkerInfo that each heartbeat writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.store import redis_keys
from shared.store.redis_calls import RedisCalls


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Name, place and size of one worker process."""

    worker_id: str
    host: str
    pid: int
    queues: Sequence[str]
    slots: int
    started_at: float


async def live_workers(redis: RedisCalls) -> list[dict[str, str]]:
    """The workers whose heartbeat is in time, each with its WorkerInfo and its number of `running` jobs."""
    ids = await redis.command("ZRANGE", redis_keys.WORKERS, 0, -1)
    found = []
    for worker_id in ids:
        fields = await redis.hash(redis_keys.WORKER + worker_id.decode())
        if b"host" in fields:
            shown = {name.decode(): value.decode() for name, value in fields.items()}
            found.append({"worker_id": worker_id.decode()} | shown)
    return found


def models_of(worker: dict[str, str]) -> list[dict[str, Any]]:
    """The model hosts of a live worker: `type`, `device`, `state`, `since` and `error` of each."""
    states: list[dict[str, Any]] = orjson.loads(worker.get("models") or "[]")
    return states
