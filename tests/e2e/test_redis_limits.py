"""A full Redis, and a Redis Cluster, which can't serve this project."""

import subprocess
from pathlib import Path

import pytest

from dev.redis import server_command
from dev.service import Service, serving
from dev.stack import Stack, free_port, wait_until
from tests.e2e.commands import finish, run_python

COMMANDS = {"api": ["uvicorn", "api.main:app", "--port", "0"], "worker": ["worker"]}


def test_a_full_redis_refuses_jobs_and_lets_those_it_has_go_on() -> None:
    with serving(workers=2, WORKER_CONCURRENCY="1", WORKER_LEASE_SECONDS="1") as service:
        long = service.submit_running("sleep", seconds=3)
        waiting = [service.submit("sleep", seconds=0.2) for _ in range(3)]
        service.redis.config_set("maxmemory", 1)

        answer = service.post("echo", message="no room")

        assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")
        assert answer.json()["retryable"] is True
        for job_id in (*waiting, long):  # three leases pass meanwhile
            assert completed_undisturbed(service, job_id)
        forgotten = service.call("DELETE", f"/v1/jobs/{long}/record")
        assert (forgotten.status_code, service.call("GET", f"/jobs/{long}").status_code) == (204, 410)
        service.redis.config_set("maxmemory", 0)
        assert service.run("echo", message="room again")["attempt"] == 1


@pytest.mark.parametrize("process", COMMANDS)
def test_a_redis_cluster_is_refused_with_one_line(process: str, tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    command = server_command(stack.redis_port, tmp_path)
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    stack.redis = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    try:
        wait_until(stack._redis_answers, "the cluster answers")
        code, output = finish(run_python("-m", *COMMANDS[process], REDIS_URL=stack.admin_url))
    finally:
        stack.close()
    assert code == 2, output
    [line] = output.splitlines()
    assert "REDIS_URL: this is a Redis Cluster" in line


def completed_undisturbed(service: Service, job_id: str) -> bool:
    record = service.wait_for(job_id, "completed")
    return record["attempt"] == 1 and record["errors"] == []
