"""Queues, workers, bulk changes and forgetting over HTTP."""

import pytest

from shared.files import ARTIFACTS
from shared.store.job_leases import OutcomeKind
from tests.unit.api.callers import ECHO, as_caller, entry, refused

KEYS = ",".join(
    [
        entry("ops", "admin"),
        entry("all", "read+write+admin"),
        entry("writer", "read+write"),
        entry("own", "read:own+write:own"),
    ]
)
COUNTS = ("ready", "scheduled", "running", "backlog", "demand", "oldest_wait_seconds", "workers")
ZEROS = dict.fromkeys(COUNTS, 0)
STEERING = [
    ("POST", "/queues/default/pause"),
    ("POST", "/queues/default/resume"),
    ("POST", "/queues/default/drain"),
    ("POST", "/jobs/cancel"),
    ("POST", "/jobs/retry"),
    ("DELETE", "/jobs/nobody/record"),
]
FIGURES = ["/queues", "/queues/default", "/workers", "/figures"]


@pytest.fixture
async def closed(serve, fake_redis):
    """A client of a server with keys."""
    return await serve(fake_redis, api_keys=KEYS)


async def submitted(client, **more: object) -> str:
    return (await client.post("/jobs", json={**ECHO, **more})).json()["job_id"]


# -- queues


async def test_an_unknown_queue_answers_zeros(client):
    answer = (await client.get("/v1/queues/nobody")).json()
    assert answer.items() >= {"name": "nobody", "paused": False, "pause": None, **ZEROS}.items()


async def test_the_backlog_is_ready_and_running(client, worker):
    for _ in range(3):
        await submitted(client)
    await submitted(client, delay_seconds=60)
    await worker.beat(running=1)
    await worker.claim_one()
    answer = (await client.get("/queues/default")).json()
    assert answer.items() >= {
        "ready": 2, "scheduled": 1, "running": 1, "backlog": 3, "demand": 3, "workers": 1, "concurrency": 3,
    }.items()  # fmt: skip


async def test_a_paused_queue_needs_workers_for_its_running_jobs_alone(client, worker):
    for _ in range(3):
        await submitted(client)
    await worker.claim_one()
    paused = (await client.post("/queues/default/pause")).json()
    assert (paused["backlog"], paused["demand"]) == (3, 1)
    shown = (await client.get("/queues/default")).json()
    assert (shown["backlog"], shown["demand"]) == (3, 1)
    resumed = (await client.post("/queues/default/resume")).json()
    assert (resumed["backlog"], resumed["demand"]) == (3, 3)


async def test_a_pause_is_shown_and_ends(client):
    job_id = await submitted(client)
    paused = (await client.post("/queues/default/pause", json={"reason": "the disk is full"})).json()
    assert (paused["paused"], paused["pause"]["by"], paused["pause"]["reason"]) == (
        True,
        None,
        "the disk is full",
    )
    assert (await client.get(f"/jobs/{job_id}")).json()["queue_paused"]
    assert [
        queue["paused"]
        for queue in (await client.get("/queues")).json()["items"]
        if queue["name"] == "default"
    ]
    resumed = (await client.post("/queues/default/resume")).json()
    assert (resumed["paused"], resumed["pause"]) == (False, None)
    assert not (await client.get(f"/jobs/{job_id}")).json()["queue_paused"]


@pytest.mark.parametrize("body", [{"reason": 1}, {"reason": "x" * 1001}, {"why": "x"}, []])
async def test_a_wrong_pause_is_refused(client, body):
    refused(await client.post("/queues/default/pause", json=body), 422, "invalid_request")
    assert not (await client.get("/queues/default")).json()["paused"]


@pytest.mark.parametrize("name", ["a.b", "a b", "x" * 65])
async def test_a_wrong_name_is_refused(client, name):
    refused(await client.post(f"/queues/{name}/pause"), 422, "invalid_request")


async def test_a_drain_cancels_all_that_waits_and_nothing_else(client, worker):
    running = await submitted(client)
    await worker.claim_one()
    waiting = [await submitted(client), await submitted(client, delay_seconds=60)]
    assert (await client.post("/queues/default/drain")).json() == {"cancelled": 2, "remaining": 0}
    states = [(await client.get(f"/jobs/{job_id}")).json()["state"] for job_id in (running, *waiting)]
    assert states == ["running", "cancelled", "cancelled"]
    assert (await client.post("/queues/default/drain")).json() == {"cancelled": 0, "remaining": 0}


async def test_a_worker_is_shown_with_its_jobs(client, worker):
    job_id = await submitted(client)
    await worker.beat(running=1)
    await worker.claim_one()
    (shown,) = (await client.get("/workers")).json()["items"]
    assert (
        shown.items() >= {"worker_id": "w", "host": "host", "pid": 7, "concurrency": 3, "running": 1}.items()
    )
    assert [(job["job_id"], job["type"], job["queue"]) for job in shown["jobs"]] == [
        (job_id, "echo", "default")
    ]
    assert 0 < shown["lease_seconds_left"] <= 60


# -- bulk changes


async def test_jobs_are_cancelled_by_labels(client):
    mine = await submitted(client, labels={"team": "vision"})
    other = await submitted(client)
    wanted = {"filter": {"labels": {"team": "vision"}}}
    counted = (await client.post("/jobs/cancel", json={**wanted, "dry_run": True})).json()
    assert (counted["matched"], counted["changed"], counted["dry_run"]) == (1, 0, True)
    done = (await client.post("/jobs/cancel", json=wanted)).json()
    assert (done["matched"], done["changed"], done["next_cursor"], done["errors"]) == (1, 1, None, [])
    states = [(await client.get(f"/jobs/{job_id}")).json()["state"] for job_id in (mine, other)]
    assert states == ["cancelled", "pending"]


async def test_failed_jobs_are_repeated_for_their_callers(closed, worker):
    job = {**ECHO, "labels": {"a": "b"}}
    old = (await closed.post("/jobs", json=job, headers=as_caller("own"))).json()["job_id"]
    error = {"code": "x", "message": "", "hint": "", "retryable": False}
    await worker.finish_next(OutcomeKind.FAILED, error)
    headers = {**as_caller("ops"), "Idempotency-Key": "once"}
    for _ in range(2):
        answer = (
            await closed.post("/jobs/retry", json={"filter": {"state": "failed"}}, headers=headers)
        ).json()
        (new,) = answer["job_ids"]
    listed = (await closed.get("/jobs", headers=as_caller("own"))).json()["items"]
    assert {job["job_id"] for job in listed} == {old, new}
    shown = (await closed.get(f"/jobs/{new}", headers=as_caller("own"))).json()
    assert (shown["retry_of"], shown["labels"], shown["params"]) == (old, {"a": "b"}, ECHO["params"])


async def test_each_id_that_can_t_be_changed_has_its_reason(client, worker):
    done, waiting = await submitted(client), await submitted(client)
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    cancelled = (await client.post("/jobs/cancel", json={"ids": [done, waiting, "nobody"]})).json()
    assert (cancelled["matched"], cancelled["changed"]) == (1, 1)
    codes = {error["job_id"]: error["code"] for error in cancelled["errors"]}
    assert codes == {done: "job_already_finished", "nobody": "job_not_found"}
    running = await submitted(client)
    repeated = (await client.post("/jobs/retry", json={"ids": [done, running]})).json()
    assert (repeated["changed"], [error["code"] for error in repeated["errors"]]) == (1, ["job_not_finished"])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, ""),
        ({"filter": {}, "ids": ["a"]}, ""),
        ({"ids": []}, "ids"),
        ({"filter": {}, "ids": None}, "ids"),
        ({"filter": {"state": "done"}}, "filter.state"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"filter": {"created_after": "yesterday"}}, "filter.created_after"),
        ({"filter": {"state": "completed"}}, "filter.state"),
        ({"filter": {}, "cursor": "no"}, "cursor"),
        ({"filter": {}, "dry_run": "yes"}, "dry_run"),
    ],
)
async def test_a_wrong_change_is_refused_and_changes_nothing(client, body, path):
    job_id = await submitted(client)
    envelope = refused(await client.post("/jobs/cancel", json=body), 422, "invalid_request")
    assert [fault.path for fault in envelope.details] == [path]
    assert (await client.get(f"/jobs/{job_id}")).json()["state"] == "pending"


# -- forgetting


async def test_a_forgotten_job_leaves_nothing_but_410(client, worker, files):
    job_id = await submitted(client)
    refused(await client.delete(f"/jobs/{job_id}/record"), 409, "job_not_finished")
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    await files.put(f"{ARTIFACTS}/{job_id}/1/out.txt", b"text")
    assert (await client.delete(f"/jobs/{job_id}/record")).status_code == 204
    for path in ("", "/logs", "/attempts", "/events"):
        refused(await client.get(f"/jobs/{job_id}{path}"), 410, "job_expired")
    left = {listed.key async for batch in files.listing(ARTIFACTS, 1) for listed in batch}
    assert f"{ARTIFACTS}/{job_id}" not in left  # other tests may have left files of theirs


# -- filters of lists


async def test_lists_take_queue_caller_and_times(closed):
    own = (await closed.post("/jobs", json=ECHO, headers=as_caller("own"))).json()
    other = (await closed.post("/jobs", json=ECHO, headers=as_caller("writer"))).json()

    async def ids(query: str, name: str = "writer") -> list[str]:
        answer = await closed.get(f"/jobs?{query}", headers=as_caller(name))
        assert answer.status_code == 200, answer.text
        return [job["job_id"] for job in answer.json()["items"]]

    assert await ids("caller=own") == [own["job_id"]]
    assert await ids("queue=other") == []
    assert await ids("queue=default&created_after=2026-01-01T00:00:00Z") == [other["job_id"], own["job_id"]]
    assert await ids("created_before=2026-01-01T00:00:00Z") == []
    assert await ids("caller=writer", "own") == []
    refused(await closed.get("/jobs?created_after=noon", headers=as_caller("own")), 422, "invalid_request")
    refused(await closed.get("/jobs?queue=a&queue=b", headers=as_caller("own")), 422, "invalid_request")


# -- scopes


@pytest.mark.parametrize(("method", "path"), STEERING)
async def test_steering_needs_the_scope_admin(closed, method, path):
    for caller in ("writer", "own"):
        for prefix in ("", "/v1"):
            refused(await closed.request(method, prefix + path, headers=as_caller(caller)), 403, "forbidden")
    for caller in ("ops", "all"):
        assert (await closed.request(method, path, headers=as_caller(caller))).status_code != 403


async def test_admin_alone_neither_reads_nor_submits(closed):
    refused(await closed.get("/jobs", headers=as_caller("ops")), 403, "forbidden")
    refused(await closed.post("/jobs", json=ECHO, headers=as_caller("ops")), 403, "forbidden")


@pytest.mark.parametrize("path", FIGURES)
async def test_figures_of_all_callers_need_the_scope_read(closed, path):
    refused(await closed.get(path, headers=as_caller("own")), 403, "forbidden")
    assert (await closed.get(path, headers=as_caller("writer"))).status_code == 200
