"""`python -m api --workers`: several processes of the API on one port."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
import pytest

from dev.service import serving
from dev.stack import PATIENCE, free_port, wait_until
from tests.e2e.commands import finish, run_python

JOB = {"type": "echo", "params": {"message": 1}}


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with serving(api=False) as service:
        yield service.stack.redis_url


@contextmanager
def run_api(redis_url: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """An API of two processes, and its URL; ended by SIGTERM with the block."""
    port = free_port()
    command = ("-m", "api", "--port", str(port), *options)
    process = run_python(*command, **{**os.environ, "REDIS_URL": redis_url})
    try:
        wait_until(lambda: len(serving_processes(process.pid, port)) == 2, "two processes serve")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        code, output = finish(process)
        assert (code, "Traceback" in output) == (0, False), output
        assert psutil.wait_procs(children, timeout=PATIENCE)[1] == []


def serving_processes(parent: int, port: int) -> set[int]:
    """The children that have answered."""
    pids = set()
    for child in psutil.Process(parent).children():
        if child.name().startswith("python") and any(c.laddr.port == port for c in child.net_connections()):
            pids.add(child.pid)
    return pids if is_up(port) else set()


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.HTTPError:
        return False
