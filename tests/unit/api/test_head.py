"""HEAD: the same status and headers as GET, at every path."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.main import create_app
from api.settings import ApiSettings
from shared.store.job_leases import OutcomeKind

ECHO = {"type": "echo", "params": {"message": "hi"}}
with TemporaryDirectory() as folder:  # the fixture that keeps files out of the working folder comes later
    DOCUMENT = create_app(ApiSettings(artifacts_url=Path(folder).as_uri())).openapi()
ENDLESS = "/v1/events"  # a stream that ends with its reader alone
PATHS = sorted(path for path, methods in DOCUMENT["paths"].items() if "get" in methods and path != ENDLESS)
CHANGING = {"x-request-id", "date"}


@pytest.fixture
async def names(client, worker) -> dict[str, str]:
    """Values for the parameters of the paths."""
    job_id = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    file_id = (await client.post("/files", content=b"1")).json()["file_id"]
    await worker.finish_next(OutcomeKind.COMPLETED, 1)
    return {"job_id": job_id, "file_id": file_id, "name": "echo", "host": "example.com"}


def head(answer):
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in CHANGING}


@pytest.mark.parametrize("path", [*PATHS, *(path.removeprefix("/v1") for path in PATHS), "/docs", "/nothing"])
async def test_the_head_is_that_of_get(client, names, path):
    url = path.format(**names)
    seen = {"Last-Event-ID": "99"}  # a stream has nothing more to say
    answer = await client.head(url, headers=seen)
    got = await client.get(url, headers=seen)
    if "server/info" not in url:  # the time it is up is of any length
        assert head(answer) == head(got)
    assert answer.status_code == got.status_code
    assert answer.content == b""
    assert "content-length" in answer.headers or "/events" in url


@pytest.mark.parametrize("path", ["/jobs/nobody", "/v1/jobs?limit=0", "/files/nope", "/jobs/nobody/events"])
async def test_errors_have_a_head_too(client, path):
    answer = await client.head(path)
    assert (answer.status_code, answer.content) == ((await client.get(path)).status_code, b"")
    assert answer.status_code >= 400


async def test_conditions_count(client, names):
    url = f"/jobs/{names['job_id']}"
    tag = (await client.head(url)).headers["etag"]
    assert (await client.head(url, headers={"If-None-Match": tag})).status_code == 304
    assert (await client.head(url, headers={"If-Match": '"0"'})).status_code == 412


@pytest.mark.parametrize("path", ["/jobs/{job_id}/events", ENDLESS])
async def test_a_stream_is_not_followed_for_its_head(client, path):
    job_id = (await client.post("/jobs", json=ECHO)).json()["job_id"]
    answer = await asyncio.wait_for(client.head(path.format(job_id=job_id)), 5)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("path", ["/jobs/{job_id}/retry", "/v1/files", "/jobs/{job_id}/webhook/redeliver"])
async def test_where_there_is_no_get_there_is_no_head(client, names, path, log_tape):
    answer = await client.head(path.format(**names))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert log_tape.lines("request")[-1]["method"] == "HEAD"
