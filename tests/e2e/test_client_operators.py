"""The client's operations on queues and many jobs, and their commands, with the real service."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest

from client import AsyncClient, Client, Job, JobExpired, JobServerError, NewJob, Snapshot
from dev.service import Service
from dev.stack import ROOT, wait_until

DOCUMENT = (ROOT / "docs" / "client.md").read_text()
LATER = 3600.0


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.stack.api_url) as client:
        yield client


@pytest.fixture
def label() -> dict[str, str]:
    """A label for the jobs of this test alone."""
    return {"test": uuid4().hex}


@pytest.fixture
def paused(client: Client) -> Iterator[str]:
    """A queue that is paused for a test."""
    client.pause("default", "for a test")
    yield "default"
    client.resume("default")


def command(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m client` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={**os.environ, "JOB_SERVER_URL": service.stack.api_url},
        capture_output=True,
        text=True,
        timeout=60,
    )


# -- queues and workers


def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(client: Client) -> None:
    client.pause("default", "new disks")
    job = client.submit("echo", {"message": 1})

    queue = client.queue("default")

    assert queue.pause is not None
    assert (queue.paused, queue.pause.reason, queue.pause.by) == (True, "new disks", None)
    assert queue.ready >= 1
    assert client.get(job).queue_paused
    assert not client.resume("default").paused
    assert client.result(job, 20) == {"message": 1}


def test_a_drained_queue_has_no_waiting_jobs(client: Client, paused: str, label: dict[str, str]) -> None:
    waiting = [NewJob("echo", {"message": n}, labels=label) for n in range(20)]
    waiting.append(NewJob("echo", {"message": 1}, delay=LATER, labels=label))
    client.submit_batch(waiting)

    drained = client.drain(paused)

    assert (drained.cancelled, drained.remaining) == (21, 0)
    assert {job.state for job in client.iter_jobs(label=label)} == {"cancelled"}
    assert client.queue(paused).ready == 0


def test_a_queue_without_jobs_has_zeros(client: Client) -> None:
    queue = client.queue("nobody-knows-it")

    assert (queue.backlog, queue.workers, queue.concurrency, queue.paused) == (0, 0, 0, False)
    assert "default" in [queue.name for queue in client.queues()]


def test_a_worker_shows_the_job_that_it_runs(service: Service, client: Client) -> None:
    job = client.submit("sleep", {"seconds": LATER})
    wait_until(lambda: client.get(job).state == "running", "the job runs")

    workers = client.workers()

    assert {worker.worker_id for worker in workers} == {*service.worker_pids()}
    [running] = [found for worker in workers for found in worker.jobs if found.job_id == job.job_id]
    assert (running.type, running.queue) == ("sleep", "default")
    assert all(worker.memory_bytes > 1e6 and worker.lease_seconds_left > 0 for worker in workers)
    client.cancel(job)


# -- many jobs


def test_jobs_are_counted_then_cancelled_by_filters(client: Client, label: dict[str, str]) -> None:
    client.submit_batch([NewJob("echo", {"message": n}, delay=LATER, labels=label) for n in range(30)])
    other = client.submit("echo", {"message": 1}, delay=LATER)

    assert client.cancel_jobs(label=label, dry_run=True).matched == 30
    assert client.cancel_jobs(label=label, type="sleep").matched == 0
    assert client.cancel_jobs(label=label, type="echo", queue="default").changed == 30

    assert {job.state for job in client.iter_jobs(label=label)} == {"cancelled"}
    assert client.cancel(other).state == "cancelled"


async def test_the_same_with_await_and_ids(service: Service, label: dict[str, str]) -> None:
    async with AsyncClient(service.stack.api_url) as client:
        jobs = [await client.submit("echo", {"message": n}, delay=LATER, labels=label) for n in range(3)]
        change = await client.cancel_jobs([*jobs, "01a21415-47fd-7329-a90a-b39967344a00"])

        assert (change.matched, change.changed) == (3, 3)
        assert [error.code for error in change.errors] == ["job_not_found"]
        assert (await client.cancel_jobs(jobs)).errors[0].code == "job_already_finished"


def test_failed_jobs_are_retried_once_for_one_key(client: Client, label: dict[str, str]) -> None:
    jobs = [NewJob("flaky", {"final": True}, labels=label) for _ in range(25)]
    for job in client.submit_batch(jobs):
        client.wait(job, 20)
    key = uuid4().hex

    first = client.retry_jobs(state="failed", label=label, idempotency_key=key)
    for job_id in first.job_ids:
        client.wait(job_id, 20)
    again = client.retry_jobs(
        [job.job_id for job in client.iter_jobs(label=label) if not job.retry_of], idempotency_key=key
    )

    assert (first.matched, len({*first.job_ids})) == (25, 25)
    assert {*again.job_ids} == {*first.job_ids}


def test_filters_of_a_list(client: Client, label: dict[str, str]) -> None:
    old = client.submit("echo", {"message": 1}, labels=label, wait=20)
    new = client.submit("echo", {"message": 2}, labels=label, wait=20)

    def listed(**filters: object) -> list[str]:
        return [job.job_id for job in client.iter_jobs(label=label, **filters)]  # type: ignore[arg-type]

    assert listed(queue="default") == [new.job_id, old.job_id]
    assert listed(queue="gpu") == []
    assert listed(created_after=new.created_at) == [new.job_id]
    assert listed(created_before=new.created_at) == [old.job_id]


# -- one job


def test_a_forgotten_job_is_gone(client: Client) -> None:
    job = client.submit("echo", {"message": 1}, wait=20)
    waiting = client.submit("echo", {"message": 1}, delay=LATER)

    client.forget(job)

    with pytest.raises(JobExpired):
        client.get(job)
    with pytest.raises(JobServerError, match="job_not_finished"):
        client.forget(waiting)
    client.cancel(waiting)


def test_the_attempts_at_a_job_have_their_outcomes(client: Client) -> None:
    job = client.submit("flaky", {"failures": 1}, wait=20)

    attempts = client.attempts(job)

    assert [attempt.outcome for attempt in attempts] == ["retried", "completed"]
    assert attempts[0].error is not None
    assert attempts[0].error.code == job.errors[0].code
    assert all(attempt.ended_at and attempt.worker for attempt in attempts)


# -- figures and events


def test_the_figures_count_a_finished_job(client: Client) -> None:
    client.submit("echo", {"message": 1}, wait=20)

    wait_until(lambda: client.figures().job_types["echo"].completed, "the job is counted")
    figures = client.figures()

    assert figures.jobs["completed"] >= 1
    assert sum(bucket.submitted for bucket in figures.history.buckets) >= 1


def test_events_show_snapshots_and_the_jobs_that_match(client: Client, label: dict[str, str]) -> None:
    seen: list[Job] = []
    for event in client.events(label=label):
        if isinstance(event, Snapshot) and not seen:
            assert event.workers.alive == 2
            assert "default" in [queue.name for queue in event.queues]
            client.submit("echo", {"message": 1})
            client.submit("echo", {"message": 2}, labels=label)
        if isinstance(event, Job):
            seen.append(event)
            if event.done:
                break

    assert {job.labels["test"] for job in seen} == {label["test"]}
    assert seen[-1].state == "completed"


# -- on the command line


def test_a_queue_is_paused_shown_and_resumed(service: Service) -> None:
    for arguments, text in [
        (("pause", "default", "--reason", "new disks"), r"default is paused since .*Z: new disks\.\n"),
        (("list",), r"QUEUE .*\n(.*\n)*default .* new disks\n(.*\n)*"),
        (("show", "default"), r"queue +default\n(.*\n)*paused +since .*: new disks\n"),
        (("resume", "default"), r"default is not paused\.\n"),
        (("drain", "nobody-knows-it", "--yes"), r"0 jobs cancelled\.\n"),
    ]:
        done = command(service, "queue", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(text, done.stdout), done.stdout


def test_workers_are_listed(service: Service) -> None:
    done = command(service, "workers")

    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == {*service.worker_pids()}


def test_jobs_are_cancelled_by_filters(service: Service, client: Client, label: dict[str, str]) -> None:
    client.submit_batch([NewJob("echo", {"message": n}, delay=LATER, labels=label) for n in range(3)])
    filters = ("--state", "pending", "--label", f"test={label['test']}")

    refused = command(service, "cancel", *filters)
    counted = command(service, "cancel", *filters, "--dry-run")
    cancelled = command(service, "cancel", *filters, "--yes")

    assert (refused.returncode, refused.stdout) == (2, "")
    assert counted.stdout == "3 jobs would be cancelled.\n"
    assert cancelled.stdout == "3 jobs cancelled.\n"


# -- examples of docs/client.md


def test_the_commands_for_operators_work_one_after_the_other(service: Service) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    for line in next(block for block in blocks if "queue pause" in block).splitlines():
        _python, _m, _client, *arguments = shlex.split(line)
        done = command(service, *arguments)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_example_for_operators_prints_what_it_counts(service: Service) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    code = next(block for block in blocks if "cancel_jobs" in block)
    code = code.replace("http://127.0.0.1:8000", service.stack.api_url)

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("3\n3\nFalse\n", "")
