"""GET /metrics of the API: counts, routes, rights, and the setting that turns it off."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from shared.metrics.metric_set import CONTENT_TYPE
from tests.unit.api.callers import KEYS, as_caller

ECHO = {"type": "echo", "params": {"message": 1}}
REQUESTS = "job_server_http_request_duration_seconds_count"
SUBMITTED, FINISHED = "job_server_jobs_submitted_total", "job_server_jobs_finished_total"
JOBS = "job_server_queue_jobs"


async def scrape(client: AsyncClient, **options: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """The samples by name, then by the labels' values in the order of the labels' names."""
    answer = await client.get("/metrics", **options)
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_accepted_jobs_count_by_type_and_queue(client: AsyncClient):
    await client.post("/jobs", json=ECHO)
    await client.post("/v1/jobs/batch", json={"jobs": [ECHO, {"type": "flaky", "params": {"failures": 0}}]})
    submitted = (await scrape(client))[SUBMITTED]
    assert submitted["default", "echo"] == 2
    assert submitted["default", "flaky"] == 1
    assert submitted["default", "sleep"] == 0


async def test_neither_a_repeat_nor_a_refused_job_counts(client: AsyncClient):
    for _ in range(2):
        await client.post("/jobs", json=ECHO, headers={"Idempotency-Key": "once"})
    assert (await client.post("/jobs", json={"type": "nothing"})).status_code == 422
    submitted = (await scrape(client))[SUBMITTED]
    assert sum(submitted.values()) == submitted["default", "echo"] == 1


async def test_requests_count_by_template_and_class_of_status(client: AsyncClient):
    job_id = (await client.post("/v1/jobs", json=ECHO)).json()["job_id"]
    for prefix in ("", "/v1"):
        await client.get(f"{prefix}/jobs/{job_id}")
    await client.head(f"/jobs/{job_id}")
    await client.get("/jobs/unknown")
    await client.get(f"/v1/jobs/{job_id}/logs")  # by the framework's own way
    await client.head(f"/v1/jobs/{job_id}/logs")
    requests = (await scrape(client))[REQUESTS]
    assert requests == {
        ("POST", "/jobs", "2xx"): 1,
        ("GET", "/jobs/{job_id}", "2xx"): 2,
        ("HEAD", "/jobs/{job_id}", "2xx"): 1,
        ("GET", "/jobs/{job_id}", "4xx"): 1,
        ("GET", "/jobs/{job_id}/logs", "2xx"): 1,
        ("HEAD", "/jobs/{job_id}/logs", "2xx"): 1,
    }
    assert (await scrape(client))[REQUESTS]["GET", "/metrics", "2xx"] == 1


async def test_unknown_paths_and_methods_make_no_series_of_their_own(client: AsyncClient):
    for number in range(3):
        await client.get(f"/nothing/{number}")
        await client.request(f"BREW{number}", "/jobs")
    requests = (await scrape(client))[REQUESTS]
    assert requests == {("GET", "other", "4xx"): 3, ("other", "other", "4xx"): 3}


async def test_the_metrics_are_no_operation_of_the_document(client: AsyncClient):
    assert (await client.get("/v1/metrics")).status_code == 404
    assert "/metrics" not in str((await client.get("/openapi.json")).json()["paths"].keys())


async def test_off_serves_nothing_and_counts_nothing(serve: Callable[..., Any], fake_redis: Redis):
    client = await serve(fake_redis, api_metrics="off")
    assert (await client.get("/metrics")).status_code == 404
    assert (await client.post("/jobs", json=ECHO)).status_code == 202


@pytest.mark.parametrize(
    ("caller", "status"), [("reader", 200), ("own-reader", 403), ("writer", 403), (None, 401)]
)
async def test_with_keys_a_scrape_needs_the_right_to_read_all(
    serve: Callable[..., Any], fake_redis: Redis, caller: str | None, status: int
):
    client = await serve(fake_redis, api_keys=KEYS)
    answer = await client.get("/metrics", headers=as_caller(caller) if caller else {})
    assert answer.status_code == status
