"""Rate limits: requests a minute of each key, and the headers that say what is left."""

import re
import time

import pytest

from tests.unit.api.callers import ECHO, KEYS, as_caller, entry, refused
from tests.unit.api.conftest import NOWHERE

RATE_HEADERS = ("ratelimit", "ratelimit-policy")


@pytest.fixture
async def closed(serve, fake_redis):
    """A client of an API that needs a key; the client sends none by itself."""
    return await serve(fake_redis, api_keys=KEYS)


def limits(answer) -> tuple[int, int]:
    """The limit in an answer: the requests left, and the seconds until the next one."""
    left, seconds = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["ratelimit"]).groups()
    return int(left), int(seconds)


async def test_every_answer_to_a_limited_caller_has_the_limit(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=3)
    ann = as_caller("ann")
    answers = [
        await client.post("/jobs", json=ECHO, headers=ann),
        await client.get("/nothing", headers=ann),
        await client.post("/jobs", content=b"x", headers=ann),
        await client.get("/job-types", headers=ann),
    ]
    assert [answer.status_code for answer in answers] == [202, 404, 415, 429]
    assert [limits(answer)[0] for answer in answers] == [2, 1, 0, 0]
    assert all(18 <= limits(answer)[1] <= 20 for answer in answers)
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=3;w=60'}


async def test_a_caller_above_its_limit_gets_retry_after(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=1)
    await client.get("/job-types", headers=as_caller("ann"))
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("ann"))
    envelope = refused(answer, 429, "rate_limited")
    assert envelope.retryable
    assert "limited to 1;" in envelope.message
    assert answer.headers.get_list("retry-after") == [str(limits(answer)[1])]
    assert 58 <= limits(answer)[1] <= 60
    assert await fake_redis.keys("jobs:rate:*") == [b"jobs:rate:ann"]


async def test_callers_have_limits_of_their_own(serve, fake_redis):
    keys = f"{entry('slow', rate=1)},{entry('fast', rate=0)},{entry('plain')}"
    client = await serve(fake_redis, api_keys=keys, api_rate_limit=2)

    async def statuses(name: str) -> list[int]:
        return [(await client.get("/job-types", headers=as_caller(name))).status_code for _ in range(4)]

    assert await statuses("slow") == [200, 429, 429, 429]
    assert await statuses("plain") == [200, 200, 429, 429]
    assert await statuses("fast") == [200] * 4
    assert sorted(await fake_redis.keys("jobs:rate:*")) == [b"jobs:rate:plain", b"jobs:rate:slow"]


async def test_refused_and_open_requests_are_not_counted(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=2)
    refused(await client.get("/jobs/x"), 401, "unauthorized")
    refused(await client.post("/jobs", json=ECHO, headers=as_caller("reader")), 403, "forbidden")
    open_answer = await client.get("/healthz", headers=as_caller("reader"))
    assert await fake_redis.keys() == []
    assert not any(field in open_answer.headers for field in RATE_HEADERS)


async def test_without_a_limit_nothing_is_counted(closed, fake_redis):
    answer = await closed.get("/job-types", headers=as_caller("ann"))
    assert not any(field in answer.headers for field in RATE_HEADERS)
    assert await fake_redis.keys() == []


async def test_without_redis_no_caller_is_limited_and_answers_come_soon(serve):
    client = await serve(None, redis_url=NOWHERE, api_keys=KEYS, api_rate_limit=1)
    started = time.monotonic()
    answer = await client.post("/jobs", json=ECHO, headers=as_caller("ann"))
    assert time.monotonic() - started < 2
    refused(answer, 503, "queue_unavailable")
    assert (await client.get("/job-types", headers=as_caller("ann"))).status_code == 200
    refused(await client.get("/job-types"), 401, "unauthorized")
