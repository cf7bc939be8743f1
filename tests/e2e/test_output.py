"""Output of jobs with real processes: as it comes, across broken streams, killed workers and retries."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from client import Client
from dev.service import Service, serving
from dev.stack import ROOT, wait_until

TOKENS = 60


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """An API, Redis and a worker, which a test kills and replaces."""
    with serving(workers=1) as service:
        yield service


@contextmanager
def events(service: Service, job_id: str, last_id: str = "") -> Iterator[Iterator[dict[str, str]]]:
    """The events of a job as they come: `id`, `event` and `data`."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    url = f"{service.stack.api_url}/jobs/{job_id}/events"
    with service.http.stream("GET", url, headers=headers) as answer:
        yield parse(answer)


def parse(answer: httpx.Response) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            yield fields
            fields = {}


def submit(service: Service, **params: Any) -> str:
    return service.submit("generate", prompt="A worker", max_tokens=TOKENS, seed=3, **params)


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["chunk"] for chunk in chunks)


def test_output_comes_while_the_job_runs_and_before_its_end(service: Service) -> None:
    with ExitStack() as open_streams:
        with service.paused():
            job_id = submit(service, tokens_per_second=100)
            stream = open_streams.enter_context(events(service, job_id))
            seen = [next(stream)]
        seen += stream
    chunks = [json.loads(event["data"]) for event in seen if event.get("event") == "output"]
    records = [json.loads(event["data"]) for event in seen if "event" not in event]
    assert [chunk["seq"] for chunk in chunks] == list(range(1, TOKENS + 1))
    assert {(chunk["run"], chunk["attempt"]) for chunk in chunks} == {(1, 1)}
    assert text_of(chunks) == records[-1]["result"]["text"]
    assert records[-1]["done"]
    first_record_done = next(n for n, event in enumerate(seen) if '"done":true' in event["data"])
    assert first_record_done == len(seen) - 1
    batches = sum("event" not in event for event in seen)
    assert batches > 2  # records of progress lie between chunks: they came while the job ran


def test_a_reader_that_comes_back_gets_the_rest(service: Service) -> None:
    job_id = submit(service, tokens_per_second=100)
    got: list[dict[str, Any]] = []
    last_id = ""
    while len(got) < TOKENS:
        with events(service, job_id, last_id) as stream:
            for event in stream:
                last_id = event.get("id", last_id)
                if event.get("event") == "output":
                    got.append(json.loads(event["data"]))
                if len(got) % 7 == 6:
                    break
    assert [chunk["seq"] for chunk in got] == list(range(1, TOKENS + 1))
    assert text_of(got) == service.wait_for(job_id, "completed")["result"]["text"]


def test_the_output_can_be_polled(service: Service) -> None:
    job_id = submit(service, tokens_per_second=200)
    run, after, got, done = 0, 0, [], False
    while not done:
        page = service.call("GET", f"/jobs/{job_id}/output", params={"run": run, "after": after}).json()
        got += page["items"]
        run, after = page["run"], after + len(page["items"])
        done = page["done"] and after == page["total"]
    assert [chunk["seq"] for chunk in got] == list(range(1, TOKENS + 1))
    assert text_of(got) == service.job(job_id)["result"]["text"]
    late = service.call("GET", f"/jobs/{job_id}/output", params={"after": TOKENS - 1}).json()
    assert [chunk["seq"] for chunk in late["items"]] == [TOKENS]


def test_a_killed_worker_leads_to_a_new_run_whose_output_is_whole(service: Service) -> None:
    job_id = submit(service, tokens_per_second=25)
    chunks: list[Any] = []
    with Client(service.stack.api_url) as client:
        for chunk in client.output(job_id):
            chunks.append(chunk)
            if len(chunks) == 10:
                service.holder(job_id).kill()
                service.start_workers(1)
        record = client.get(job_id)
    runs = {chunk.run for chunk in chunks}
    assert (len(runs), record.attempt) == (2, 2)
    last = [chunk for chunk in chunks if chunk.run == max(runs)]
    assert [chunk.seq for chunk in last] == list(range(1, TOKENS + 1))
    assert {chunk.attempt for chunk in last} == {2}
    assert "".join(map(str, last)) == record.result["text"]


def test_the_command_line_prints_output_as_it_comes(service: Service) -> None:
    with ExitStack() as processes:
        with service.paused():
            job_id = submit(service, tokens_per_second=20)
            command = [sys.executable, "-m", "client", "output", job_id, "--url", service.stack.api_url]
            process = processes.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT))
            wait_until(lambda: service.watched(job_id), "the command follows the job")
        assert process.stdout
        first = process.stdout.read(10)
        assert not service.job(job_id)["done"]
        rest = process.stdout.read()
    assert process.returncode == 0
    assert (first + rest).decode() == service.job(job_id)["result"]["text"] + "\n"


def test_a_submission_can_print_its_output(service: Service) -> None:
    params = json.dumps({"max_tokens": 5, "seed": 1, "tokens_per_second": 1000})
    words = ["submit", "generate", "--params", params, "--output", "--url", service.stack.api_url]
    done = subprocess.run([sys.executable, "-m", "client", *words], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 5


def test_no_job_has_no_output(service: Service) -> None:
    answer = service.call("GET", "/jobs/nobody/output")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    refused = service.call("GET", "/jobs/nobody/output", params={"after": -1})
    assert refused.json()["code"] == "invalid_request"
