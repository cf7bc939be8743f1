"""Two callers in one service, neither sees the other's jobs; keys that change while the API runs."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev.service import GRACEFUL_EXITS, Service, json_lines, serving
from dev.stack import wait_until
from tests.e2e.commands import finish, run_python

Headers = dict[str, str]
CSV = b"a,b\n1,2\n"


class Keys:
    """A keys file and the keys in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables: dict[str, str] = {}

    def make(self, name: str, *options: str) -> Headers:
        """Key of a caller, made by the command."""
        code, output = finish(run_python("-m", "api.keys", name, *options))
        assert code == 0, output
        self.tables[name] = output[output.index("[keys.") :]
        return {"X-API-Key": next(line.strip() for line in output.splitlines() if line.startswith("  jobs_"))}

    def write(self) -> str:
        self.path.write_text("\n".join(self.tables.values()))
        return str(self.path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys") / "keys.toml")


@pytest.fixture(scope="module")
def ann(keys: Keys) -> Headers:
    return keys.make("ann")


@pytest.fixture(scope="module")
def bob(keys: Keys) -> Headers:
    return keys.make("bob")


@pytest.fixture(scope="module")
def writer(keys: Keys) -> Headers:
    return keys.make("writer", "--scopes", "write")


@pytest.fixture(scope="module")
def service(keys: Keys, ann: Headers, bob: Headers, writer: Headers) -> Iterator[Service]:
    with serving(workers=1, API_KEYS_FILE=keys.write()) as service:
        yield service


def test_two_callers_live_in_separate_worlds(service: Service, ann: Headers, bob: Headers) -> None:
    files = {}
    for name, headers in (("ann", ann), ("bob", bob)):
        files[name] = service.call("POST", "/files", content=CSV, headers=headers).json()["file_id"]
    profile = {"type": "csv_profile", "params": {"file": files["ann"]}}
    done = service.call("POST", "/jobs?wait=30", json=profile, headers=ann)
    assert (done.status_code, done.json()["state"]) == (200, "completed"), done.text
    job = done.json()["job_id"]

    assert service.call("POST", "/jobs", json=profile, headers=bob).json()["code"] == "unknown_file"
    for method, path in (
        ("GET", f"/jobs/{job}"),
        ("GET", f"/jobs/{job}?wait=20"),
        ("GET", f"/jobs/{job}/events"),
        ("GET", f"/jobs/{job}/logs"),
        ("DELETE", f"/jobs/{job}"),
        ("POST", f"/jobs/{job}/retry"),
        ("GET", f"/files/{files['ann']}"),
        ("DELETE", f"/files/{files['ann']}"),
    ):
        assert service.call(method, path, headers=bob).status_code == 404, (method, path)
    assert service.call("GET", "/jobs", headers=bob).json()["items"] == []
    assert [record["job_id"] for record in service.call("GET", "/jobs", headers=ann).json()["items"]] == [job]

    events = service.call("GET", f"/jobs/{job}/events", headers=ann)
    assert (events.status_code, job in events.text) == (200, True)
    again = service.call("POST", f"/jobs/{job}/retry?wait=20", headers=ann)
    assert again.json()["retry_of"] == job
    assert service.call("DELETE", f"/files/{files['bob']}", headers=bob).status_code == 204


def test_a_wait_for_the_job_of_another_caller_ends_at_once(
    service: Service, ann: Headers, bob: Headers
) -> None:
    job = service.submit("sleep", seconds=20, headers=ann)
    answers = [service.call("GET", f"/jobs/{name}?wait=20", headers=bob) for name in (job, "nothing")]
    assert [answer.status_code for answer in answers] == [404, 404]  # the client's time is 10 s
    assert service.call("DELETE", f"/jobs/{job}", headers=ann).status_code in (200, 202)


def test_a_key_that_only_writes_waits_and_gets_a_receipt(service: Service, writer: Headers) -> None:
    key = {**writer, "Idempotency-Key": "once"}
    body = {"type": "echo", "params": {"message": "hush"}}
    for _ in range(2):
        answer = service.call("POST", "/jobs?wait=20", json=body, headers=key)
        assert answer.status_code == 200
        assert answer.json() == {"job_id": answer.json()["job_id"], "state": "completed", "done": True}


def test_keys_come_and_go_while_the_api_runs(
    service: Service, keys: Keys, ann: Headers, bob: Headers
) -> None:
    job = service.submit("sleep", seconds=60, headers=bob)
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(service.call, "GET", f"/jobs/{job}?wait=9", headers=bob)
        wait_until(lambda: service.watched(job), "the key that will go waits for its job")

        keys.path.write_text(keys.tables["ann"] + "\ncolor = 1\n")
        hang_up(service, "the keys file is wrong, the keys stay as they were")
        assert service.call("GET", "/job-types", headers=bob).status_code == 200

        carl = keys.make("carl")
        left = keys.tables.pop("bob")
        keys.write()
        hang_up(service, "keys reloaded")
        assert service.call("GET", "/job-types", headers=bob).status_code == 401
        for headers in (ann, carl):
            assert service.call("GET", "/job-types", headers=headers).status_code == 200
        assert not stream.done()
        assert service.http.get(f"{service.stack.api_url}/healthz").status_code == 200

        keys.tables["bob"] = left
        keys.write()
        hang_up(service, "keys reloaded", times=2)
        assert service.call("DELETE", f"/jobs/{job}", headers=bob).status_code in (200, 202)
        assert stream.result().json()["job_id"] == job
    assert service.stop_api() in GRACEFUL_EXITS


def hang_up(service: Service, event: str, times: int = 1) -> None:
    """Send SIGHUP, and wait for its line in the log."""
    assert service.stack.api is not None
    service.stack.api.send_signal(signal.SIGHUP)

    def said() -> bool:
        lines = json_lines(service.stack.output("api"))
        return [line["event"] for line in lines].count(event) == times

    wait_until(said, event)
