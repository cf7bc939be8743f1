"""A client generated from the served OpenAPI document, against the service."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import httpx_sse
import pytest

from dev.service import Service

PACKAGE = "generated_job_client"


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package, made from the document and importable within the tests."""
    folder = tmp_path_factory.mktemp("generated")
    settings = folder / "settings.json"  # JSON is YAML as well
    settings.write_text(json.dumps({"post_hooks": []}))
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
            *("--url", f"{service.stack.api_url}/openapi.json", "--config", str(settings)),
            *("--meta", "none", "--output-path", str(folder / PACKAGE)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


@pytest.fixture
def client(service: Service, generated: None) -> Iterator[Any]:
    with part("client").Client(base_url=service.stack.api_url, raise_on_unexpected_status=True) as client:
        yield client


def part(name: str) -> Any:
    """A module of the generated package."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def submit(client: Any, job_type: str, params: dict[str, Any], **request: Any) -> Any:
    """The record of a job, submitted as the model that the generator made of its type."""
    model = getattr(part("models"), "".join(map(str.title, job_type.split("_"))) + "Job")
    job = model.from_dict({"type": job_type, "params": params, "labels": {"made-by": "generator"}})
    return part("api.jobs.submit_job").sync(client=client, body=job, **request)


def events(stream: str) -> list[httpx_sse.ServerSentEvent]:
    """The events of a whole stream, as a foreign library reads them."""
    answer = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=stream)
    return list(httpx_sse.EventSource(answer).iter_sse())


def test_it_submits_reads_and_lists_jobs(client: Any) -> None:
    job = submit(client, "word_count", {"text": "to be or not to be"}, wait=20)
    assert (job.state.value, job.done, job.result["words"]) == ("completed", True, 6)
    assert job.labels.to_dict() == {"made-by": "generator"}
    assert part("api.jobs.get_job").sync(job.job_id, client=client) == job
    page = part("api.jobs.list_jobs").sync(client=client, type_="word_count", label=["made-by=generator"])
    assert [found.job_id for found in page.items] == [job.job_id]


def test_it_uploads_a_file_and_reads_what_a_job_makes_of_it(client: Any) -> None:
    body = part("types").File(payload=io.BytesIO(b"day,value\nmon,1\ntue,2\n"))
    file = part("api.files.upload_file").sync(client=client, body=body)
    assert file.size == 22
    assert part("api.files.get_file").sync(file.file_id, client=client) == file
    assert submit(client, "csv_profile", {"file": file.file_id}, wait=20).result["rows"] == 2
    job = submit(client, "mandelbrot", {"size": 32}, wait=20)
    [picture] = job.artifacts
    read = part("api.jobs.read_artifact").sync(job.job_id, picture.name, client=client)
    assert len(read.payload.read()) == picture.size


def test_it_follows_a_job_as_text_in_which_each_event_has_data(client: Any) -> None:
    job = submit(client, "sleep", {"seconds": 0.3})
    found = events(part("api.jobs.follow_job").sync(job.job_id, client=client))
    records = [json.loads(event.data) for event in found if event.event == "message"]
    assert (records[-1]["job_id"], records[-1]["state"]) == (job.job_id, "completed")
    assert [event.retry for event in found] == [1000] + [None] * (len(found) - 1)


def test_it_gets_a_refusal_as_the_model_of_an_error(client: Any) -> None:
    refusal = part("api.jobs.get_job").sync("nothing", client=client)
    assert isinstance(refusal, part("models").Error)
    assert (refusal.code, refusal.details) == ("job_not_found", [])
