"""The stack of one measurement: a Redis, and the worker processes of one peer."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, NamedTuple, cast

from redis import Redis

from benchmarks import job_counter
from benchmarks.cpu_time import cpu_seconds
from benchmarks.peer_environments import find_python
from benchmarks.slow_scripts import record_slow_scripts, watch_scripts
from dev.stack import ROOT, Process, Stack, join, wait_until

PATIENCE = 90.0  # seconds
LOG_TAIL = 2000  # characters of a log in an error text


class Rate(NamedTuple):
    """The rate of a worker, and the processor time of each job.

    Attributes:
        jobs: jobs per second.
        worker: processor microseconds per job of the worker processes.
        redis: processor microseconds per job of Redis' main thread, which runs every command.
    """

    jobs: float
    worker: float
    redis: float


class PeerStack:
    """A Redis and processes of one peer, within a `with` block; every process ends with the block.

    Args:
        peer: the name of a module in benchmarks/peers.
        environment: variables for the peer's processes.
    """

    def __init__(self, peer: str, **environment: str) -> None:
        self._temporary = TemporaryDirectory(prefix="job-server-bench-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self._stack = Stack(self.folder)
        self.admin_url = self._stack.admin_url
        self.redis = Redis.from_url(self.admin_url)
        self._peer = peer
        self._environment = {
            **os.environ,
            "REDIS_URL": self._stack.admin_url,
            job_counter.FOLDER: str(self.folder),
            **environment,
        }
        self._processes: list[Process] = []
        self._is_ours = peer == "job_server"

    def __enter__(self) -> "PeerStack":
        try:
            self._stack.start_redis()
            if self._is_ours:
                watch_scripts(self.redis)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_ours and error is None:
            record_slow_scripts(self.redis)
        self.close()

    def close(self) -> None:
        self.stop_workers()
        self.redis.close()
        self._stack.close()
        self._temporary.cleanup()

    def enqueue(self, jobs: int) -> float:
        """Fill the queue; returns the number of jobs submitted per second."""
        return jobs / float(self._run("enqueue", str(jobs)).split()[-1])

    def ping(self, jobs: int, pause: float) -> None:
        """Submit one job at a time, `pause` seconds apart on average."""
        self._run("ping", str(jobs), BENCH_PAUSE=str(pause))

    def start_workers(self, workers: int, slots: int) -> None:
        """Start worker processes, loaded and waiting for `go`."""
        for _ in range(workers):
            self._processes.append(self._start("worker", str(slots), BENCH_SLOTS=str(slots)))
        wait_until(
            lambda: self._check_workers() and len(list(self.folder.glob("*.up"))) >= workers,
            "the workers have loaded",
            seconds=PATIENCE,
        )

    def go(self) -> None:
        (self.folder / "go").touch()

    def stop_workers(self) -> None:
        for process in self._processes:
            _signal_group(process, signal.SIGTERM)
        for process in self._processes:
            join(process, seconds=3)
            _signal_group(process, signal.SIGKILL)
        self._processes.clear()
        for left in ("go", "*.up", "*.finished", "*.started", "*.latency"):
            for path in self.folder.glob(left):
                path.unlink()

    def finished(self) -> int:
        """The number of finished jobs."""
        return job_counter.read_count(self.folder)

    def wait_for_finished(self, count: int) -> tuple[float, int]:
        """Wait until `count` jobs are finished; returns the time and the number of finished jobs."""
        end = time.monotonic() + PATIENCE
        while (finished := self.finished()) < count:
            self._check_workers()
            if time.monotonic() > end:
                raise TimeoutError(f"{finished} of {count} jobs were finished: {self._log_tail()}")
            time.sleep(0.01)
        return time.monotonic(), finished

    def rate(self, jobs: int) -> Rate:
        """The rate between the first and the last twentieth of `jobs`."""
        leaders = {process.pid for process in self._processes}
        begin, finished_before = self.wait_for_finished(jobs // 20)
        worker_before, redis_before = cpu_seconds(leaders), self.redis_seconds()
        end, finished = self.wait_for_finished(jobs - jobs // 20)
        worker, redis = cpu_seconds(leaders) - worker_before, self.redis_seconds() - redis_before
        jobs = finished - finished_before
        return Rate(jobs / (end - begin), 1e6 * worker / jobs, 1e6 * redis / jobs)

    def redis_seconds(self) -> float:
        """Processor seconds of Redis' main thread."""
        found = self.info("cpu")
        return float(found["used_cpu_user_main_thread"] + found["used_cpu_sys_main_thread"])

    def info(self, section: str) -> dict[str, Any]:
        return cast(dict[str, Any], self.redis.info(section))

    def _run(self, *arguments: str, **environment: str) -> str:
        command = [find_python(self._peer), "-m", f"benchmarks.peers.{self._peer}", *arguments]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
        )
        if ended.returncode:
            raise RuntimeError(f"{self._peer} could not submit: {ended.stderr[-LOG_TAIL:]}")
        return ended.stdout

    def _start(self, *arguments: str, **environment: str) -> Process:
        command = [find_python(self._peer), "-m", f"benchmarks.peers.{self._peer}", *arguments]
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _check_workers(self) -> bool:
        """True while all workers run; raises RuntimeError once one has ended."""
        if any(process.poll() is not None for process in self._processes):
            raise RuntimeError(f"A worker of {self._peer} has ended: {self._log_tail()}")
        return True

    def _log_tail(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-LOG_TAIL:]


def _signal_group(process: Process, number: int) -> None:
    """Send a signal to a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
