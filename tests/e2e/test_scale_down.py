"""Workers that an autoscaler takes away, while they claim and in mid-job; the number that it reads."""

import hashlib
import signal
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from dev.service import Service, WorkerProcess, serving
from dev.stack import ROOT, wait_until

JOBS = 400
SCALING = ROOT / "deploy" / "kubernetes" / "queue-groups" / "default" / "scaling.yaml"
KEYS = {"owner": "read+write+admin", "keda": "read"}


@pytest.fixture(scope="module")
def bare() -> Iterator[Service]:
    """An API and Redis, shared by the tests of this file, which start the workers."""
    entries = [
        f"{name}:{scopes}:{hashlib.sha256(name.encode()).hexdigest()}" for name, scopes in KEYS.items()
    ]
    with serving(WORKER_PROCESSES="1", API_KEYS=",".join(entries)) as bare:
        bare.http.headers["X-API-Key"] = "owner"
        yield bare


@pytest.fixture
def pair(bare: Service) -> Iterator[list[WorkerProcess]]:
    """Two workers for one test, whose grace is short."""
    yield bare.start_workers(2, WORKER_CONCURRENCY="5", WORKER_GRACE_SECONDS="0.2")
    bare.reset()


def test_a_worker_that_is_taken_away_while_it_claims_loses_and_charges_nothing(
    bare: Service, pair: list[WorkerProcess]
):
    leaving, _ = pair
    jobs = [{"type": "sleep", "params": {"seconds": 0.01}}] * JOBS
    ids = [job["job_id"] for job in bare.call("POST", "/jobs/batch", json={"jobs": jobs}).json()["items"]]
    wait_until(lambda: leaving.log("job started"), "the worker that leaves has claimed jobs")

    leaving.send(signal.SIGTERM)

    assert leaving.wait_exit() == 0
    wait_until(lambda: bare.call("GET", "/v1/queues/default").json()["backlog"] == 0, "all jobs have ended")
    records = [bare.job(job_id) for job_id in ids]
    ends = {(record["state"], record["attempt"], len(record["errors"])) for record in records}
    assert ends == {("completed", 1, 0)}
    [stop] = leaving.log("worker stops")
    last = max(datetime.fromisoformat(record["started_at"]) for record in records)
    assert datetime.fromisoformat(stop["time"]) < last, "the worker left too late: give the test more jobs"


def test_a_worker_that_is_taken_away_in_mid_job_hands_it_to_another_one(
    bare: Service, pair: list[WorkerProcess]
):
    job_id = bare.submit_running("sleep", seconds=1.5)
    leaving = bare.holder(job_id)
    [staying] = [worker for worker in pair if worker is not leaving]

    leaving.send(signal.SIGTERM)

    assert leaving.wait_exit() == 0
    record = bare.wait_for(job_id, "completed")
    assert (record["attempt"], record["errors"]) == (1, [])
    assert staying.log("job started", job_id=job_id)


def test_the_number_that_keda_reads_counts_jobs_that_run_and_those_that_may_start(bare: Service):
    """KEDA's own request: the URL, the header and the field are those of the manifest."""
    [trigger, *_] = yaml.safe_load(SCALING.read_text())["spec"]["triggers"]
    asked = trigger["metadata"]
    url = bare.stack.api_url + urlsplit(asked["url"]).path

    def value() -> float:
        answer = httpx.get(url, headers={asked["keyParamName"]: "keda"}).raise_for_status()
        return float(answer.json()[asked["valueLocation"]])

    assert value() == 0
    job_id = bare.submit("sleep", seconds=0.5)
    assert value() == 1
    bare.call("POST", "/v1/queues/default/pause")
    assert value() == 0, "workers would be kept for a job that none of them may start"
    bare.call("POST", "/v1/queues/default/resume")
    bare.start_worker()
    bare.wait_for(job_id, "running")
    assert value() == 1, "a worker would be taken away while it runs its only job"
    bare.wait_for(job_id, "completed")
    assert value() == 0
