"""The processes of the service on free loopback ports, for the demo, the tests and the benchmarks."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, ClassVar

from dev.redis import PASSWORD, USER, acl_options, server_command

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0  # seconds for a process to start or end; a busy machine needs many

FIRST_PORT, LAST_PORT = 11_000, 32_768  # no browser refuses one of them, and Linux connects from higher ones
STACK_FOLDER = "STACK_FOLDER"  # in the environment of each process: the stack's folder

Process = subprocess.Popen[bytes]


def free_port() -> int:
    """A TCP port on loopback that nothing listens on.

    Below those that the system gives to outgoing connections: one of these could take the port before its
    server does.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds.

    The longer it has waited, the less often it looks: the looks of long waits took 5 % of the tests' time.

    Raises:
        TimeoutError: the condition does not hold after `seconds`.
    """
    begin = time.monotonic()
    while not condition():
        waited = time.monotonic() - begin
        if waited > seconds:
            raise TimeoutError(f"Not reached in {seconds:g} s: {what}.")
        time.sleep(min(max(waited / 10, 0.02), 0.1))


class Stack:
    """Redis, an API and any number of workers; `close` ends every process.

    Attributes:
        folder: the folder of Redis' data, the files of jobs, and the output of each process, `<name>.log`.
        root: the folder of the code.
        fsync: Redis' setting `appendfsync`.
        redis_url: the database of all processes, with the user of the service, who has few rights; that of
            another stack if REDIS_URL is given.
        admin_url: the same database, with a user who may do everything.
        api_url: the URL of the API, once it is started.
        workers: the worker processes, in the order of their start.
        environment: the variables of processes started from now on.
        descriptor: the descriptor for the output of processes started from now on; None: a file for each.
        defaults: variables of the processes of all stacks, unless one gives others.
    """

    defaults: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path, *, fsync: str = "everysec", **environment: str) -> None:
        self.folder = folder
        self.fsync = fsync
        self.root = ROOT
        self.redis_port = free_port()
        self.admin_url = f"redis://127.0.0.1:{self.redis_port}/0"
        own_url = f"redis://{USER}:{PASSWORD}@127.0.0.1:{self.redis_port}/0"
        self.redis_url = environment.get("REDIS_URL", own_url)
        self.api_port = 0
        self.api_url = ""
        self.redis: Process | None = None
        self.api: Process | None = None
        self.workers: list[Process] = []
        self.descriptor: int | None = None
        self.environment = {
            **os.environ,
            STACK_FOLDER: str(folder),
            "REDIS_URL": self.redis_url,
            "PYTHONUNBUFFERED": "1",
            "ARTIFACTS_URL": (folder / "artifacts").as_uri(),
            "REDIS_URL_FILE": "",
            "API_KEYS": "",  # not those of the caller's environment
            "API_KEYS_FILE": "",
            "JOB_TYPES": "job_types",  # whatever the caller's own environment names
            **self.defaults,
            **environment,
        }
        self._outputs: list[IO[bytes]] = []

    def start_redis(self) -> None:
        """Start Redis, on the same port and data as before if it ran already."""
        command = server_command(self.redis_port, self.folder, fsync=self.fsync)
        command += acl_options(self.folder)
        self.redis = self.spawn("redis", command)
        wait_until(self._redis_answers, "Redis answers PING")

    def start_api(self, **environment: str) -> str:
        """Start an API process, on the same port as before if one ran already; returns its URL."""
        port = self.api_port = self.api_port or free_port()
        command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", str(port)]
        self.api = self.spawn("api", command, environment)
        self.api_url = f"http://127.0.0.1:{port}"
        wait_until(self._api_answers, "the API answers /healthz")
        return self.api_url

    def start_worker(self, *, module: str = "worker", **environment: str) -> Process:
        """Start a worker process; it is ready when it has sent its first heartbeat."""
        process = self.spawn(f"worker-{len(self.workers)}", [sys.executable, "-m", module], environment)
        self.workers.append(process)
        return process

    def output(self, name: str) -> str:
        """The output of a process so far."""
        return (self.folder / f"{name}.log").read_text()

    def count_exited(self) -> int:
        """The number of API and worker processes that have exited."""
        return sum(process is None or process.poll() is not None for process in (self.api, *self.workers))

    def close(self) -> None:
        """End all processes, by SIGTERM and then by SIGKILL."""
        processes = [p for p in (*self.workers, self.api) if p is not None]
        for process in processes:
            terminate(process)
        for process in processes:
            join(process)
        if self.redis is not None:
            terminate(self.redis)
            join(self.redis)
        for output in self._outputs:
            output.close()

    def spawn(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Process:
        output = (self.folder / f"{name}.log").open("ab")
        self._outputs.append(output)
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output if self.descriptor is None else self.descriptor,
            stderr=subprocess.STDOUT,
        )

    def _api_answers(self) -> bool:
        if self.api is not None and self.api.poll() is not None:
            raise RuntimeError(f"The API did not start: {self.output('api')}")
        return _is_up(f"{self.api_url}/healthz")

    def _redis_answers(self) -> bool:
        if self.redis is not None and self.redis.poll() is not None:
            raise RuntimeError(f"Redis did not start: {self.output('redis')}")
        try:
            with socket.create_connection(("127.0.0.1", self.redis_port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def terminate(process: Process) -> None:
    """Send SIGTERM to a process, and SIGCONT in case it is stopped."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()


def join(process: Process, *, seconds: float = PATIENCE) -> int:
    """Wait for the end of a process, and kill it after `seconds`; returns its exit code."""
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextlib.contextmanager
def running(*, workers: int = 0, api: bool = True, **environment: str) -> Iterator[Stack]:
    """Run a stack within the block."""
    with TemporaryDirectory(prefix="job-server-") as folder:
        stack = Stack(Path(folder), **environment)
        try:
            stack.start_redis()
            for _ in range(workers):
                stack.start_worker()
            if api:
                stack.start_api()
            yield stack
        finally:
            stack.close()


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
