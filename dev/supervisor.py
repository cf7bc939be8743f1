"""Supervisor of a worker in development: `python -m dev.supervisor FOLDER …` keeps one running.

A new worker starts when code in the folders changes, and when the worker ends with exit code 0, as with
WORKER_MAX_JOBS. After another exit code it starts at the next change: the error has to be corrected first.
"""

import signal
import subprocess
import sys
from collections.abc import Sequence
from threading import Event

from watchfiles import watch

WORKER = (sys.executable, "-m", "worker")
LOOK_MILLISECONDS = 100
KILL_SECONDS = 5.0  # after SIGTERM; honcho allows its processes as much


def main(folders: Sequence[str]) -> int:
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    supervise(WORKER, folders, stop)
    return 0


def supervise(command: Sequence[str], folders: Sequence[str], stop: Event) -> None:
    """Keep a process of this command running until `stop` is set; then end it."""
    process = subprocess.Popen(command)
    try:
        for changes in watch(
            *folders,
            stop_event=stop,
            raise_interrupt=False,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
        ):
            if changes or process.poll() == 0:
                end(process)
                process = subprocess.Popen(command)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process by SIGTERM, and by SIGKILL if it does not end soon."""
    process.terminate()
    try:
        process.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
