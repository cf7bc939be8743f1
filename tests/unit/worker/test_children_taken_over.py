"""A child that a file has taken over: its environment, and the worker's reading of its messages."""

import asyncio
import os
import pickle
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from shared.errors import FinalError, RetryableError
from tests.unit.worker import in_child
from tests.unit.worker.pools import a_pool
from worker.log_lines import Line, line_of
from worker.processes.pool import Processes

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRETS = {
    "REDIS_URL": "redis://:hunter2@redis/0",
    "WEBHOOK_SECRETS": "hunter2",
    "API_KEYS": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_SESSION_TOKEN": "hunter2",
    "HTTPS_PROXY": "http://user:hunter2@proxy",
    "HF_TOKEN": "hunter2",
    "ANYTHING_ELSE": "hunter2",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Processes]:
    """A pool of a single process, for the calls of many tests."""
    async with a_pool() as pool:
        yield pool


# -- the environment


def environment_of(process: int) -> bytes:
    """As others see it."""
    return Path(f"/proc/{process}/environ").read_bytes()


async def test_a_child_has_no_secret_in_its_environment(monkeypatch: pytest.MonkeyPatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    async with a_pool() as pool:
        environment = await asyncio.to_thread(environment_of, await pool.run(in_child.pid))
        seen = (await pool.run(in_child.surroundings))["environment"]
    assert b"hunter2" not in environment
    assert b"OMP_NUM_THREADS=3" in environment.split(b"\0")
    assert seen["PATH"] == os.environ["PATH"]
    assert not seen.keys() & SECRETS.keys()


# -- memory


async def test_a_function_gets_no_more_memory_than_is_allowed():
    async with a_pool(max_memory=256 << 20) as pool:
        with pytest.raises(RetryableError) as caught:
            await pool.run(in_child.fill_memory, 300 << 20)
        assert caught.value.code == "process_memory"
        assert "WORKER_PROCESS_MAX_MEMORY_BYTES" in caught.value.hint
        assert await pool.run(in_child.fill_memory, 100 << 20) == 100 << 20


# -- results


@pytest.mark.parametrize("depth", [0, 1, 5])
async def test_no_result_runs_anything_in_the_worker(pool: Processes, tmp_path: Path, depth: int):
    with pytest.raises(FinalError, match=r"subprocess\.call is no plain data") as caught:
        await pool.run(in_child.give_a_trap, str(tmp_path / "trapped"), depth)
    assert (caught.value.code, caught.value.hint != "") == ("unpicklable", True)
    assert not (tmp_path / "trapped").exists()
    assert await pool.run(in_child.give_back, 1) == 1


async def test_no_error_runs_anything_in_the_worker(pool: Processes, tmp_path: Path):
    body = pickle.dumps(in_child.TrapError("touch", str(tmp_path / "trapped")))
    with pytest.raises(FinalError, match=r"subprocess\.call is no plain data"):
        await pool.run(in_child.send_an_error, body)
    assert not (tmp_path / "trapped").exists()


PLAIN: list[Any] = [
    None, True, 1, 1.5, 1j, "a", b"a", bytearray(b"a"), [1, (2, {3: {4}})], frozenset({1}), range(3),
    OrderedDict(a=1), Counter("aab"), defaultdict(list, a=[1]), date(2026, 1, 1), timedelta(1),
    datetime(2026, 1, 1, tzinfo=UTC), Decimal("1.5"), Fraction(1, 3), UUID(int=5), Path("/a"),
    ip_address("::1"), np.float64(1.5), np.int8(3), np.bool_(True), KeyError("a"),
    ExceptionGroup("several", [ValueError("a")]),
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
async def test_plain_data_comes_back_as_it_is(pool: Processes, value: Any):
    found = await pool.run(in_child.give_back, value)
    assert (type(found), repr(found)) == (type(value), repr(value))


@pytest.mark.parametrize("kind", ["f4", "i8", "?", "M8[s]", "U3"])
async def test_arrays_come_back_as_they_are(pool: Processes, kind: str):
    array = np.zeros((3, 4), kind)
    for sent in (array, array.T, array[::2]):
        found = await pool.run(in_child.give_back, sent)
        assert (found == sent).all()
        assert found.dtype == sent.dtype


# -- errors


async def test_an_error_of_a_library_says_the_same(pool: Processes):
    with pytest.raises(RetryableError, match="ConversionException: no number") as caught:
        await pool.run(in_child.fail_as_a_library_does)
    assert "in_child.py" in caught.value.__notes__[0]


async def test_in_a_group_each_error_is_sent_as_it_can_be(pool: Processes):
    with pytest.raises(ExceptionGroup) as caught:
        await pool.run(in_child.fail_in_a_group_with_a_library)
    library, decisive = caught.value.exceptions
    assert (type(library), type(decisive)) == (RetryableError, FinalError)


# -- reports

GOOD = line_of("a", {"b": 1})
LONG_BODY = b'{"message":"%s","fields":{}}' % (b"a" * 5000)
BAD_REPORTS = {
    "no list": 5,
    "no report": [5],
    "a trap": [(None, (0.5, "x"), [in_child.Trap("false")], [])],
    "a progress of another type": [(None, ("much", "x"), [], [])],
    "lines that are none": [(None, None, ["a"], [])],
    "a body that is no JSON": [(None, None, [Line(1.0, b"{")], [])],
    "a body of other fields": [(None, None, [Line(1.0, b'{"attempt":9,"message":"a","fields":{}}')], [])],
    "a time without an end": [(None, None, [Line(float("inf"), GOOD.body)], [])],
    "a line that is too long": [
        (None, None, [Line(1.0, b'{"message":"%s","fields":{}}' % (b"a" * 5000))], [])
    ],
    "a place before the first": [(-1, None, [], [])],
    "a chunk that is no JSON": [(None, None, [], [b"{"])],
}


@pytest.mark.parametrize("report", BAD_REPORTS.values(), ids=BAD_REPORTS)
async def test_a_report_that_is_none_ends_the_process(pool: Processes, report: object):
    heard: list[object] = []
    with pytest.raises(RetryableError, match="can't be read") as caught:
        await pool.run(in_child.report_raw, pickle.dumps(report), on_message=heard.append)
    assert caught.value.code == "process_crashed"
    assert not heard


async def test_a_report_of_any_size_is_not_waited_for(pool: Processes):
    with pytest.raises(RetryableError, match="are allowed"):
        await pool.run(in_child.report_raw, bytes(20 << 20), on_message=print)


async def test_a_neighbour_of_a_child_that_sends_traps_is_served(tmp_path: Path):
    async with a_pool(2) as pool:
        trap = asyncio.create_task(pool.run(in_child.give_a_trap, str(tmp_path / "trapped"), 0))
        assert await pool.run(in_child.give_back, 1) == 1
        with pytest.raises(FinalError):
            await trap
