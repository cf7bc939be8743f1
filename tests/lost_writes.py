"""Writes that a fail-over has lost."""

from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import Claim


async def forget_claim(server: Redis, claim: Claim) -> None:
    """Undo the first claim of a job, as on a new primary that has not got its writes."""
    record = redis_keys.RECORD + claim.job_id
    await server.hdel(record, "claims", "worker", "started_at")  # type: ignore[misc]
    await server.hset(record, mapping={"state": "pending", "attempt": 0, "version": 1})  # type: ignore[misc]
    await server.zrem(redis_keys.LEASES + claim.queue, claim.lease)
    [due] = await server.hmget(record, "created_at")  # type: ignore[misc]
    await server.zadd(redis_keys.QUEUE + claim.queue, {claim.job_id: int(due)})
