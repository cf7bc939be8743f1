"""The service that a scenario breaks: real processes on a Redis of their own."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError

from chaos.worker import STARTS
from dev.forwarder import Forwarder
from dev.redis import restricted, server_command
from dev.stack import Process, Stack, wait_until
from shared.store import redis_keys


class ChaosStack(Stack):
    """A stack whose Redis syncs as often as it is told."""

    def __init__(self, folder: Path, *, fsync: str = "everysec", **environment: str) -> None:
        super().__init__(folder, **environment)
        self._fsync = fsync

    def start_redis(self) -> None:
        command = [*server_command(self.redis_port, self.folder), *restricted(self.folder)]
        command += ["--appendfsync", self._fsync]
        self.redis = self._spawn("redis", command)
        wait_until(self._redis_answers, "Redis answers PING")


class Worker:
    """One worker process and what it logs."""

    def __init__(self, site: "Site", *, module: str = "chaos.worker", **environment: str) -> None:
        self._site = site
        self.name = f"worker-{len(site.stack.workers)}"
        self.process: Process = site.stack.start_worker(module=module, **environment)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def worker_id(self) -> str:
        return next(name for name, pid in self._site.live_workers().items() if pid == self.pid)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; a line that a kill cut off is left out."""
        found = []
        for line in self._site.stack.output(self.name).splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def ready(self) -> None:
        """Return once it has sent its first heartbeat."""
        wait_until(lambda: self.pid in self._site.live_workers().values(), f"{self.name} starts")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> float:
        """End it at once; returns when that was."""
        self.process.kill()
        killed = time.time()
        self.process.wait()
        return killed


class Site:
    """A stack, with a client's calls and a look into Redis, past any link."""

    def __init__(self, stack: Stack, redis_port: int) -> None:
        self.stack = stack
        self.redis: Any = Redis(port=redis_port, socket_timeout=10)
        self.http = httpx.Client(timeout=10)
        self.workers: list[Worker] = []

    @property
    def starts_file(self) -> Path:
        return self.stack.folder / "starts"

    def start_worker(self, *, module: str = "chaos.worker", **environment: str) -> Worker:
        worker = Worker(self, module=module, **environment)
        self.workers.append(worker)
        return worker

    def start_workers(self, count: int, **environment: str) -> list[Worker]:
        """Several workers, ready when this returns."""
        workers = [self.start_worker(**environment) for _ in range(count)]
        for worker in workers:
            worker.ready()
        return workers

    def live_workers(self) -> dict[str, int]:
        """The pids of the workers that Redis knows, by worker id."""
        names = [name.decode() for name in self.redis.zrange(redis_keys.WORKERS, 0, -1)]
        pids = {name: self.redis.hget(redis_keys.WORKER + name, "pid") for name in names}
        return {name: int(pid) for name, pid in pids.items() if pid is not None}

    def post(self, job_type: str = "sleep", **params: object) -> httpx.Response:
        return self.http.post(f"{self.stack.api_url}/jobs", json={"type": job_type, "params": params})

    def submit(self, job_type: str = "sleep", **params: object) -> str:
        """The id of a job that must be accepted."""
        answer = self.post(job_type, **params)
        if answer.status_code != 202:
            raise RuntimeError(f"A job was refused: {answer.status_code} {answer.text[:200]}")
        return str(answer.json()["job_id"])

    def restart_redis(self) -> None:
        """Kill Redis and start it on the same port and data."""
        assert_there(self.stack.redis).kill()
        assert_there(self.stack.redis).wait()
        with contextlib.suppress(RedisError):
            self.redis.close()
        self.stack.start_redis()

    def restart_api(self) -> None:
        """Kill the API and start it on the same port."""
        assert_there(self.stack.api).kill()
        assert_there(self.stack.api).wait()
        self.stack.start_api()

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.http.close()
        with contextlib.suppress(RedisError):
            self.redis.close()
        self.stack.close()


def assert_there(process: Process | None) -> Process:
    if process is None:
        raise RuntimeError("The process was not started.")
    return process


@contextlib.contextmanager
def site(
    *,
    workers: int = 0,
    api: bool = True,
    fsync: str = "everysec",
    link: Forwarder | None = None,
    **environment: Any,
) -> Iterator[Site]:
    """A service within the block, its workers ready; every process of it ends with the block.

    Args:
        link: the way to Redis for API and workers; without a target it leads to the Redis of this service.
    """
    with TemporaryDirectory(prefix="job-server-chaos-") as folder:
        environment = {STARTS: str(Path(folder) / "starts"), **environment}
        if link is not None:
            environment["REDIS_URL"] = link.url
        stack = ChaosStack(Path(folder), fsync=fsync, **environment)
        elsewhere = link is not None and link.target != 0
        if link is not None and not elsewhere:
            link.target = stack.redis_port
        place = Site(stack, link.target if link is not None else stack.redis_port)
        try:
            if not elsewhere:
                stack.start_redis()
            started = [place.start_worker() for _ in range(workers)]
            if api:
                stack.start_api()
            for worker in started:
                worker.ready()
            yield place
        finally:
            place.close()
