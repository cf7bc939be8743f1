"""The comparison of Redis with the reference store."""

from collections.abc import Collection, Iterable
from typing import Any

import orjson
from redis.asyncio import Redis

from chaos.reference.store import ReferenceJob
from shared.record import TERMINAL_STATES, JobState
from shared.store import redis_keys


async def diff_records(redis: Redis, jobs: Iterable[ReferenceJob]) -> list[str]:
    """The differences between the records in Redis and the reference's jobs, as texts."""
    jobs = list(jobs)
    pipeline = redis.pipeline(transaction=False)
    for job in jobs:
        pipeline.hgetall(redis_keys.RECORD + job.job_id)
    found = []
    for job, record in zip(jobs, await pipeline.execute(), strict=True):
        held, expected = _fields_of_record(record), _fields_of_job(job)
        wrong = [
            f"{name} is {held[name]}, expected {expected[name]}"
            for name in held
            if held[name] != expected[name]
        ]
        found += [f"{job.job_id}: {fault}" for fault in wrong]
    return found


def _fields_of_record(record: dict[bytes, bytes]) -> dict[str, Any]:
    get = record.get
    return {
        "queue": get(b"queue"),
        "state": get(b"state"),
        "version": int(get(b"version", 0)),
        "attempt": int(get(b"attempt", 0)),
        "claims": int(get(b"claims", 0)),
        "cancel_requested": b"cancel_requested" in record,
        "moved": b"run_at" in record,
        "worker": get(b"worker", b""),
        "result": get(b"result", b""),
        "progress": get(b"progress", b""),
        "errors": [(error["code"], error["attempt"]) for error in orjson.loads(get(b"errors", b"[]"))],
        "ended": b"finished_at" in record,
    }


def _fields_of_job(job: ReferenceJob) -> dict[str, Any]:
    return {
        "queue": job.queue.encode(),
        "state": job.state.encode(),
        "version": job.version,
        "attempt": job.attempt,
        "claims": job.claims,
        "cancel_requested": job.cancel_requested,
        "moved": job.moved,
        "worker": job.worker.encode(),
        "result": job.result,
        "progress": job.progress,
        "errors": job.errors,
        "ended": job.state in TERMINAL_STATES,
    }


async def diff_indexes(redis: Redis, jobs: Collection[ReferenceJob], queues: Iterable[str]) -> list[str]:
    """The differences in indexes, queues, leases, messages and expiries, as texts."""
    members: dict[str, set[str]] = {redis_keys.INDEX: {job.job_id for job in jobs}}
    for state in TERMINAL_STATES:
        members[redis_keys.INDEX_OF + state] = {job.job_id for job in jobs if job.state == state}
    for queue in queues:
        mine = [job for job in jobs if job.queue == queue]
        members[redis_keys.QUEUE + queue] = {job.job_id for job in mine if job.state == JobState.PENDING}
        members[redis_keys.LEASES + queue] = {f"{job.lease}:{job.job_id}" for job in mine if job.lease}
    found = []
    for key, expected in members.items():
        held = {name.decode() for name in await redis.zrange(key, 0, -1)}
        if held != expected:
            found.append(f"{key} holds {sorted(held)}, expected {sorted(expected)}")
    for job in jobs:
        done = job.state in TERMINAL_STATES
        if bool(await redis.exists(redis_keys.MESSAGE + job.job_id)) == done:
            found.append(f"the message of {job.job_id} is {'left over' if done else 'missing'}")
        if (await redis.ttl(redis_keys.RECORD + job.job_id) > 0) != done:
            found.append(f"the record of {job.job_id} has the wrong expiry")
    return found
