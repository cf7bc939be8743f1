"""Erasure: no key but the documented ones holds data of a job."""

from pathlib import Path

import pytest

from shared.errors import JobNotFound
from shared.store import redis_keys
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from shared.store.job_list import Filters
from tests.new_jobs import new_job

PAGE = (Path(__file__).resolve().parents[2] / "docs/secrets-and-data.md").read_text()
PATTERN = "*JOB_ID*"
TEXT = b"what-the-caller-wrote"


@pytest.fixture
def submit_with_webhook(job_queue):
    async def submit(job_id: str) -> None:
        webhook = f"https://receiver.example/{TEXT.decode()}"
        params = b'{"message":"%b"}' % TEXT
        await job_queue.submit(new_job(job_id, max_attempts=1, params=params, webhook=webhook))

    return submit


async def holders(redis) -> set[str]:
    """Keys that hold the caller's text."""
    read = {
        b"hash": redis.hgetall, b"string": redis.get, b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1), b"zset": lambda key: redis.zrange(key, 0, -1),
    }  # fmt: skip
    found = await redis.keys()
    return {key.decode() for key in found if TEXT in repr(await read[await redis.type(key)](key)).encode()}


async def test_nothing_of_the_job_is_left(submit_with_webhook, worker, new_worker, job_queue, server):
    for job_id in ("job-a", "job-b"):
        await submit_with_webhook(job_id)
        claim = await worker.claim_one()
        log = b'1 0 {"message":"%b"}' % TEXT
        await worker.step(Finished(claim, Outcome(OutcomeKind.COMPLETED, b'"%b"' % TEXT), b"", log))
    before = await holders(server)
    assert any(key.startswith(redis_keys.LOGS) for key in before)
    assert PATTERN in PAGE

    await server.delete(*await server.keys(PATTERN.replace("JOB_ID", "job-a")))

    assert await holders(server) == {key for key in before if "job-a" not in key}
    with pytest.raises(JobNotFound):
        await job_queue.get("job-a")
    page = await job_queue.page(Filters(None, "", {}), limit=10, after=None)
    assert [record.job_id for record in page.records] == ["job-b"]
    deliverer = new_worker(redis_keys.WEBHOOKS)
    (delivery,) = await deliverer.claim(slots=9)
    assert delivery.job_id == "webhook-1-job-b"
    await deliverer.finish(delivery, OutcomeKind.COMPLETED, b'{"status":200}')
    assert await server.keys("*job-a*") == []
