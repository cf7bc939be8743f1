"""Erasure: the keys that the page on stored data names are all that Redis holds of a job."""

from pathlib import Path

import pytest

from shared.errors import JobNotFound
from shared.store import redis_keys
from shared.store.model import Entry, Filters, Finished, Outcome, OutcomeKind

PAGE = (Path(__file__).resolve().parents[2] / "docs/secrets-and-data.md").read_text()
PATTERN = "*JOB_ID*"
TEXT = b"what-the-caller-wrote"


@pytest.fixture
def submit_with_webhook(store):
    async def submit(job_id: str) -> None:
        fields = {
            "type": "echo", "params": b'{"message":"%b"}' % TEXT, "max_attempts": 1, "request_id": "r",
            "webhook": f"https://receiver.example/{TEXT.decode()}",
        }  # fmt: skip
        await store.submit(Entry(job_id, "default", b"message", fields), max_waiting=9)

    return submit


async def holders(redis) -> set[str]:
    """The keys that hold the caller's text."""
    read = {
        b"hash": redis.hgetall, b"string": redis.get, b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1), b"zset": lambda key: redis.zrange(key, 0, -1),
    }  # fmt: skip
    found = await redis.keys()
    return {key.decode() for key in found if TEXT in repr(await read[await redis.type(key)](key)).encode()}


async def test_nothing_of_the_job_is_left(submit_with_webhook, worker, hire, store, server):
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
        await store.get("job-a")
    page = await store.page(Filters(None, "", {}), limit=10, after=None)
    assert [record.job_id for record in page.records] == ["job-b"]
    deliverer = hire(redis_keys.WEBHOOKS)
    (delivery,) = await deliverer.claim(slots=9)
    assert delivery.job_id == "webhook-1-job-b"
    await deliverer.finish(delivery, OutcomeKind.COMPLETED, b'{"status":200}')
    assert await server.keys("*job-a*") == []
