"""Fixtures of several folders: a real Redis, its fake twin, the log, and a search for leftover keys.

Tests with the mark `models` or `telemetry` are skipped where their libraries are missing, and those of web
pages without Chromium; the last lines say so.
"""

import gc
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from dev import model_libraries
from dev.cluster import RedisCluster, clustered
from dev.leftover_keys import KeyFound, judge
from dev.stack import Stack, free_port, join, terminate, wait_until
from shared.logging import configure_logging
from shared.store.client import connect
from shared.store.slots import slot_of, tag_of
from shared.traces import start as traces_start
from tests.e2e.browser import SKIPPED as SKIPPED_WITHOUT_BROWSER
from tests.tagged_redis import TaggedRedis

MISSING = {
    "models": model_libraries.missing((*model_libraries.LIBRARIES, *model_libraries.FOR_TESTS)),
    "telemetry": traces_start.missing(),
}
"""Libraries that are not installed, by the mark of the tests that need them; `make <mark>` installs them."""
SKIPPED = {
    mark: f"needs {', '.join(names)}; `make {mark}` installs what is missing"
    for mark, names in MISSING.items()
    if names
}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.option.dist != "loadfile":
        return None
    from tests.schedule import Schedule  # a run in one process needs no xdist

    return Schedule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Collect the tests, which live to the end, without looking for garbage among them, then and later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(mark.kwargs.get("reason") == SKIPPED_WITHOUT_BROWSER for mark in item.iter_markers("skipif")):
            item.add_marker(pytest.mark.browser)
    for mark, reason in SKIPPED.items():
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason in (*SKIPPED.values(), SKIPPED_WITHOUT_BROWSER):
        skipped = [
            report
            for report in terminalreporter.stats.get("skipped", [])
            if isinstance(report.longrepr, tuple) and report.longrepr[2].endswith(reason)
        ]
        if skipped:
            files = sorted({Path(report.nodeid.partition("::")[0]).name for report in skipped})
            terminalreporter.write_line(f"{len(skipped)} tests skipped ({', '.join(files)}): {reason}.")


@pytest.fixture(scope="session", autouse=True)
def _files_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Files of tests with the default settings go to a folder of this run, not to the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JOB_TYPES", raising=False)
        patch.setenv("ARTIFACTS_URL", tmp_path_factory.mktemp("files").as_uri())
        yield


@pytest.fixture
def span_tape() -> Any:
    """Spans of this test; for tests with the mark `telemetry`."""
    from tests.span_tape import SpanTape

    return SpanTape()


@pytest.fixture(scope="session")
def redis_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A real Redis on a free port; it ends with the tests."""
    stack = Stack(Path(tmp_path_factory.mktemp("redis")))
    try:
        stack.start_redis()
        yield stack
    finally:
        stack.close()


@pytest.fixture
async def redis(redis_stack: Stack) -> AsyncIterator[Redis]:
    """A client of the real Redis, which is empty."""
    client = connect(redis_stack.admin_url)
    await client.flushall()
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster of three primaries; it ends with the tests."""
    with clustered() as cluster:
        yield cluster


@pytest.fixture
async def cluster_redis(redis_cluster: RedisCluster) -> AsyncIterator[Redis]:
    """A client of one shard of the cluster, which is empty."""
    redis_cluster.flush()
    tag = tag_of(3)
    client = TaggedRedis(port=redis_cluster.port_of(slot_of(tag)))
    client.tag = tag
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks the S3 protocol and has one bucket, `bucket`."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--port", str(port)]
    with (tmp_path_factory.mktemp("s3") / "s3.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(port), "the S3 server answers")
        httpx.put(f"{url}/bucket").raise_for_status()
        yield url
    finally:
        terminate(process)
        join(process)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty prefix in a bucket; the environment has the settings to reach it."""
    use_s3(s3_server, monkeypatch)
    return f"s3://bucket/{uuid4().hex}"


def use_s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def s3_away(monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of a bucket at an address where nothing listens."""
    use_s3("http://127.0.0.1:1", monkeypatch)
    return "s3://bucket/prefix"


@pytest.fixture
async def fake_redis() -> AsyncIterator[Redis]:
    """A fake Redis in this process."""
    client = FakeAsyncRedis(server=FakeServer(version=(7,)))  # the library keeps its own servers for ever
    yield client
    await client.aclose()


class LogTape:
    """Log lines of this process, in a file without a name."""

    def __init__(self) -> None:
        self.stdout = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by the fixture

    def erase(self) -> None:
        os.lseek(self.stdout.fileno(), 0, os.SEEK_SET)
        os.ftruncate(self.stdout.fileno(), 0)

    def text(self) -> str:
        descriptor = self.stdout.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines, parsed; those of one event if it is named."""
        found = [orjson.loads(line) for line in self.text().splitlines()]
        return [line for line in found if event in (None, line["event"])]


@pytest.fixture(scope="session")
def _tape() -> Iterator[LogTape]:
    """The tape of all tests: a logger keeps the stream that it was first used with."""
    tape = LogTape()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.logging.sys", SimpleNamespace(stdout=tape.stdout, stderr=None))
        configure_logging(level="INFO", form="json")
        yield tape
    tape.stdout.close()


@pytest.fixture(autouse=True)
def log_tape(_tape: LogTape) -> LogTape:
    """The log of this test."""
    _tape.erase()
    return _tape


async def _find_leaks(redis: Redis) -> list[str]:
    """A text for each key that should not be there, once every job is terminal and a worker has seen that."""
    keys = [
        KeyFound(name.decode(), (await redis.type(name)).decode(), await redis.ttl(name))
        for name in sorted([name async for name in redis.scan_iter()])
    ]
    return judge(keys)


@pytest.fixture
def find_leaks() -> Callable[[Redis], Awaitable[list[str]]]:
    """The search for leftover keys, for a test of the store."""
    return _find_leaks
