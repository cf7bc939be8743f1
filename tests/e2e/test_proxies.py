"""The API behind nginx and behind Caddy, each with its file of deploy/proxy."""

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from dev.service import Service, accepted, json_lines, serving
from dev.stack import join, terminate, wait_until
from tests.e2e.proxies import Proxy, installed

LARGEST_FILE = 20_000_000  # bytes; more than proxies keep in memory
LONG_WAIT = 2  # seconds; the frame of nginx has a limit of 1 s, which the file must raise


@pytest.fixture(scope="module")
def behind() -> Iterator[Service]:
    with serving(
        workers=1,
        API_ALLOWED_HOSTS="localhost",
        API_MAX_FILE_BYTES=str(LARGEST_FILE),
        WORKER_PROCESSES="1",
    ) as behind:
        yield behind


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    behind: Service, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    kind = request.param
    if not installed(kind):
        pytest.skip(f"{kind} is missing; .ci/run installs it")
    proxy = Proxy(kind, tmp_path_factory.mktemp(kind))
    process = proxy.start(behind.stack)
    try:
        wait_until(lambda: is_up(proxy), f"{kind} answers: {behind.stack.output(kind)}")
        yield proxy
    finally:
        terminate(process)
        join(process)


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, verify=proxy.context, timeout=30) as client:
        yield client


def is_up(proxy: Proxy) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{proxy.url}/healthz", verify=proxy.context).status_code == 200
    return False


def submit(client: httpx.Client, job_type: str, **params: object) -> str:
    return accepted(client.post("/jobs", json={"type": job_type, "params": params}))


def test_a_job_is_performed(client: httpx.Client):
    job_id = submit(client, "echo", message="through")
    record = client.get(f"/jobs/{job_id}?wait=20").json()
    assert (record["state"], record["result"]) == ("completed", {"message": "through"})


def test_events_arrive_at_once(client: httpx.Client, behind: Service):
    """The job never ends: events that a proxy holds back would not come at all."""
    job_id = submit(client, "sleep", seconds=3600)
    behind.wait_for(job_id, "running")
    with client.stream("GET", f"/jobs/{job_id}/events") as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: {"))
        assert json.loads(next(lines).removeprefix("data: "))["state"] == "running"
        behind.call("DELETE", f"/jobs/{job_id}")
        states = [json.loads(line.removeprefix("data: "))["state"] for line in lines]
    assert states[-1] == "cancelled"


def test_the_figures_of_the_dashboard_come_each_second(client: httpx.Client):
    with client.stream("GET", "/v1/events") as answer:
        figures = (line for line in answer.iter_lines() if line == "event: figures")
        assert [next(figures), next(figures)] == ["event: figures"] * 2


def test_a_wait_may_be_longer_than_the_usual_timeouts(client: httpx.Client, behind: Service):
    job_id = submit(client, "sleep", seconds=3600)
    begun = time.monotonic()
    answer = client.get(f"/jobs/{job_id}?wait={LONG_WAIT}")
    assert (answer.status_code, answer.json()["done"]) == (200, False)
    assert time.monotonic() - begun >= LONG_WAIT
    behind.call("DELETE", f"/jobs/{job_id}")


def test_an_upload_reaches_the_api_while_it_is_sent(proxy: Proxy):
    """The API refuses a file once it is too large; a proxy that gathers uploads would wait for its end."""
    head = b"POST /files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    connection = socket.create_connection(("127.0.0.1", proxy.port))
    with proxy.context.wrap_socket(connection, server_hostname="localhost") as upload:
        upload.settimeout(20)
        upload.sendall(head)
        sent, answer = 0, b""
        while not answer and sent < 2 * LARGEST_FILE:
            upload.sendall(chunk)
            sent += 100_000
            answer = received(upload)
        assert (answer or upload.recv(4096)).startswith(b"HTTP/1.1 413")


def received(connection: ssl.SSLSocket) -> bytes:
    """The bytes that have come so far; none if there are none yet."""
    seconds = connection.gettimeout()
    connection.setblocking(False)
    try:
        return connection.recv(4096)
    except ssl.SSLWantReadError:
        return b""
    finally:
        connection.settimeout(seconds)


def test_a_large_upload_arrives_whole(client: httpx.Client):
    size = LARGEST_FILE
    chunks = (b"x" * 100_000 for _ in range(size // 100_000))
    answer = client.post("/files", content=chunks, headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["size"]) == (201, size)


def test_a_refused_upload_gets_the_answer_of_the_api(client: httpx.Client):
    answer = client.post("/jobs", content=b"x" * 3_000_000, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_the_address_of_the_client_is_that_of_its_connection(proxy: Proxy, behind: Service):
    """Not that of the proxy; a client that names another one is not believed."""
    name = f"address-{proxy.kind}"
    elsewhere = httpx.HTTPTransport(verify=proxy.context, local_address="127.0.0.2")
    with httpx.Client(base_url=proxy.url, transport=elsewhere) as client:
        client.get("/jobs", headers={"x-request-id": name, "x-forwarded-for": "203.0.113.7"})
    wait_until(lambda: name in behind.stack.output("api"), "the request is logged")
    lines = [line for line in json_lines(behind.stack.output("api")) if line.get("request_id") == name]
    assert [line["client"] for line in lines] == ["127.0.0.2"]


def test_pages_of_the_same_origin_may_submit(client: httpx.Client, proxy: Proxy):
    """The API knows its own origin by the scheme that the proxy forwards, and by the host with its port."""
    body = {"type": "echo", "params": {"message": 1}}
    own = client.post("/jobs", json=body, headers={"origin": proxy.url})
    other = client.post("/jobs", json=body, headers={"origin": proxy.url.replace("https:", "http:")})
    assert (own.status_code, other.status_code) == (202, 403)


def test_the_dashboard_is_served(client: httpx.Client):
    answer = client.get("/", headers={"accept": "text/html"}, follow_redirects=True)
    assert (answer.status_code, answer.url.path) == (200, "/ui/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^":]+\.(?:js|css))"', answer.text)
    assert linked
    assert {client.get(f"/ui/{name}").status_code for name in linked} == {200}


def test_metrics_are_closed(client: httpx.Client, behind: Service):
    assert behind.call("GET", "/metrics").status_code == 200
    assert {client.get(path).status_code for path in ("/metrics", "/metrics?x=1", "/%6detrics")} == {404}


def test_no_log_has_a_query(client: httpx.Client, proxy: Proxy, behind: Service):
    """`?token=` opens a stream."""
    client.get("/jobs?limit=1&label=team=secret")
    written = proxy.trust.parent / "access.log"
    if proxy.kind == "nginx":
        wait_until(lambda: '"GET /jobs"' in written.read_text(), "the request is logged")
    logs = behind.stack.output(proxy.kind) + (written.read_text() if written.exists() else "")
    assert "secret" not in logs
