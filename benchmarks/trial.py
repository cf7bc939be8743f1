"""One measurement: a peer's worker processes on a Redis of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, cast

from redis import Redis

from benchmarks import cpu, tally
from dev.stack import ROOT, Process, Stack, join, wait_until

PATIENCE = 90.0
LAST_WORDS = 2000


class Trial:
    """A Redis, and processes of one peer; ends every process that it started.

    Args:
        peer: a module in benchmarks/peers.
        environment: variables for the peer's processes.
    """

    def __init__(self, peer: str, **environment: str) -> None:
        self._temporary = TemporaryDirectory(prefix="job-server-bench-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self.stack = Stack(self.folder)
        self.redis = Redis.from_url(self.stack.admin_url)
        self._peer = peer
        self._environment = {
            **os.environ,
            "REDIS_URL": self.stack.admin_url,
            tally.FOLDER: str(self.folder),
            **environment,
        }
        self._processes: list[Process] = []

    def __enter__(self) -> "Trial":
        try:
            self.stack.start_redis()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.stop_workers()
        self.redis.close()
        self.stack.close()
        self._temporary.cleanup()

    def enqueue(self, jobs: int) -> float:
        """Fill the queue; returns the jobs submitted per second."""
        return jobs / float(self._run("enqueue", str(jobs)).split()[-1])

    def ping(self, jobs: int, pause: float) -> None:
        """Submit one job at a time, `pause` seconds apart on average."""
        self._run("ping", str(jobs), BENCH_PAUSE=str(pause))

    def start_workers(self, workers: int, slots: int) -> None:
        """Start processes that are about to work, and wait for `go`."""
        for _ in range(workers):
            self._processes.append(self._start("worker", str(slots), BENCH_SLOTS=str(slots)))
        wait_until(
            lambda: self._alive() and len(list(self.folder.glob("*.up"))) >= workers,
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
        for left in ("go", "*.up", "*.done", "*.begun", "*.latency"):
            for path in self.folder.glob(left):
                path.unlink()

    def done(self) -> int:
        return tally.total(self.folder)

    def reach(self, count: int) -> tuple[float, int]:
        """The moment at which `count` jobs are done, and how many are done by then."""
        end = time.monotonic() + PATIENCE
        while (done := self.done()) < count:
            self._alive()
            if time.monotonic() > end:
                raise TimeoutError(f"{done} of {count} jobs were done: {self._last_words()}")
            time.sleep(0.01)
        return time.monotonic(), done

    def rate(self, jobs: int) -> tuple[float, float]:
        """Between the first and the last twentieth of `jobs`: jobs per second, and processor µs per job."""
        leaders = {process.pid for process in self._processes}
        begin, done_before = self.reach(jobs // 20)
        used_before = cpu.seconds(leaders)
        end, done = self.reach(jobs - jobs // 20)
        used = cpu.seconds(leaders) - used_before
        return (done - done_before) / (end - begin), 1e6 * used / (done - done_before)

    def info(self, section: str) -> dict[str, Any]:
        return cast(dict[str, Any], self.redis.info(section))

    def _run(self, *arguments: str, **environment: str) -> str:
        command = [sys.executable, "-m", f"benchmarks.peers.{self._peer}", *arguments]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
        )
        if ended.returncode:
            raise RuntimeError(f"{self._peer} could not submit: {ended.stderr[-LAST_WORDS:]}")
        return ended.stdout

    def _start(self, *arguments: str, **environment: str) -> Process:
        command = [sys.executable, "-m", f"benchmarks.peers.{self._peer}", *arguments]
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

    def _alive(self) -> bool:
        if any(process.poll() is not None for process in self._processes):
            raise RuntimeError(f"A worker of {self._peer} has ended: {self._last_words()}")
        return True

    def _last_words(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-LAST_WORDS:]


def _signal_group(process: Process, number: int) -> None:
    """Signal a process that leads its own group, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
