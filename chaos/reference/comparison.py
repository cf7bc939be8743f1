"""Whether Redis holds what the plain model holds."""

from collections.abc import Collection, Iterable
from typing import Any

import orjson
from redis.asyncio import Redis

from chaos.reference.store import Job
from shared.record import TERMINAL_STATES, JobState
from shared.store import redis_keys


async def diff_records(redis: Redis, jobs: Iterable[Job]) -> list[str]:
    """What differs between the records and the model's jobs."""
    jobs = list(jobs)
    pipeline = redis.pipeline(transaction=False)
    for job in jobs:
        pipeline.hgetall(redis_keys.RECORD + job.job_id)
    found = []
    for job, record in zip(jobs, await pipeline.execute(), strict=True):
        held, wanted = _of_record(record), _of_job(job)
        wrong = [f"{name} is {held[name]}, not {wanted[name]}" for name in held if held[name] != wanted[name]]
        found += [f"{job.job_id}: {fault}" for fault in wrong]
    return found


def _of_record(record: dict[bytes, bytes]) -> dict[str, Any]:
    get = record.get
    return {
        "queue": get(b"queue"),
        "state": get(b"state"),
        "version": int(get(b"version", 0)),
        "attempt": int(get(b"attempt", 0)),
        "claims": int(get(b"claims", 0)),
        "cancel_requested": b"cancel_requested" in record,
        "put off": b"run_at" in record,
        "worker": get(b"worker", b""),
        "result": get(b"result", b""),
        "progress": get(b"progress", b""),
        "errors": [(error["code"], error["attempt"]) for error in orjson.loads(get(b"errors", b"[]"))],
        "ended": b"finished_at" in record,
    }


def _of_job(job: Job) -> dict[str, Any]:
    return {
        "queue": job.queue.encode(),
        "state": job.state.encode(),
        "version": job.version,
        "attempt": job.attempt,
        "claims": job.claims,
        "cancel_requested": job.cancel_requested,
        "put off": job.delayed,
        "worker": job.worker.encode(),
        "result": job.result,
        "progress": job.progress,
        "errors": job.errors,
        "ended": job.state in TERMINAL_STATES,
    }


async def diff_indexes(redis: Redis, jobs: Collection[Job], queues: Iterable[str]) -> list[str]:
    """What differs in the indexes, queues, leases, messages and ends of life."""
    members: dict[str, set[str]] = {redis_keys.INDEX: {job.job_id for job in jobs}}
    for state in JobState:
        members[redis_keys.INDEX_OF + state] = {job.job_id for job in jobs if job.state == state}
    for queue in queues:
        mine = [job for job in jobs if job.queue == queue]
        members[redis_keys.QUEUE + queue] = {job.job_id for job in mine if job.state == JobState.PENDING}
        members[redis_keys.LEASES + queue] = {f"{job.lease}:{job.job_id}" for job in mine if job.lease}
    found = []
    for key, wanted in members.items():
        held = {name.decode() for name in await redis.zrange(key, 0, -1)}
        if held != wanted:
            found.append(f"{key} holds {sorted(held)}, not {sorted(wanted)}")
    for job in jobs:
        done = job.state in TERMINAL_STATES
        if bool(await redis.exists(redis_keys.MESSAGE + job.job_id)) == done:
            found.append(f"the message of {job.job_id} is {'left over' if done else 'missing'}")
        if (await redis.ttl(redis_keys.RECORD + job.job_id) > 0) != done:
            found.append(f"the record of {job.job_id} has the wrong end of life")
    return found
