"""The story, criterion by criterion, as its user would try it."""

import os
from pathlib import Path

import pytest

from dev.service import Service
from shared.record import JobRecord, JobState
from tests.e2e.commands import finish, run_python
from worker.registry import load_handlers


def test_1_the_server_runs_locally_and_healthz_answers_ok(service: Service) -> None:
    assert service.stack.api is not None
    assert "api.main:app" in service.stack.api.args  # type: ignore[operator]

    answer = service.call("GET", "/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert service.stack.api.poll() is None


@pytest.mark.parametrize("path", ["/healthz", "/v1/healthz"])
def test_2_the_server_answers_health_checks(service: Service, path: str) -> None:
    assert service.call("GET", path).json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/readyz", "/v1/readyz"])
def test_2_the_server_says_that_it_is_ready(service: Service, path: str) -> None:
    answer = service.call("GET", path)

    assert answer.status_code == 200
    assert answer.json() == {"status": "pass", "checks": {"redis": "pass", "workers": "pass: 2 alive"}}


@pytest.mark.parametrize("path", ["/server/info", "/v1/server/info"])
def test_2_the_server_describes_itself(service: Service, path: str) -> None:
    info = service.call("GET", path).json()

    assert info["name"]
    assert info["version"]
    assert {"echo", "flaky", "sleep", "word_count"} <= set(info["job_types"])
    assert len(info["workers"]) == 2


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_3_a_job_is_accepted_and_really_done(service: Service, prefix: str) -> None:
    body = {"type": "word_count", "params": {"text": "to be or not to be", "top": 1}}

    answer = service.call("POST", f"{prefix}/jobs", json=body)

    accepted = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{prefix}/jobs/{accepted['job_id']}"
    assert accepted["state"] == "pending"
    record = service.wait_for(accepted["job_id"], "completed")
    assert record["result"] == {"lines": 1, "words": 6, "unique": 4, "top": [{"word": "to", "count": 2}]}
    assert service.call("GET", answer.headers["location"]).json() == record


def test_3_a_job_can_be_cancelled(service: Service) -> None:
    job_id = service.submit_running("sleep", seconds=600)

    assert service.call("DELETE", f"/v1/jobs/{job_id}").status_code == 202

    assert service.wait_for(job_id, "cancelled")["result"] is None


def test_3_the_record_holds_what_the_story_asks_for(service: Service) -> None:
    record = service.run("echo", message="hello")

    assert record["job_id"]
    assert record["state"] == "completed"
    assert record["params"] == {"message": "hello"}
    assert record["artifacts"] == []
    assert record["errors"] == []
    assert set(record) == {*JobRecord.model_fields} - {"queue_position_estimated"}  # a cluster has this one
    assert {"pending", "running", "completed", "failed"} <= {state.value for state in JobState}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/jobs/unknown", 404, "job_not_found"),
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/jobs", 405, "method_not_allowed"),
        ("POST", "/jobs", 415, "unsupported_media_type"),
    ],
)
def test_every_error_is_the_envelope(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    answer = service.call(method, path)

    error = answer.json()
    assert answer.status_code == status
    assert {"code", "message", "hint", "retryable"} <= set(error)
    assert error["code"] == code
    assert error["message"]
    assert error["hint"]
    assert error["retryable"] is False


def test_an_error_in_a_record_is_the_envelope_too(service: Service) -> None:
    record = service.wait_for(service.submit("flaky", final=True), "failed")

    assert len(record["errors"]) == 1
    assert {"code", "message", "hint", "retryable", "attempt", "at"} == set(record["errors"][0])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux shows what a process has loaded")
def test_4_neither_process_loads_what_needs_a_gpu(service: Service) -> None:
    """Both processes have run jobs in the tests above, so all that they need is loaded."""
    processes = [service.stack.api, *service.stack.workers]
    loaded = "".join(Path(f"/proc/{process.pid}/maps").read_text() for process in processes if process)

    assert "python" in loaded
    assert not [name for name in ("libcuda", "cudart", "nvidia", "torch", "rocm") if name in loaded]


LOADED_BY_API = "import api.main, sys; api.main.create_app(); print(*sys.modules)"
LOADED_BY_WORKER = (
    "import worker.__main__, worker.registry, sys; worker.registry.load_handlers(); print(*sys.modules)"
)


def loaded(program: str) -> set[str]:
    """Names of the modules that a process has loaded at the end of this program."""
    code, output = finish(run_python("-c", program, **os.environ))
    assert code == 0, output
    return set(output.split())


def test_5_the_api_accepts_jobs_without_the_code_that_performs_them() -> None:
    modules = loaded(LOADED_BY_API)

    assert {"api.routes.jobs", "job_types.echo.contract"} <= modules
    assert [name for name in modules if name.startswith("worker.") or name.endswith(".handler")] == []


def test_5_a_worker_performs_jobs_without_the_code_that_accepts_them() -> None:
    modules = loaded(LOADED_BY_WORKER)

    assert {"worker.execute", "job_types.echo.handler"} <= modules
    assert [name for name in modules if name.startswith(("api.", "fastapi", "uvicorn"))] == []


def test_5_a_worker_has_a_handler_for_each_type_that_the_api_accepts(service: Service) -> None:
    assert set(service.info()["job_types"]) == {handler.job_type.name for handler in load_handlers()}
