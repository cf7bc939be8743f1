"""The service as a test drives it: HTTP in front, real processes behind."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from dev.stack import ROOT, Process, Stack, running, wait_until
from shared.store import redis_keys

Record = dict[str, Any]
GENTLE = (0, -signal.SIGTERM)  # exit codes of an API: once all is closed, it ends by the signal that it got


class Worker:
    """One worker process and what it logs."""

    def __init__(self, stack: Stack, *, module: str = "worker", **environment: str) -> None:
        self._stack = stack
        self._name = f"worker-{len(stack.workers)}"
        self.process: Process = stack.start_worker(module=module, **environment)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def lines(self) -> list[Record]:
        return json_lines(self._stack.output(self._name))

    def says(self, event: str, **fields: object) -> list[Record]:
        """The log lines with this event and these fields."""
        wanted = {"event": event, **fields}
        return [line for line in self.lines if wanted.items() <= line.items()]

    def started(self) -> None:
        wait_until(lambda: self.says("worker started"), "the worker starts")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exits(self, *, within: float) -> int:
        """The exit code; a worker that lives longer fails the test."""
        return self.process.wait(timeout=within)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Service:
    """A stack, with the calls of a client."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.http = httpx.Client(timeout=10)
        self.redis: Any = Redis.from_url(stack.admin_url)
        self.workers: list[Worker] = []

    def close(self) -> None:
        self.http.close()
        self.redis.close()

    def start_worker(self, *, module: str = "worker", **environment: str) -> Worker:
        worker = Worker(self.stack, module=module, **environment)
        self.workers.append(worker)
        return worker

    def start_workers(self, count: int, *, module: str = "worker", **environment: str) -> list[Worker]:
        """Several workers, started side by side; all of them are ready when this returns."""
        workers = [self.start_worker(module=module, **environment) for _ in range(count)]
        for worker in workers:
            worker.started()
        return workers

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self.http.request(method, self.stack.api_url + path, **request)

    def post(self, job_type: str, *, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
        return self.call("POST", "/jobs", json={"type": job_type, "params": params}, headers=headers)

    def submit(self, job_type: str, *, headers: dict[str, str] | None = None, **params: Any) -> str:
        """Submit a job that must be accepted; returns its id."""
        answer = self.post(job_type, headers=headers, **params)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def job(self, job_id: str) -> Record:
        answer = self.call("GET", f"/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        record: Record = answer.json()
        return record

    def wait_for(self, job_id: str, state: str, *, seconds: float = 20) -> Record:
        """The job's record once it is in this state; a job that ends in another one fails the test."""
        record: Record = {}

        def reached() -> bool:
            record.update(self.job(job_id))
            assert record["state"] == state or not record["done"], record
            return bool(record["state"] == state)

        wait_until(reached, f"the job is {state}", seconds=seconds)
        return record

    def submit_for_later(self, job_type: str, **params: Any) -> str:
        """Submit a job that no worker starts; returns its id."""
        answer = self.call("POST", "/jobs", json={"type": job_type, "params": params, "delay_seconds": 3600})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def submit_running(self, job_type: str, **params: Any) -> str:
        """Submit a job; returns its id once a worker runs it."""
        job_id = self.submit(job_type, **params)
        self.wait_for(job_id, "running")
        return job_id

    def run(self, job_type: str, **params: Any) -> Record:
        """Submit a job and wait until it is completed."""
        return self.wait_for(self.submit(job_type, **params), "completed")

    def change(self, job_id: str) -> int:
        """Let the record change in nothing but its version; returns that."""
        version: int = self.redis.hincrby(redis_keys.RECORD + job_id, "version")
        self.redis.publish(redis_keys.CHANGES + job_id, version)
        return version

    def watched(self, job_id: str) -> bool:
        """Whether an API process listens for changes of the job's record."""
        return bool(self.redis.pubsub_channels(redis_keys.CHANGES + job_id))

    def connection(self, path: str) -> socket.socket:
        """A connection that has asked for a path, and has read nothing."""
        connection = socket.create_connection(("127.0.0.1", self.stack.api_port), timeout=10)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    def kill_redis(self) -> None:
        """Kill it as soon as everything that it acknowledged is on disk: it syncs once a second."""
        synced, _ = self.redis.execute_command("WAITAOF", 1, 0, 30_000)
        assert synced == 1
        assert self.stack.redis is not None
        self.stack.redis.kill()
        self.stack.redis.wait()
        self.redis.close()

    def stop_api(self, *, within: float, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell the API to end; its exit code. One that lives longer fails the test."""
        assert self.stack.api is not None
        self.stack.api.send_signal(number)
        return self.stack.api.wait(timeout=within)

    def info(self) -> Record:
        info: Record = self.call("GET", "/server/info").json()
        return info

    def holder(self, job_id: str) -> Worker:
        """The worker that runs the job; it may claim one before its first heartbeat shows its pid."""
        worker_id = self.redis.hget(redis_keys.RECORD + job_id, "worker")
        assert isinstance(worker_id, bytes)
        presence = redis_keys.WORKER + worker_id.decode()
        wait_until(lambda: self.redis.hexists(presence, "pid"), "the worker shows its pid")
        pid = int(self.redis.hget(presence, "pid"))
        return next(worker for worker in self.workers if worker.process.pid == pid)

    def reset(self) -> None:
        """Kill the workers, forget the jobs."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
        self.redis.flushall()


@contextlib.contextmanager
def serving(*, workers: int = 0, api: bool = True, **environment: Any) -> Iterator[Service]:
    """A service within the block, its workers ready; whatever still runs at its end is killed."""
    with running(api=False, **environment) as stack:
        service = Service(stack)
        try:
            started = [service.start_worker() for _ in range(workers)]
            if api:
                stack.start_api()
            for worker in started:
                worker.started()
            yield service
        finally:
            for worker in service.workers:
                worker.kill()
            service.close()


@contextlib.contextmanager
def another_api(service: Service, folder: Path) -> Iterator[Service]:
    """One more API process on the Redis of a service, within the block."""
    stack = Stack(folder, REDIS_URL=service.stack.redis_url)
    stack.admin_url = service.stack.admin_url
    other = Service(stack)
    try:
        stack.start_api()
        yield other
    finally:
        other.close()
        stack.close()


def json_lines(output: str) -> list[Record]:
    """Log output, line by line; each must be a JSON object."""
    lines = [json.loads(line) for line in output.splitlines() if line]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def seconds_since(start: float) -> float:
    return time.monotonic() - start


def run_python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process that is expected to end by itself; `finish` waits for it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, seconds: float) -> tuple[int, str]:
    """The exit code and the output of a process; one that takes longer is killed, and fails the test."""
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    finally:
        process.kill()
        process.communicate()
