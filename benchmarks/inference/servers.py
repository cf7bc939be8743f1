"""The processes of a setup: this project's stack or a peer's server, within a `with` block."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.inference.load import Encode, measure, post
from benchmarks.inference.memory import command_line, descendants
from benchmarks.inference.setups import Setup
from benchmarks.peer_environments import find_python
from benchmarks.slow_scripts import slow_scripts_recorded
from dev.stack import ROOT, Process, free_port, join, running, wait_until

OURS: dict[str, Any] = {
    "API_QUOTA_WAITS_AT_ONCE": "0",  # all clients come from one address
    "JOB_TYPES": "job_types,benchmarks.inference.job_types",
    "LOG_LEVEL": "WARNING",
    "UVICORN_LOG_LEVEL": "warning",
    "UVICORN_ACCESS_LOG": "false",
    "WORKER_CONCURRENCY": "128",
    "WORKER_PROCESS_MAX_CALLS": "1000000",  # the models of child processes are loaded once
}
COMPUTING = "worker.processes.child"  # in the command line of model hosts and child processes
PATIENCE = 60.0
LOG_TAIL = 2000  # characters of a log in an error text


@dataclass(frozen=True)
class Server:
    """A model server that answers.

    Attributes:
        port: its port on loopback.
        request: makes a request of an item.
        expected: bytes of every answer.
        groups: the pids of its processes, `all` and `models`: those that hold the model.
    """

    port: int
    request: Encode
    expected: bytes
    groups: Callable[[], dict[str, set[int]]]


@contextlib.contextmanager
def serving(setup: Setup, model: str) -> Iterator[Server]:
    """Run the server of a setup with a model until the block ends; it has answered once."""
    with _ours(setup, model) if setup.module == "job_server" else _peer(setup, model) as server:
        measure(server.port, [server.request("hello")], 1, 0.1, server.expected)
        yield server


@contextlib.contextmanager
def _ours(setup: Setup, model: str) -> Iterator[Server]:
    job_type = "embed" if (model, setup.variant) == ("embedding", "batched") else f"{model}_{setup.variant}"
    environment = OURS | dict(setup.environment) | {"WORKER_QUEUES": job_type}
    with running(workers=1, **environment) as stack, slow_scripts_recorded(stack.admin_url):
        leaders = [process.pid for process in (stack.redis, stack.api, *stack.workers) if process]

        def groups() -> dict[str, set[int]]:
            everyone = set().union(*map(descendants, leaders))
            return {"all": everyone, "models": {pid for pid in everyone if COMPUTING in command_line(pid)}}

        def request(item: str) -> bytes:
            params = {"item": item} if model == "device" else {"texts": [item], "encoding": "base64"}
            return post("/jobs?wait=60", {"type": job_type, "params": params})

        yield Server(stack.api_port, request, b'"state":"completed"', groups)


@contextlib.contextmanager
def _peer(setup: Setup, model: str) -> Iterator[Server]:
    port, python = free_port(), find_python(setup.module)
    if setup.module == "litserve_server":
        command = [python, "-m", "benchmarks.inference.litserve_server", str(port), model]
        expected, request = b'"result"', _litserve_request
    else:
        service = "benchmarks.inference.bentoml_server:ServedModel"
        command = [python, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(port)]
        expected, request = b'["', _bentoml_request
    with TemporaryDirectory(prefix="job-server-bench-", ignore_cleanup_errors=True) as folder:
        process = _start(command, Path(folder), setup, model)
        try:
            wait_until(lambda: _answers(process, Path(folder), port, request), "it answers", seconds=PATIENCE)
            yield Server(port, request, expected, lambda: {"all": descendants(process.pid)})
        finally:
            _end(process)


def _start(command: list[str], folder: Path, setup: Setup, model: str) -> Process:
    environment = {"PEER_MODEL": model, "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment, **setup.settings[model].environment()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _end(process: Process) -> None:
    """End a peer and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        join(process, seconds=5)


def _answers(process: Process, folder: Path, port: int, request: Encode) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"The peer has ended: {(folder / 'log').read_text()[-LOG_TAIL:]}")
    try:
        measure(port, [request("hello")], 1, 0.05, b"")
    except (OSError, RuntimeError):  # it does not listen, or its model is being loaded
        return False
    return True


def _litserve_request(item: str) -> bytes:
    return post("/predict", {"item": item})


def _bentoml_request(item: str) -> bytes:
    return post("/predict", {"items": [item]})
