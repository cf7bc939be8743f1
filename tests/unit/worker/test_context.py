"""JobContext: reports reach the record within their bounds, and tools end with the attempt."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from shared.record import Progress
from shared.store.job_leases import Claim
from tests.unit.worker import in_child
from tests.unit.worker.pools import PATIENCE, a_pool
from worker.context import BlockingContext, JobContext, Tools
from worker.log_lines import MAX_LINE_BYTES, MAX_UNSENT_LINES
from worker.processes.pool import Processes
from worker.threads import run_in_thread

CLAIM = Claim("default", "a-job", 7, 2, 5, b"", b"{}", "a-request", "7:a-job")


def reported(job: JobContext) -> Progress:
    return Progress.model_validate_json(job.latest)


def test_a_context_shows_its_claim():
    job = JobContext.of(CLAIM, lambda: None)
    assert (job.job_id, job.attempt, job.max_attempts) == ("a-job", 2, 5)
    assert not job.cancel_requested


def test_nothing_is_to_be_sent_before_the_first_report():
    job = JobContext("a-job", 1, 3)
    assert job.latest == b""
    assert not job.unsent


def test_a_report_is_kept_until_it_is_sent_and_announced_at_once():
    calls: list[bool] = []
    job = JobContext.of(CLAIM, lambda: calls.append(job.unsent))
    job.progress(0.5, "half")
    assert orjson.loads(job.latest) == {"fraction": 0.5, "message": "half"}
    assert calls == [True]


def test_each_report_replaces_the_one_before():
    calls: list[int] = []
    job = JobContext.of(CLAIM, lambda: calls.append(1))
    job.progress(0.1)
    job.unsent = False
    job.progress(0.2, "more")
    assert reported(job) == Progress(fraction=0.2, message="more")
    assert job.unsent
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [(-1, 0.0), (0, 0.0), (0.25, 0.25), (1, 1.0), (1.5, 1.0), (float("inf"), 1.0), (float("-inf"), 0.0)],
)
def test_a_fraction_is_brought_into_its_range(given: float, kept: float):
    job = JobContext("a-job", 1, 3)
    job.progress(given)
    assert reported(job).fraction == kept


def test_a_fraction_that_is_no_number_still_makes_a_record_that_can_be_read():
    job = JobContext("a-job", 1, 3)
    job.progress(float("nan"))
    assert 0 <= reported(job).fraction <= 1


def test_a_message_that_utf8_can_not_carry_still_makes_a_report():
    job = JobContext("a-job", 1, 3)
    job.progress(0.5, "half a \ud83d smile")
    assert reported(job).fraction == 0.5


def test_a_context_can_be_made_by_hand_and_reports_to_nobody():
    job = JobContext("a-job", 1, 3)
    job.progress(1)
    assert reported(job) == Progress(fraction=1.0, message="")


# -- log


def logged(job: JobContext) -> list[dict[str, Any]]:
    """The lines on their way to the log, which arrive."""
    news = job.pending_report()
    job.acknowledge(news)
    lines = [orjson.loads(line.split(b" ", 2)[2]) for line in news.lines.splitlines()]
    return [{"message": line["message"], "fields": line["fields"]} for line in lines]


def test_a_line_is_kept_until_it_is_taken_and_announced_at_once():
    calls: list[int] = []
    job = JobContext.of(CLAIM, lambda: calls.append(1))
    job.log("read", rows=3, name="é")
    job.log("done")
    assert logged(job) == [
        {"message": "read", "fields": {"rows": 3, "name": "é"}},
        {"message": "done", "fields": {}},
    ]
    assert len(calls) == 2
    assert logged(job) == []


class Unspeakable:
    def __repr__(self) -> NoReturn:
        raise ValueError


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({1, 2}, "{1, 2}"),
        (Path("/a"), repr(Path("/a"))),
        ([{3}], ["{3}"]),
        (float("nan"), None),
        (2**64, "18446744073709551616"),
        ("a \ud83d b", "'a \\ud83d b'"),
        (LOOP, "[[...]]"),
        (Unspeakable(), "<Unspeakable>"),
        (threading.Lock, repr(threading.Lock)),
    ],
)
def test_what_json_can_not_carry_is_logged_by_its_repr(value: object, kept: object):
    job = JobContext("a-job", 1, 3)
    job.log("look", value=value)
    assert logged(job) == [{"message": "look", "fields": {"value": kept}}]


def test_a_message_that_utf8_can_not_carry_is_logged_all_the_same():
    job = JobContext("a-job", 1, 3)
    job.log("half a \ud83d smile")
    assert logged(job) == [{"message": "half a ? smile", "fields": {}}]


@pytest.mark.parametrize("character", ["x", "é", "🙂", "\x00", "\\", "\ud83d"])
def test_a_long_line_is_cut(character: str):
    job = JobContext("a-job", 1, 3)
    job.log(character * 100_000)
    job.log("many fields", **{f"field_{n}": character * 100 for n in range(1000)})
    job.log(character * 100_000, more=character * 100_000)
    lines = [line.split(b" ", 2)[2] for line in job.pending_report().lines.splitlines()]
    assert len(lines) == 3
    assert all(300 < len(line) <= MAX_LINE_BYTES + len(b'"attempt":1,') for line in lines)
    assert all(orjson.loads(line)["message"] for line in lines)


def test_of_too_many_lines_the_latest_are_kept_and_the_others_are_counted():
    job = JobContext("a-job", 1, 3)
    for number in range(MAX_UNSENT_LINES + 5):
        job.log("step", number=number)
    first, *lines = logged(job)
    assert first["fields"] == {"dropped": 5}
    assert [line["fields"]["number"] for line in lines] == list(range(5, MAX_UNSENT_LINES + 5))
    job.log("step", number=0)
    assert len(logged(job)) == 1


# -- what of it has arrived


@pytest.fixture
def job() -> JobContext:
    return JobContext.of(CLAIM, lambda: None)


def numbered(job: JobContext) -> list[tuple[int, str]]:
    """The lines on their way to the log: each one's number and message."""
    lines = [line.split(b" ", 2) for line in job.pending_report().lines.splitlines()]
    return [(int(number), orjson.loads(body)["message"]) for number, _, body in lines]


def test_lines_are_sent_until_they_have_arrived(job):
    job.log("one")
    first = job.pending_report()
    job.log("two")
    assert numbered(job) == [(1, "one"), (2, "two")]
    job.acknowledge(first)
    assert job.unsent
    assert numbered(job) == [(2, "two")]
    job.acknowledge(job.pending_report())
    assert not job.unsent
    assert job.pending_report().lines == b""


def test_a_line_has_its_attempt_and_its_age(job):
    job.log("hello", n=1, path=Path("/x"))
    number, age, body = job.pending_report().lines.split(b" ", 2)
    assert (int(number), 0 <= int(age) < 5000) == (1, True)
    fields = {"n": 1, "path": "PosixPath('/x')"}
    assert orjson.loads(body) == {"attempt": 2, "message": "hello", "fields": fields}


def test_progress_that_is_reported_while_the_last_one_is_on_its_way_is_news(job):
    job.progress(0.1)
    news = job.pending_report()
    job.progress(0.2)
    job.acknowledge(news)
    assert job.unsent
    assert b"0.2" in job.pending_report().progress


# -- what the worker lends


class Files:
    """Files of an attempt that are kept nowhere."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.saved: list[tuple[str, bytes | Path, str]] = []

    async def save(self, name: str, data: bytes | Path, content_type: str) -> None:
        self.saved.append((name, data, content_type))

    async def open_input(self, reference: str) -> Path:
        if reference == "slow":
            await asyncio.Event().wait()
        return Path("/inputs", reference)


def a_job(processes: Processes | None = None) -> JobContext:
    return JobContext.of(CLAIM, lambda: None, Tools(processes or Processes(1, max_calls=1, max_rss=1), Files))


METHODS: dict[str, Callable[[Any], Any]] = {
    "in_process": lambda job: job.in_process(in_child.pid),
    "save_artifact": lambda job: job.save_artifact("a.txt", b""),
    "open_input": lambda job: job.open_input("x"),
}


@pytest.mark.parametrize("method", METHODS)
async def test_a_context_that_was_made_by_hand_says_what_it_lacks(method: str):
    job = JobContext("a-job", 1, 3)
    with pytest.raises(RuntimeError, match="has no tools: make it by"):
        await METHODS[method](job)
    with pytest.raises(RuntimeError, match="has no tools: make it by"):
        await asyncio.to_thread(METHODS[method], BlockingContext(job))


async def test_files_are_made_when_they_are_used():
    job = a_job()
    assert job.files is None
    await job.save_artifact("a.txt", b"1", "text/plain")
    await job.save_artifact("b", Path("/b"))
    assert await job.open_input("c") == Path("/inputs/c")
    assert job.max_result_bytes == 4 << 20
    files = job.files
    assert isinstance(files, Files)
    assert files.claim is CLAIM
    assert files.saved == [("a.txt", b"1", "text/plain"), ("b", Path("/b"), "application/octet-stream")]


def test_an_attempt_that_used_nothing_has_nothing_to_release():
    job = a_job()
    job.close()
    assert job.cancel_requested
    assert job.files is None


async def test_a_function_in_a_process_reports_to_its_job():
    async with a_pool() as pool:
        job = a_job(pool)
        assert await job.in_process(in_child.report, 2) is None
    assert reported(job) == Progress(fraction=1, message="step 2")
    assert job.unsent
    assert [line["fields"] for line in logged(job)] == [{"number": 1}, {"number": 2}]


@pytest.mark.parametrize("method", METHODS)
async def test_once_the_attempt_has_ended_nothing_more_begins(method: str):
    job = a_job()
    job.close()
    with pytest.raises(asyncio.CancelledError, match="The attempt was stopped"):
        await asyncio.wait_for(METHODS[method](job), PATIENCE)
    with pytest.raises(asyncio.CancelledError, match="The attempt was stopped"):
        await run_in_thread(METHODS[method], BlockingContext(job, asyncio.get_running_loop()))
    assert job.files is None


async def test_what_is_left_behind_ends_with_the_attempt():
    job = a_job()  # whose processes never start
    left_behind = [
        asyncio.create_task(job.in_process(in_child.pid)),
        asyncio.create_task(job.open_input("slow")),
    ]
    await asyncio.sleep(0)
    job.close()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(left_behind)
    assert all(task.cancelled() for task in left_behind)


# -- what a plain def gets


async def test_a_blocking_context_does_what_a_context_does():
    def work(job: BlockingContext) -> tuple[object, ...]:
        job.progress(0.5, "half")
        job.log("half", left=1)
        job.save_artifact("a.txt", b"1", content_type="text/plain")
        who = (job.job_id, job.attempt, job.max_attempts, job.cancel_requested)
        return *who, job.open_input("c"), job.in_process(in_child.give_back, 7)

    async with a_pool() as pool:
        job = a_job(pool)
        result = await run_in_thread(work, BlockingContext(job, asyncio.get_running_loop()))
    assert result == ("a-job", 2, 5, False, Path("/inputs/c"), 7)
    assert reported(job) == Progress(fraction=0.5, message="half")
    assert logged(job) == [{"message": "half", "fields": {"left": 1}}]
    assert isinstance(job.files, Files)
    assert job.files.saved == [("a.txt", b"1", "text/plain")]


async def test_a_thread_that_waits_is_told_that_the_attempt_was_stopped():
    ended: list[BaseException] = []
    began, over = threading.Event(), threading.Event()

    def work(job: BlockingContext) -> None:
        began.set()
        try:
            job.open_input("slow")
        except BaseException as error:
            ended.append(error)
        over.set()

    job = a_job()
    task = asyncio.create_task(run_in_thread(work, BlockingContext(job, asyncio.get_running_loop())))
    assert await asyncio.to_thread(began.wait, PATIENCE)
    task.cancel()
    job.close()
    assert await asyncio.to_thread(over.wait, PATIENCE)
    assert [type(error) for error in ended] == [asyncio.CancelledError]
