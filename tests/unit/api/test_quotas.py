"""Quotas: bounds of one caller, and the answers beyond them."""

import asyncio
from contextlib import ExitStack

import pytest

from api.errors import TooManyAtOnce
from api.keys.api_key import read_keys
from api.quotas import CallerQuotas, Quotas, counted_caller
from tests.unit.api.callers import ECHO, KEYS, as_caller, entry, refused

ANN, LAST = as_caller("ann"), as_caller("last")


def batch(jobs: int) -> dict[str, object]:
    return {"jobs": [ECHO] * jobs}


def left(answer) -> str:
    """The requests left, by the answer's header."""
    return answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0]


# -- a batch in the rate limit


async def test_a_batch_counts_as_its_jobs(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=10)
    answers = [await client.post("/jobs/batch", json=batch(n), headers=ANN) for n in (6, 1, 3)]
    assert [(answer.status_code, left(answer)) for answer in answers] == [(202, "4"), (202, "3"), (202, "0")]
    refused(await client.post("/jobs", json=ECHO, headers=ANN), 429, "rate_limited")


async def test_a_batch_above_what_is_left_is_refused_as_a_whole(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=10)
    await client.post("/jobs/batch", json=batch(6), headers=ANN)
    answer = await client.post("/jobs/batch", json=batch(5), headers=ANN)
    assert "left now: 3" in refused(answer, 429, "rate_limited").message
    assert left(answer) == "3"
    assert (
        5 <= int(answer.headers["retry-after"]) <= 6
    )  # one request comes back: four are wanted, three are there
    assert len((await client.get("/jobs", headers=ANN)).json()["items"]) == 6


async def test_a_batch_above_the_whole_limit_says_to_split_it(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_rate_limit=4)
    error = refused(await client.post("/jobs/batch", json=batch(5), headers=ANN), 422, "invalid_request")
    assert "4 at most in each part" in error.hint
    assert not error.retryable
    assert (await client.post("/jobs/batch", json=batch(3), headers=ANN)).status_code == 202


# -- jobs and files


async def test_a_full_backlog_refuses_its_caller_alone(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_quota_jobs_waiting=2)
    first = await client.post("/jobs", json=ECHO, headers={**ANN, "Idempotency-Key": "k"})
    for path, body in (("/jobs/batch", batch(2)), ("/jobs/batch", batch(1)), ("/jobs", ECHO)):
        answer = await client.post(path, json=body, headers=ANN)
        if body == batch(1):
            assert answer.status_code == 202
            continue
        error = refused(answer, 429, "backlog_full")
        assert error.retryable
        assert int(answer.headers["retry-after"]) >= 1
        assert "of 2" in error.message
    again = await client.post("/jobs", json=ECHO, headers={**ANN, "Idempotency-Key": "k"})
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert (await client.post("/jobs", json=ECHO, headers=LAST)).status_code == 202
    await client.delete(f"/jobs/{first.json()['job_id']}", headers=ANN)
    assert (await client.post("/jobs", json=ECHO, headers=ANN)).status_code == 202


async def test_a_repeated_job_needs_room_too(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_quota_jobs_waiting=1)
    job_id = (await client.post("/jobs", json=ECHO, headers=ANN)).json()["job_id"]
    await client.delete(f"/jobs/{job_id}", headers=ANN)
    assert (await client.post(f"/jobs/{job_id}/retry", headers=ANN)).status_code == 202
    refused(await client.post(f"/jobs/{job_id}/retry", headers=ANN), 429, "backlog_full")


async def test_kept_bytes_are_bounded(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS, api_quota_kept_bytes=30)
    assert (await client.post("/jobs", json=ECHO, headers=ANN)).status_code == 202  # 16 bytes
    error = refused(await client.post("/jobs", json=ECHO, headers=ANN), 429, "quota_reached")
    assert ": 16 of 30" in error.message
    assert "of 30" in error.message


async def test_files_are_bounded_before_and_after_they_have_come(serve, fake_redis, tmp_path):
    folder = tmp_path / "store"
    client = await serve(
        fake_redis, api_keys=KEYS, artifacts_url=folder.as_uri(), api_quota_file_bytes=10, api_quota_files=2
    )

    async def hidden(data: bytes):
        yield data

    refused(await client.post("/files", content=b"x" * 11, headers=ANN), 429, "quota_reached")
    refused(await client.post("/files", content=hidden(b"x" * 11), headers=ANN), 429, "quota_reached")
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    answers = [await client.post("/files", content=b"x" * 5, headers=ANN) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    error = refused(await client.post("/files", content=b"", headers=ANN), 429, "quota_reached")
    assert ": 2 of 2" in error.message
    assert (await client.post("/files", content=b"x", headers=LAST)).status_code == 201
    await client.delete(answers[0].headers["location"], headers=ANN)
    assert (await client.post("/files", content=b"x" * 5, headers=ANN)).status_code == 201


async def test_without_a_quota_nothing_is_counted(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS)
    await client.post("/jobs", json=ECHO, headers=ANN)
    for kind in ("backlog", "kept", "uploads"):
        assert await fake_redis.keys(f"jobs:{kind}*") == []


async def test_quotas_are_documented_where_they_are_met(serve, fake_redis):
    client = await serve(fake_redis, api_keys=KEYS)
    paths = (await client.get("/openapi.json")).json()["paths"]

    def told(path: str, method: str) -> set[str]:
        return set(paths[path][method]["responses"]["429"]["content"]["application/json"]["examples"])

    jobs = {"rate_limited", "backlog_full", "quota_reached"}
    assert told("/v1/jobs", "post") == jobs | {"too_many_at_once"}
    assert told("/v1/jobs/batch", "post") == told("/v1/jobs/{job_id}/retry", "post") == jobs
    assert told("/v1/jobs/{job_id}", "get") == {"rate_limited", "too_many_at_once"}
    assert told("/v1/jobs/{job_id}/events", "get") == {"rate_limited", "too_many_at_once"}
    assert told("/v1/files", "post") == {"rate_limited", "quota_reached", "too_many_at_once"}


# -- at once


@pytest.mark.parametrize("end", ["completes", "is cancelled"])
async def test_uploads_at_once_are_bounded_and_given_back(serve, fake_redis, tmp_path, end):
    client = await serve(
        fake_redis,
        api_keys=f"{entry('ann')},{entry('last')}",
        artifacts_url=(tmp_path / "store").as_uri(),
        api_quota_uploads_at_once=1,
    )
    begun, done = asyncio.Event(), asyncio.Event()

    async def slowly():
        yield b"a"
        begun.set()
        await done.wait()
        yield b"b"

    slow = asyncio.create_task(client.post("/files", content=slowly(), headers=ANN))
    await asyncio.wait_for(begun.wait(), 5)
    answer = await client.post("/files", content=b"x", headers=ANN)
    assert "Uploads of this caller that run here: 1 of 1" in refused(answer, 429, "too_many_at_once").message
    assert answer.headers["retry-after"] == "1"
    assert (await client.post("/files", content=b"x", headers=LAST)).status_code == 201
    if end == "completes":
        done.set()
        assert (await slow).status_code == 201
    else:
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
    assert (await client.post("/files", content=b"x", headers=ANN)).status_code == 201


def scope(name: str | None = None, host: str = "192.0.2.1", **quotas: int):
    """The scope of a request, of a key with these quotas, or without one."""
    if name is None:
        return {"client": (host, 1)}
    (key,) = read_keys(entry(name))
    object.__setattr__(key, "quotas", Quotas(**quotas))
    return {"client": (host, 1), "key": key, "caller": name}


def test_a_key_has_quotas_of_its_own_and_the_defaults_else():
    quotas = CallerQuotas(Quotas(jobs_waiting=5, files=7, streams_at_once=1))
    assert quotas.of_jobs(scope("a")) == ("a", 5, 0)
    assert quotas.of_jobs(scope("a", jobs_waiting=0, kept_bytes=3)) == ("a", 0, 3)
    assert quotas.of_jobs(scope("a", jobs_waiting=0)) is None
    assert quotas.of_files(scope("a", file_bytes=9)) == ("a", 7, 9)
    assert quotas.of_jobs(scope()) is None
    assert quotas.of_files(scope()) is None


@pytest.mark.parametrize("kind", ["uploads", "streams", "waits"])
def test_open_requests_are_counted_for_each_caller(kind):
    quotas = CallerQuotas(Quotas(uploads_at_once=2, streams_at_once=2, waits_at_once=2))
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(quotas.one_of(kind, scope("a")))
        with (
            pytest.raises(TooManyAtOnce, match=f"{kind.capitalize()} .*: 2 of 2"),
            quotas.one_of(kind, scope("a")),
        ):
            pass
        more = scope("b", **{f"{kind}_at_once": 3})
        for caller in (scope(), more, more, more):
            held.enter_context(quotas.one_of(kind, caller))
    with pytest.raises(ZeroDivisionError), quotas.one_of(kind, scope("a")):
        raise ZeroDivisionError
    assert not quotas._held


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_a_caller_without_a_key_is_its_address_or_network(one, other, same):
    assert (counted_caller(scope(host=one)) == counted_caller(scope(host=other))) is same


def test_a_key_is_no_address():
    assert counted_caller(scope("a", "a")) != counted_caller(scope(host="a"))
    assert counted_caller({"client": None}) == ""
