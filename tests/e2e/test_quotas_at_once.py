"""Quotas of streams, waits and uploads at once: each ends with its request, however that ends."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from dev.service import Service, serving
from dev.stack import PATIENCE, wait_until
from shared.store import redis_keys

BOUNDS = {f"API_QUOTA_{kind}_AT_ONCE": "2" for kind in ("STREAMS", "WAITS", "UPLOADS")}
LATER = {"type": "sleep", "params": {"seconds": 0}, "delay_seconds": 3600}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """An API whose callers may hold two of each at once, and no worker."""
    with serving(workers=0, **BOUNDS) as service:
        yield service


@pytest.fixture
def jobs(service: Service) -> Iterator[list[str]]:
    """The paths of two jobs that wait; they are cancelled at the end."""
    url = service.stack.api_url
    paths = [f"/jobs/{service.http.post(f'{url}/jobs', json=LATER).json()['job_id']}" for _ in range(2)]
    yield paths
    for path in paths:
        service.http.delete(url + path)


def watched(service: Service, jobs: int) -> None:
    """Wait until the API watches this many jobs."""
    pattern = redis_keys.CHANGES + "*"
    wait_until(lambda: len(service.redis.pubsub_channels(pattern)) == jobs, f"clients wait for {jobs} jobs")


def send(service: Service, head: str) -> socket.socket:
    """A connection with a request on it, which the client can leave at any time."""
    connection = socket.create_connection(("127.0.0.1", service.stack.api_port), timeout=PATIENCE)
    connection.sendall(f"{head}\r\nHost: localhost\r\n".encode())
    return connection


def refused(answer: httpx.Response) -> bool:
    if answer.status_code != 429:
        return False
    error = answer.json()
    assert (error["code"], error["retryable"]) == ("too_many_at_once", True)
    assert ": 2 of 2" in error["message"]
    assert answer.headers["retry-after"] == "1"
    return True


def test_streams(service: Service, jobs: list[str]):
    url = f"{service.stack.api_url}{jobs[0]}/events"
    for _ in range(3):
        with ExitStack() as streams:
            for _ in range(2):
                answer = streams.enter_context(service.http.stream("GET", url))
                assert answer.status_code == 200
            assert refused(service.http.get(url))
            assert service.http.get(service.stack.api_url + jobs[0]).status_code == 200
        watched(service, 0)  # they have left


def test_waits(service: Service, jobs: list[str], pool: ThreadPoolExecutor):
    url, first = service.stack.api_url, service.stack.api_url + jobs[0]
    with ExitStack() as held:
        for path in jobs:
            held.enter_context(send(service, f"GET {path}?wait=60 HTTP/1.1")).sendall(b"\r\n")
        watched(service, 2)
        before = len(service.http.get(f"{url}/jobs").json()["items"])
        assert refused(service.http.get(f"{first}?wait=1"))
        assert refused(service.http.post(f"{url}/jobs", json=LATER, params={"wait": 1}))
        assert refused(service.http.post(f"{url}/jobs", json=LATER, headers={"Prefer": "wait=1"}))
        assert len(service.http.get(f"{url}/jobs").json()["items"]) == before
        assert service.http.get(f"{first}?wait=0").status_code == 200
    watched(service, 0)  # both have left
    waits = [pool.submit(service.http.get, f"{url}{path}?wait=60") for path in jobs]
    watched(service, 2)
    assert refused(service.http.get(f"{first}?wait=1"))
    for path in jobs:
        service.http.delete(url + path)
    assert [wait.result().json()["state"] for wait in waits] == ["cancelled"] * 2
    assert service.http.get(f"{first}?wait=1").status_code == 200


def test_uploads(service: Service):
    url = f"{service.stack.api_url}/files"
    with ExitStack() as held:
        for _ in range(2):
            upload = held.enter_context(send(service, "POST /files HTTP/1.1"))
            upload.sendall(b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
            assert upload.recv(100).startswith(b"HTTP/1.1 100 ")  # the body is waited for
        assert refused(service.http.post(url, content=b"x"))
    wait_until(lambda: service.http.post(url, content=b"x").status_code == 201, "an upload is given back")
    for _ in range(3):
        assert service.http.post(url, files=[("a", b"x"), ("b", b"x")]).status_code == 422
    assert service.http.post(url, content=b"x").status_code == 201
