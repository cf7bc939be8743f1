"""Conditional reads and lists."""

import json
from base64 import urlsafe_b64encode

import pytest

from shared.store.job_leases import OutcomeKind

ECHO = {"type": "echo", "params": {"message": "hi"}}


@pytest.fixture
async def job_id(client) -> str:
    return (await client.post("/jobs", json=ECHO)).json()["job_id"]


async def test_an_unchanged_record_is_not_sent_again(client, job_id, worker):
    tag = (await client.get(f"/jobs/{job_id}")).headers["etag"]
    answer = await client.get(f"/jobs/{job_id}", headers={"If-None-Match": f'"other", {tag}'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    await worker.claim_one()
    answer = await client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert answer.headers["etag"] != tag


async def test_a_known_version_is_found_without_reading_the_record(client, job_id, fake_redis, monkeypatch):
    tag = (await client.get(f"/jobs/{job_id}")).headers["etag"]
    asked = []
    execute = fake_redis.execute_command

    async def noted(*words, **options):
        asked.append(words[0])
        return await execute(*words, **options)

    monkeypatch.setattr(fake_redis, "execute_command", noted)
    await client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})
    assert asked == ["HMGET"]


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', 'W/"0", "1"'])
async def test_tags_are_compared_weakly(client, job_id, tag):
    assert (await client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})).status_code == 304


@pytest.mark.parametrize("tag", ['"11"', "1", '"x"', ""])
async def test_other_tags_do_not_match(client, job_id, tag):
    assert (await client.get(f"/jobs/{job_id}", headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize("lines", [["*"], ['"other"', 'W/"1"'], ['"a,b"', '"1"']])
async def test_all_lines_of_tags_are_read(client, job_id, lines):
    answer = await client.get(f"/jobs/{job_id}", headers=[("If-None-Match", line) for line in lines])
    assert (answer.status_code, answer.headers["etag"]) == (304, 'W/"1"')


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '"0", W/"1"', "*"])
async def test_a_record_of_the_wanted_version_is_read_and_cancelled(client, job_id, tag):
    headers = {"If-Match": tag}
    assert (await client.get(f"/jobs/{job_id}", headers=headers)).status_code == 200
    answer = await client.get(f"/jobs/{job_id}", headers=headers | {"If-None-Match": tag})
    assert answer.status_code == 304
    assert (await client.delete(f"/jobs/{job_id}", headers=headers)).json()["state"] == "cancelled"


@pytest.mark.parametrize("tag", ['"2"', '"*"', '"any"', 'W/"11"', '"01"', "1", "", '"' + "9" * 5000 + '"'])
@pytest.mark.parametrize("more", [{}, {"If-None-Match": "*"}])
async def test_a_record_of_another_version_stays_as_it_is(client, job_id, tag, more):
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"/jobs/{job_id}", headers={"If-Match": tag, **more})
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert "If-Match" in answer.json()["message"]
    assert (await client.get(f"/jobs/{job_id}")).json()["state"] == "pending"


async def test_a_job_is_done_again_at_the_wanted_version_alone(client, job_id, worker):
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    tag = (await client.get(f"/jobs/{job_id}")).headers["etag"]
    answer = await client.post(f"/jobs/{job_id}/retry", headers={"If-Match": 'W/"1"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (await client.post(f"/jobs/{job_id}/retry", headers={"If-Match": tag})).status_code == 202


async def test_the_state_of_a_job_says_more_than_its_version(client, job_id, worker):
    headers = {"If-Match": '"0"'}
    assert (await client.post(f"/jobs/{job_id}/retry", headers=headers)).json()["code"] == "job_not_finished"
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    assert (await client.delete(f"/jobs/{job_id}", headers=headers)).json()["code"] == "job_already_finished"


async def test_a_job_that_is_not_there_is_not_unchanged(client):
    answer = await client.get("/jobs/nope", headers={"If-None-Match": 'W/"0"'})
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_a_job_that_has_expired_is_gone_by_every_path(client, job_id, worker, fake_redis):
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": "hi"})
    await fake_redis.delete(f"jobs:record:{job_id}")
    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("POST", "/retry")):
        answer = await client.request(method, f"/jobs/{job_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "job_expired")
        assert "Submit the job again" in answer.json()["hint"]


async def test_a_job_that_missed_its_start_is_never_shown_as_waiting(client, fake_redis):
    body = {**ECHO, "start_within_seconds": 60}
    job_id = (await client.post("/jobs", json=body)).json()["job_id"]
    await fake_redis.hset(f"jobs:record:{job_id}", "start_by", 1)
    await fake_redis.zadd("jobs:index:start_by", {job_id: 1})
    record = (await client.get(f"/jobs/{job_id}")).json()
    assert (record["state"], record["errors"][0]["code"]) == ("failed", "job_expired")


async def test_pages_follow_each_other(client):
    made = [(await client.post("/jobs", json=ECHO)).json()["job_id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        page = (
            await client.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        ).json()
        found += [record["job_id"] for record in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(made)


async def test_lists_are_filtered(client, worker):
    await client.post("/jobs", json={**ECHO, "labels": {"a": "1=2"}})
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    await client.post("/jobs", json={"type": "sleep", "params": {"seconds": 1}})

    async def count(query: str) -> int:
        answer = await client.get(f"/jobs?{query}")
        assert answer.status_code == 200, answer.text
        return len(answer.json()["items"])

    queries = (
        "",
        "state=completed",
        "state=failed",
        "type=sleep",
        "label=a=1=2",
        "label=a=1",
        "label=a=1=2&type=sleep",
    )
    assert [await count(query) for query in queries] == [2, 1, 0, 1, 1, 0, 0]


async def test_a_job_has_one_value_of_a_label(client):
    await client.post("/jobs", json={**ECHO, "labels": {"team": "b", "kind": "x"}})
    queries = ("label=team=a&label=team=b", "label=team=b&label=team=b", "label=team=b&label=kind=x")
    answers = [await client.get(f"/v1/jobs?{query}") for query in queries]
    assert [len(answer.json()["items"]) for answer in answers] == [0, 1, 1]
    assert answers[0].json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=1&limit=2", "limit"), ("state=failed&state=pending", "state"), ("type=a&type=a", "type"),
        ("cursor=&cursor=", "cursor"), ("label=a=1&limit=1&limit=1", "limit"),
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("state=odd", "state"),
        ("cursor=x", "cursor"), ("cursor=%21", "cursor"), ("cursor=WzEsMl0", "cursor"),
        ("cursor=NQ", "cursor"), ("fields=errors", "fields"), ("fields=params,", "fields"),
        ("label=a", "label.0"), ("type=" + "x" * 65, "type"),
    ],
)  # fmt: skip
async def test_queries_that_are_not_allowed(client, query, path):
    answer = await client.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["details"][0]["path"] == path


@pytest.mark.parametrize(
    "value",
    [
        None, 5, {}, [], [""], ["", 1, "x"], ["", "1"], ["", "-1", "x"], ["", "1e3", "x"], ["", "1", None],
        ["", "9" * 99, "x"], ["", "1", "x", 1], {"": 1, "1": 2, "x": 3}, "abc", ["", "1", ["x"]],
        ["", "", ""],
    ],
)  # fmt: skip
async def test_a_cursor_of_another_make_is_refused(client, value):
    cursor = urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    answer = await client.get("/jobs", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["details"][0]["kind"] == "invalid_cursor"


async def test_a_list_has_no_payload_unless_asked_for_it(client, worker):
    await client.post("/jobs", json=ECHO)
    await worker.finish_next(OutcomeKind.COMPLETED, {"message": 1})
    whole = (await client.get("/jobs?fields=params,result")).json()["items"][0]
    assert whole == (await client.get(f"/jobs/{whole['job_id']}")).json()
    summary = {name: value for name, value in whole.items() if name not in ("params", "result")}
    assert (await client.get("/jobs")).json()["items"] == [summary]
    assert (await client.get("/jobs?fields=result")).json()["items"] == [
        {**summary, "result": whole["result"]}
    ]


async def test_a_cursor_belongs_to_its_list(client):
    for _ in range(3):
        await client.post("/jobs", json=ECHO)
    cursor = (await client.get("/jobs?limit=1")).json()["next_cursor"]
    assert (await client.get(f"/jobs?limit=1&cursor={cursor}")).status_code == 200
    assert (await client.get(f"/jobs?state=pending&cursor={cursor}")).status_code == 422
