"""Functions in child processes fork, leave threads, write anywhere: no job gets another job's data."""

import asyncio
import json
from typing import get_args

import orjson

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, figure
from chaos.direct_queue import direct_queue
from chaos.handlers.cross_calls import CROSS, Fault
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.service import Service
from shared.store import redis_keys
from shared.store.submission import NewJob

CALLS, CHILDREN = 200, 2
FAULTS = get_args(Fault)


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("crossed calls")
    calls = options.scaled(CALLS, least=20)
    faults = [rng.choice(FAULTS) for _ in range(calls)]
    with chaos_service(workers=1, WORKER_PROCESSES=str(CHILDREN)) as service:
        jobs = asyncio.run(submit(service, faults))
        found = records.settled(service.redis, list(jobs), seconds=120)
        logs = {job_id: service.redis.lrange(redis_keys.LOGS + job_id, 0, -1) for job_id in jobs}
    # A late thread of the job itself may report until the call has ended.
    own = {job_id: {str(number), f"late {number}"} for job_id, number in jobs.items()}
    results = sum(found[job_id].get("result", str(number)) != str(number) for job_id, number in jobs.items())
    lines = sum(not {json.loads(line)["message"] for line in logs[job_id]} <= own[job_id] for job_id in jobs)
    progress = sum(_message(found[job_id]) not in own[job_id] | {""} for job_id in jobs)
    failed = [r for r in found.values() if r.get("state") != "completed"]
    name = f"{calls} calls in {CHILDREN} processes"
    return [
        exactly(f"{name}: results of another job", results, 0),
        exactly(f"{name}: jobs with log lines of another job, or of a fork", lines, 0),
        exactly(f"{name}: jobs with progress of another job", progress, 0),
        exactly(f"{name}: acknowledged jobs lost", sum(not records.is_done(r) for r in found.values()), 0),
        figure(f"{name}: jobs failed, because their function broke its connection", str(len(failed))),
    ]


def _message(record: Record) -> str:
    return str(json.loads(record["progress"])["message"]) if "progress" in record else ""


async def submit(service: Service, faults: list[Fault]) -> dict[str, int]:
    """Submit a job for each fault; returns their numbers by job id."""
    jobs = {}
    async with direct_queue(service.stack.redis_url) as queue:
        for number, fault in enumerate(faults):
            params = orjson.dumps({"number": number, "fault": fault})
            submitted = await queue.submit(NewJob(CROSS, params, "chaos"))
            jobs[submitted.record.job_id] = number
    return jobs
