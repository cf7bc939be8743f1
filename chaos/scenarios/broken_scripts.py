"""Every command of every script fails once, under an API and a worker: no job is lost or partly stored."""

import asyncio
import contextlib
import time
from typing import Any

import httpx

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, figure
from chaos.failing_script import FAILED
from chaos.fault_proxy import FaultProxy
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.redis import PASSWORD, USER
from dev.service import Service
from dev.stack import wait_until
from shared.store import redis_keys, scripts

SCRIPTS = {
    "submit": scripts.SUBMIT,
    "step": scripts.STEP,
    "beat": scripts.BEAT,
    "upkeep": scripts.UPKEEP,
    "report": scripts.REPORT,
    "read": scripts.READ,
    "rescue_and_read": scripts.RESCUE_AND_READ,
    "cancel": scripts.CANCEL,
    "list": scripts.LIST,
}
LEASE, JOB_SECONDS, PATIENCE = 3, 0.2, 15.0
MAX_COMMANDS = 80
MISSES = 4  # runs in turn without that many commands, because some runs of a script are shorter than others
RUN_SECONDS = 1.5  # the wait for a script to run; beats and upkeep run three times a lease


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(api=False) as service:
        found, refused, tried = asyncio.run(break_all(service, options))
    name = f"{sum(tried.values())} commands failing"
    done = [record for record in found.values() if records.is_done(record)]
    return [
        exactly(f"{name}: accepted jobs lost", len(found) - len(done), 0),
        exactly(f"{name}: jobs charged an attempt", records.count_charged(done), 0),
        exactly(f"{name}: jobs made by submissions answered 503", refused, 0),
        exactly(f"{name}: scripts that never failed", sum(count == 0 for count in tried.values()), 0),
        figure(f"{name}: jobs accepted", f"{len(found):,}"),
    ]


async def break_all(service: Service, options: SuiteOptions) -> tuple[dict[str, Record], int, dict[str, int]]:
    """Break each script; returns all records, the jobs of refused submissions, and the failures by script."""
    proxy = FaultProxy(service.stack.redis_port)
    url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{await proxy.start()}/0"
    settings = {"REDIS_URL": url, "WORKER_LEASE_SECONDS": str(LEASE), "CHAOS_PROGRESS": "1"}
    accepted: list[str] = []
    refused, tried = 0, dict.fromkeys(SCRIPTS, 0)
    stride = max(1, round(1 / options.scale))
    try:
        worker = await asyncio.to_thread(service.start_worker, **settings)
        await asyncio.to_thread(worker.wait_ready)
        await asyncio.to_thread(service.stack.start_api, **settings)
        async with httpx.AsyncClient(base_url=service.stack.api_url, timeout=10) as http:
            for name, script in SCRIPTS.items():
                misses = 0
                first = options.rng(name).randint(2, 1 + stride)
                for number in (1, *range(first, MAX_COMMANDS, stride)):  # each script has a first command
                    proxy.break_script = script, number
                    refused += await one_job(http, service, accepted, name)
                    failed = await until_run(proxy, service.redis)
                    tried[name] += failed
                    misses = 0 if failed else misses + 1
                    if misses == MISSES:
                        break
            found = await asyncio.to_thread(records.settled, service.redis, accepted, seconds=60)
    finally:
        await proxy.close()
    return found, refused, tried


async def one_job(http: httpx.AsyncClient, service: Service, accepted: list[str], script: str) -> int:
    """Submit, read and list a job, so that `script` runs; returns the jobs that a refused submission made."""
    before = service.redis.zcard(redis_keys.INDEX)
    answer = await http.post("/jobs", json={"type": "sleep", "params": {"seconds": JOB_SECONDS}})
    if answer.status_code != 202:
        return int(service.redis.zcard(redis_keys.INDEX) - before)
    job_id = answer.json()["job_id"]
    accepted.append(job_id)
    if script == "rescue_and_read":
        await asyncio.to_thread(remove_lease, service, job_id)
    await http.get(f"/jobs/{job_id}")
    await http.get("/jobs?limit=1")
    if script == "cancel":
        await http.delete(f"/jobs/{job_id}")
    return 0


def remove_lease(service: Service, job_id: str) -> None:
    """Remove the lease of a job once it runs, so that the next read of the job must rescue it."""
    lease = f"1:{job_id}"
    wait_until(lambda: service.redis.zrem(redis_keys.LEASES + "default", lease), "the job has a lease")


async def until_run(proxy: FaultProxy, redis: Any) -> bool:
    """Wait until the script has run; returns whether a command of it failed."""
    await asyncio.to_thread(_wait_for_run, proxy)
    return bool(redis.delete(FAILED))


def _wait_for_run(proxy: FaultProxy) -> None:
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: proxy.break_script is None, "the script runs", seconds=RUN_SECONDS)
    proxy.break_script = None
    time.sleep(0.02)  # until the command has failed
