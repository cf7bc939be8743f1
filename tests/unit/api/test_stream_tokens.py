"""Stream tokens: each opens the stream of one job for a while, in place of a key."""

import time

import pytest

from api import stream_tokens
from shared.store.job_leases import OutcomeKind
from tests.unit.api.callers import KEYS, as_caller, entry, refused

ECHO = {"type": "echo", "params": {"message": "hi"}}


@pytest.fixture
async def closed(serve, fake_redis):
    """A client of an API that needs a key; the client sends none by itself."""
    return await serve(fake_redis, api_keys=KEYS)


async def finished_job(client, worker, caller: str = "ann") -> str:
    job_id = (await client.post("/jobs", json=ECHO, headers=as_caller(caller))).json()["job_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, "hi")
    return job_id


async def issue(client, job_id: str, caller: str = "ann", prefix: str = "") -> dict:
    answer = await client.post(f"{prefix}/jobs/{job_id}/stream-token", headers=as_caller(caller))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def opens(client, issued: dict) -> bool:
    """Whether the stream opens; the reader has seen the end already, so that the stream ends at once."""
    answer = await client.get(issued["url"], headers={"Last-Event-ID": "1000"})
    return answer.status_code == 204


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_its_url_follows_the_job_without_a_key(closed, worker, log_tape, prefix):
    job_id = await finished_job(closed, worker)
    issued = await issue(closed, job_id, prefix=prefix)
    assert issued["url"].startswith(f"{prefix}/jobs/{job_id}/events?token=")
    for _ in range(2):  # a browser comes back
        assert await opens(closed, issued)
    lines = log_tape.lines("request")
    assert [line["caller"] for line in lines] == ["ann"] * 4
    signature = issued["token"].split(".")[1]
    assert not any(signature in str(line) for line in log_tape.lines() if line.get("logger") != "httpx")


async def test_a_key_that_only_reads_gets_one_and_a_key_that_only_writes_does_not(closed, worker):
    job_id = await finished_job(closed, worker)
    issued = await issue(closed, job_id, "reader")
    assert await opens(closed, issued)
    answer = await closed.post(f"/jobs/{job_id}/stream-token", headers=as_caller("writer"))
    refused(answer, 403, "forbidden")
    refused(await closed.post(f"/jobs/{job_id}/stream-token"), 401, "unauthorized")


async def test_it_opens_nothing_else(closed, worker):
    job_id, other = [await finished_job(closed, worker) for _ in range(2)]
    token = (await issue(closed, job_id))["token"]
    for path in (
        f"/jobs/{other}/events",
        f"/jobs/{job_id}",
        f"/jobs/{job_id}/logs",
        "/jobs",
        f"/jobs/{job_id}/events/",
    ):
        refused(await closed.get(path, params={"token": token}), 401, "unauthorized")
    for method, path in (("DELETE", f"/jobs/{job_id}"), ("POST", f"/jobs/{job_id}/events")):
        refused(await closed.request(method, path, params={"token": token}), 401, "unauthorized")
    headers = {"Authorization": f"Bearer {token}"}
    refused(await closed.get(f"/jobs/{job_id}/events", headers=headers), 401, "unauthorized")


async def test_nothing_of_it_can_be_changed(closed, worker):
    job_id = await finished_job(closed, worker)
    token = (await issue(closed, job_id, "reader"))["token"]
    expiry, signature, _ = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    for forged in (
        f"{int(expiry) + 1}.{signature}.reader", f"{expiry}.{signature}.ann", f"{expiry}..reader",
        f"{expiry}.{other}{signature[1:]}.reader", f"{expiry}.{signature}", "x", ".", "..", f"-{token}",
        f"{token}x", f"9{token}", f"²{token}", f"{expiry}.é.reader",
    ):  # fmt: skip
        envelope = refused(
            await closed.get(f"/jobs/{job_id}/events", params={"token": forged}), 401, "unauthorized"
        )
        assert "stream-token" in envelope.hint
    refused(await closed.get(f"/jobs/{job_id}/events?token="), 401, "unauthorized")


async def test_a_caller_of_its_own_jobs_alone_gets_none_of_another_job(serve, fake_redis, worker):
    client = await serve(fake_redis, api_keys=f"{entry('ann')},{entry('eve', 'read:own+write:own')}")
    anns, eves = [await finished_job(client, worker, name) for name in ("ann", "eve")]
    assert await opens(client, await issue(client, eves, "eve"))
    refused(await client.post(f"/jobs/{anns}/stream-token", headers=as_caller("eve")), 404, "job_not_found")
    issued = await issue(client, eves, "ann")
    only_own = await serve(fake_redis, api_keys=entry("ann", "read:own"))
    refused(await only_own.get(issued["url"]), 404, "job_not_found")


async def test_it_expires(closed, worker, monkeypatch):
    job_id = await finished_job(closed, worker)
    issued = await issue(closed, job_id)
    now = time.time()
    monkeypatch.setattr(stream_tokens.time, "time", lambda: now + stream_tokens.TOKEN_SECONDS - 5)
    assert await opens(closed, issued)
    monkeypatch.setattr(stream_tokens.time, "time", lambda: now + stream_tokens.TOKEN_SECONDS + 5)
    refused(await closed.get(issued["url"]), 401, "unauthorized")


async def test_it_ends_with_the_key_of_its_caller(closed, worker, serve, fake_redis):
    job_id = await finished_job(closed, worker)
    issued = await issue(closed, job_id)
    without_ann = await serve(fake_redis, api_keys=entry("reader", "read"))
    refused(await without_ann.get(issued["url"]), 401, "unauthorized")
    another_process = await serve(fake_redis, api_keys=KEYS)
    assert await opens(another_process, issued)
    only_writes = await serve(fake_redis, api_keys=entry("ann", "write"))
    refused(await only_writes.get(issued["url"]), 403, "forbidden")


async def test_it_ends_with_the_secret(closed, worker, fake_redis):
    job_id = await finished_job(closed, worker)
    issued = await issue(closed, job_id)
    assert await fake_redis.delete("jobs:stream-secret") == 1
    refused(await closed.get(issued["url"]), 401, "unauthorized")


async def test_there_is_none_of_a_job_that_is_not_there(closed):
    answer = await closed.post("/jobs/nobody/stream-token", headers=as_caller("ann"))
    refused(answer, 404, "job_not_found")


async def test_without_redis_a_token_is_not_judged(serve):
    client = await serve(None, redis_url="redis://127.0.0.1:1/0", api_keys=KEYS)
    answer = await client.get(f"/jobs/x/events?token={int(time.time()) + 60}.x.ann")
    refused(answer, 503, "queue_unavailable")
    refused(await client.get("/jobs/x/events?token=1.x.ann"), 401, "unauthorized")


async def test_it_counts_as_its_caller_does(serve, fake_redis, worker):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=3)
    job_id = await finished_job(client, worker)
    issued = await issue(client, job_id)
    assert await opens(client, issued)
    refused(await client.get(issued["url"]), 429, "rate_limited")


async def test_without_keys_pages_are_written_the_same_way(client, worker):
    job_id = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, "hi")
    issued = (await client.post(f"/jobs/{job_id}/stream-token")).json()
    assert await opens(client, issued)
