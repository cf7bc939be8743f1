"""LiveFeed: one look at Redis for all readers, and bounds for slow ones."""

import asyncio
from typing import Any

import pytest

from api import live_feed
from api.live_feed import ChangedJob, LiveFeed, Reader, Unread
from shared.errors import QueueUnavailable
from shared.record import JobState
from shared.store.activity import Changed
from shared.store.job_list import Filters
from shared.stored_record import StoredRecord


class Looks:
    """Answers of the looks at Redis, in turn; then none until there are more."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[Changed | Exception] = asyncio.Queue()
        self.begun = 0

    def begin(self) -> Any:
        self.begun += 1
        return self

    async def look(self) -> Changed:
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer


def job(job_id: str, state: str = "pending", queue: str = "default", **labels: str) -> StoredRecord:
    words = {"type": "echo", "queue": queue, "state": state, "version": "1"}
    words |= {"created_at": "1", "max_attempts": "3"}
    fields = {name.encode(): value.encode() for name, value in words.items()}
    if labels:
        fields[b"labels"] = b'{"team":"%b"}' % labels["team"].encode()
    return StoredRecord(job_id, fields)


async def figures() -> bytes:
    return b"{}"


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def feed(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> LiveFeed:
    monkeypatch.setattr(live_feed, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live_feed, "FIGURES_SECONDS", 0.0)
    return LiveFeed(looks.begin)


async def read(reader: Reader) -> Unread:
    assert await reader.watch.changed(within=10)
    return reader.take()


def ids(unread: Unread) -> list[str]:
    return [job.record.job_id for job in unread.jobs]


def changed(*records: StoredRecord) -> list[ChangedJob]:
    return [ChangedJob(record) for record in records]


async def test_all_readers_share_one_look(feed, looks):
    with feed.reader(Filters(), None) as first, feed.reader(Filters(), None) as second:
        looks.answers.put_nowait(Changed([job("a")], 0))
        assert ids(await read(first)) == ids(await read(second)) == ["a"]
    assert looks.begun == 1


async def test_the_looks_end_with_the_last_reader(feed, looks):
    with feed.reader(Filters(), None):
        pass
    with feed.reader(Filters(), None) as reader:
        looks.answers.put_nowait(Changed([job("a")], 0))
        assert ids(await read(reader)) == ["a"]
    assert looks.begun == 1  # the first one had no time to begin


async def test_the_json_of_a_job_is_made_once_for_all_readers(feed, looks):
    with feed.reader(Filters(), None) as first, feed.reader(Filters(), None) as second:
        looks.answers.put_nowait(Changed([job("a")], 0))
        [one], [other] = (await read(first)).jobs, (await read(second)).jobs
        assert one.to_json("/v1") is other.to_json("/v1")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), ["a", "b", "c"]),
        (Filters(queue="other"), ["b"]),
        (Filters(labels={"team": "vision"}), ["c"]),
        (Filters(state=JobState.RUNNING), ["c"]),
        (Filters(type="sleep"), []),
        (None, []),
    ],
)
def test_a_reader_gets_the_jobs_that_match(filters, expected):
    reader = Reader(filters, figures=False)
    reader.add(changed(job("a"), job("b", queue="other"), job("c", "running", team="vision")), 0)
    assert ids(reader.take()) == expected


def test_a_reader_learns_that_a_job_has_left_its_state():
    reader = Reader(Filters(state=JobState.RUNNING), figures=False)
    reader.add(changed(job("a", "running")), 0)
    reader.take()
    reader.add(changed(job("a", "completed"), job("b", "completed")), 0)
    assert ids(reader.take()) == ["a"]


def test_a_slow_reader_gets_the_newest_state_and_the_number_left_out():
    reader = Reader(Filters(), figures=False)
    reader.add(changed(job("a")), 0)
    reader.add(changed(job("a", "running")), 5)
    for n in range(live_feed.MOST_UNREAD + 10):
        reader.add(changed(job(f"j{n}")), 0)
    unread = reader.take()
    assert unread.jobs[0].record.state is JobState.RUNNING
    assert (len(unread.jobs), unread.missed) == (live_feed.MOST_UNREAD, 5 + 11)
    assert reader.take() == Unread(None, [], 0, None)


async def test_a_reader_of_its_own_jobs_gets_no_figures(feed, looks):
    with feed.reader(Filters(), figures) as operator, feed.reader(Filters(), None) as caller:
        looks.answers.put_nowait(Changed([job("a")], 0))
        while (unread := await read(operator)).figures is None:
            pass
        assert unread.figures == b"{}"
        assert caller.take().figures is None


async def test_a_fault_is_told_and_the_feed_goes_on(feed, looks):
    with feed.reader(Filters(), None) as reader:
        looks.answers.put_nowait(QueueUnavailable("Redis does not answer."))
        unread = await read(reader)
        assert unread.fault is not None
        looks.answers.put_nowait(RuntimeError("a fault of the feed"))
        looks.answers.put_nowait(Changed([job("a")], 0))
        assert ids(await read(reader)) == ["a"]


async def test_the_end_of_the_process_ends_all_readers(feed):
    with feed.reader(Filters(), None) as reader:
        feed.end_all()
        assert await reader.watch.changed(within=10)
        assert reader.watch.over
    with feed.reader(Filters(), None) as late:
        assert late.watch.over
