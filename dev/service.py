"""A running service, with the calls of a client: for the end-to-end tests and the fault suite."""

import contextlib
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from dev.cluster import RedisCluster
from dev.forwarder import Forwarder
from dev.sentinels import SentinelGroup
from dev.stack import PATIENCE, Process, Stack, wait_until
from shared.store import redis_keys
from shared.store.slots import slot_of, tag_of

Record = dict[str, Any]
GRACEFUL_EXITS = (0, -signal.SIGTERM)  # of an API: once all is closed, it ends by the signal that it got


class WorkerProcess:
    """A worker of a service: its process, its log, and signals for it."""

    def __init__(self, service: "Service", *, module: str, **environment: str) -> None:
        self._service = service
        self.name = f"worker-{len(service.stack.workers)}"
        self.process: Process = service.stack.start_worker(module=module, **environment)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def worker_id(self) -> str:
        return next(name for name, pid in self._service.worker_pids().items() if pid == self.pid)

    def wait_ready(self) -> None:
        """Wait for the worker's first heartbeat; not for a line of its log, because that may go nowhere."""
        wait_until(lambda: self.pid in self._service.worker_pids().values(), f"{self.name} is ready")

    @property
    def lines(self) -> list[Record]:
        """Lines of the log so far; a line that is not written to its end, as after a kill, is left out."""
        return json_lines(self._service.stack.output(self.name))

    def log(self, event: str, **fields: object) -> list[Record]:
        """Lines of the log with this event and these fields."""
        wanted = {"event": event, **fields}
        return [line for line in self.lines if wanted.items() <= line.items()]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_exit(self, *, within: float = PATIENCE) -> int:
        """Exit code of the worker.

        Raises:
            subprocess.TimeoutExpired: it lives longer.
        """
        return self.process.wait(timeout=within)

    def kill(self) -> float:
        """Kill the worker; returns the time of it, in `time.time()`."""
        self.process.kill()
        killed = time.time()
        self.process.wait()
        return killed


class Service:
    """A stack of processes, and the calls of a client.

    Attributes:
        redis: the stack's Redis, as a user who may do everything, past any link.
        workers: the workers that were started here and are not forgotten by `reset`.
        worker_module: the module that worker processes run.
        tag: the hash tag of the first shard; empty without shards.
    """

    def __init__(self, stack: Stack, *, worker_module: str = "worker") -> None:
        self.stack = stack
        self.worker_module = worker_module
        self.tag = ""
        self.http = httpx.Client(timeout=PATIENCE)
        self.redis: Any = Redis.from_url(stack.admin_url, socket_timeout=PATIENCE)
        self.workers: list[WorkerProcess] = []

    # -- processes

    def start_worker(self, *, module: str | None = None, **environment: str) -> WorkerProcess:
        worker = WorkerProcess(self, module=module or self.worker_module, **environment)
        self.workers.append(worker)
        return worker

    def start_workers(
        self, count: int, *, module: str | None = None, **environment: str
    ) -> list[WorkerProcess]:
        """Start several workers side by side; all of them are ready when this returns."""
        workers = [self.start_worker(module=module, **environment) for _ in range(count)]
        for worker in workers:
            worker.wait_ready()
        return workers

    def worker_pids(self) -> dict[str, int]:
        """Process ids of the workers that Redis knows, by worker id."""
        names = [name.decode() for name in self.redis.zrange(self.tag + redis_keys.WORKERS, 0, -1)]
        pids = {name: self.redis.hget(self.tag + redis_keys.WORKER + name, "pid") for name in names}
        return {name: int(pid) for name, pid in pids.items() if pid is not None}

    def holder(self, job_id: str) -> WorkerProcess:
        """The worker that runs the job; it may claim one before its first heartbeat shows its pid."""
        worker_key = redis_keys.WORKER + self.redis.hget(redis_keys.RECORD + job_id, "worker").decode()
        wait_until(lambda: self.redis.hexists(worker_key, "pid"), "the worker shows its pid")
        pid = int(self.redis.hget(worker_key, "pid"))
        return next(worker for worker in self.workers if worker.pid == pid)

    def stop_api(self, *, within: float = PATIENCE, number: signal.Signals = signal.SIGTERM) -> int:
        """Exit code of the API after a signal.

        Raises:
            subprocess.TimeoutExpired: it lives longer.
        """
        api = started(self.stack.api)
        api.send_signal(number)
        return api.wait(timeout=within)

    def restart_api(self) -> None:
        """Kill the API and start it on the same port."""
        started(self.stack.api).kill()
        started(self.stack.api).wait()
        self.stack.start_api()

    def restart_redis(self) -> None:
        """Kill Redis at any moment, and start it on the same port and data."""
        self._kill_redis()
        self.stack.start_redis()

    def kill_redis(self) -> None:
        """Kill Redis once all that it acknowledged is on disk."""
        self.sync_redis()
        self._kill_redis()

    def sync_redis(self) -> None:
        """Wait until all that Redis acknowledged is on disk.

        WAITAOF waits for the writes of its own connection alone, and at once returns without one: so a key is
        written there first. Redis syncs once a second, and a slow disk may need several more.
        """
        with self.redis.client() as connection:
            connection.set("synced", 1)
            connection.delete("synced")
            synced, _ = connection.execute_command("WAITAOF", 1, 0, 30_000)
        if synced != 1:
            raise TimeoutError("Redis has not synced its append-only file in 30 s; look at the disk.")

    def _kill_redis(self) -> None:
        started(self.stack.redis).kill()
        started(self.stack.redis).wait()
        with contextlib.suppress(RedisError):
            self.redis.close()

    def reset(self) -> None:
        """Kill the workers, forget the jobs."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
        self.redis.flushall()

    def close(self) -> None:
        """Kill the workers, and end all other processes."""
        for worker in self.workers:
            worker.kill()
        self.http.close()
        with contextlib.suppress(RedisError):
            self.redis.close()
        self.stack.close()

    # -- calls of a client

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self.http.request(method, self.stack.api_url + path, **request)

    def post(self, job_type: str, *, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
        return self.call("POST", "/jobs", json={"type": job_type, "params": params}, headers=headers)

    def submit(self, job_type: str, *, headers: dict[str, str] | None = None, **params: Any) -> str:
        """Submit a job that must be accepted; returns its id."""
        return accepted(self.post(job_type, headers=headers, **params))

    def submit_for_later(self, job_type: str, **params: Any) -> str:
        """Submit a job that no worker starts; returns its id."""
        body = {"type": job_type, "params": params, "delay_seconds": 3600}
        return accepted(self.call("POST", "/jobs", json=body))

    def submit_running(self, job_type: str, **params: Any) -> str:
        """Submit a job; returns its id once a worker runs it."""
        job_id = self.submit(job_type, **params)
        self.wait_for(job_id, "running")
        return job_id

    def run(self, job_type: str, **params: Any) -> Record:
        """Submit a job; returns its record once it is completed."""
        return self.wait_for(self.submit(job_type, **params), "completed")

    def job(self, job_id: str) -> Record:
        """The job's record, which must be there."""
        answer = self.call("GET", f"/jobs/{job_id}")
        if answer.status_code != 200:
            raise RuntimeError(f"The job {job_id} can't be read: {answer.status_code} {answer.text[:500]}")
        record: Record = answer.json()
        return record

    def wait_for(self, job_id: str, state: str, *, seconds: float = PATIENCE) -> Record:
        """The job's record once it is in this state.

        Raises:
            RuntimeError: the job has ended in another one.
            TimeoutError: it is in another one after that many seconds.
        """
        record: Record = {}

        def reached() -> bool:
            record.update(self.job(job_id))
            if record["done"] and record["state"] != state:
                raise RuntimeError(f"The job is not {state}, but ended otherwise: {record}")
            return bool(record["state"] == state)

        wait_until(reached, f"the job is {state}", seconds=seconds)
        return record

    @contextlib.contextmanager
    def paused(self, queue: str = "default") -> Iterator[None]:
        """No worker starts a job of the queue within the block."""
        self.call("POST", f"/v1/queues/{queue}/pause").raise_for_status()
        try:
            yield
        finally:
            self.call("POST", f"/v1/queues/{queue}/resume").raise_for_status()

    def info(self) -> Record:
        info: Record = self.call("GET", "/server/info").json()
        return info

    def connection(self, path: str) -> socket.socket:
        """A connection that has asked for a path, and has read nothing."""
        connection = socket.create_connection(("127.0.0.1", self.stack.api_port), timeout=PATIENCE)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return connection

    # -- changes of a record

    def change(self, job_id: str) -> int:
        """Raise the version of a record, and nothing else of it; returns the new version."""
        version: int = self.redis.hincrby(redis_keys.RECORD + job_id, "version")
        self.redis.publish(redis_keys.CHANGES + job_id, version)
        return version

    def watched(self, job_id: str) -> bool:
        """Whether an API process listens for changes of the job's record."""
        return bool(self.redis.pubsub_channels(redis_keys.CHANGES + job_id))


@contextlib.contextmanager
def serving(
    *,
    workers: int = 0,
    api: bool = True,
    worker_module: str = "worker",
    link: Forwarder | None = None,
    sentinels: SentinelGroup | None = None,
    cluster: RedisCluster | None = None,
    fsync: str = "everysec",
    **environment: Any,
) -> Iterator[Service]:
    """A service within the block, its workers ready; every process of it ends with the block.

    Args:
        link: the way to Redis for API and workers. With a target it leads to a Redis that was started
            elsewhere, without one to the Redis of this service.
        sentinels: servers that were started elsewhere, in place of the Redis of this service. Its attribute
            `redis` leads to the server that is the primary at the start.
        cluster: the same for a cluster; `redis` leads to the primary of the first shard at the start.
        fsync: how often that Redis writes its append-only file through to the disk.
    """
    with TemporaryDirectory(prefix="job-server-") as folder, contextlib.ExitStack() as ends:
        if link is not None:
            environment["REDIS_URL"] = link.url
        if sentinels is not None:
            environment["REDIS_URL"] = sentinels.url
        if cluster is not None:
            environment["REDIS_URL"] = cluster.url
        stack = Stack(Path(folder), fsync=fsync, **environment)
        own_redis = sentinels is None and cluster is None and (link is None or not link.target)
        if link is not None:
            link.target = link.target or stack.redis_port
            stack.admin_url = f"redis://127.0.0.1:{link.target}/0"
        if sentinels is not None:
            stack.admin_url = f"redis://127.0.0.1:{sentinels.primary_port()}/0"
        if cluster is not None:
            stack.admin_url = f"redis://127.0.0.1:{cluster.port_of(slot_of(tag_of(0)))}/0"
        service = Service(stack, worker_module=worker_module)
        service.tag = tag_of(0) if cluster is not None else ""
        ends.callback(service.close)
        if own_redis:
            stack.start_redis()
        begun = [service.start_worker() for _ in range(workers)]
        if api:
            stack.start_api()
        for worker in begun:
            worker.wait_ready()
        yield service


def accepted(answer: httpx.Response) -> str:
    """Id of a job that must have been accepted."""
    if answer.status_code != 202:
        raise RuntimeError(f"A job was refused: {answer.status_code} {answer.text[:500]}")
    return str(answer.json()["job_id"])


def started(process: Process | None) -> Process:
    """A process that must have been started."""
    if process is None:
        raise RuntimeError("The process was not started; call start_redis or start_api first.")
    return process


def json_lines(output: str) -> list[Record]:
    """Log output by lines that are written to their ends; each of them must be a JSON object."""
    lines = [json.loads(line) for line in output.split("\n")[:-1] if line]
    if not all(isinstance(line, dict) for line in lines):
        raise TypeError("A line of the log is no JSON object.")
    return lines
