"""LiveFeed: changes of jobs, and figures once a second, for all readers of this process."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from shared.errors import QueueUnavailable
from shared.logging import get_log
from shared.store.activity import Activity
from shared.store.changes import Watch
from shared.store.job_list import Filters
from shared.stored_record import StoredRecord

LOOK_SECONDS = 0.25
FIGURES_SECONDS = 1.0
MOST_UNREAD = (
    50  # jobs that a reader has not taken: with LOOK_SECONDS 200 a second, more than a page can show
)
MOST_SHOWN = (
    1000  # ids that a reader has got, to be told of their next change even if their state matches no more
)

MakeFigures = Callable[[], Awaitable[bytes]]

log = get_log(__name__)


class ChangedJob:
    """A changed job, and its JSON, which is made once for all readers."""

    __slots__ = ("_json", "record")

    def __init__(self, record: StoredRecord) -> None:
        self.record = record
        self._json: dict[str, bytes] = {}

    def to_json(self, prefix: str) -> bytes:
        """The record without params and result.

        Args:
            prefix: the first part of the paths of its links.
        """
        if prefix not in self._json:
            self._json[prefix] = self.record.to_json(None, prefix, ())
        return self._json[prefix]


class Unread(NamedTuple):
    """Events for one reader: the newest figures if they are new, changed jobs, the number of jobs left out.

    Attributes:
        fault: the error of Redis, once when it goes away.
    """

    figures: bytes | None
    jobs: list[ChangedJob]
    missed: int
    fault: QueueUnavailable | None


class Reader:
    """A reader of the feed.

    Args:
        filters: of the jobs; None for no job.
        figures: whether it gets figures, which reveal the work of all callers.

    Attributes:
        watch: woken when there is something to read.
    """

    def __init__(self, filters: Filters | None, *, figures: bool) -> None:
        self.watch = Watch(only_done=False)
        self._filters = filters
        self._wants_figures = figures
        self._figures: bytes | None = None
        self._jobs: dict[str, ChangedJob] = {}
        self._missed = 0
        self._fault: QueueUnavailable | None = None
        self._shown: OrderedDict[str, None] = OrderedDict()

    def add(self, jobs: list[ChangedJob], missed: int) -> None:
        for job in jobs:
            if not self._wants(job.record):
                continue
            job_id = job.record.job_id
            if len(self._jobs) >= MOST_UNREAD and job_id not in self._jobs:
                missed += 1
                continue
            self._jobs[job_id] = job
            self._shown[job_id] = None
            if len(self._shown) > MOST_SHOWN:
                self._shown.popitem(last=False)
        self._missed += missed
        if self._jobs or self._missed:
            self.watch.wake()

    def set_figures(self, figures: bytes) -> None:
        if self._wants_figures:
            self._figures = figures
            self.watch.wake()

    def set_fault(self, fault: QueueUnavailable) -> None:
        self._fault = fault
        self.watch.wake()

    def take(self) -> Unread:
        """All that is unread."""
        unread = Unread(self._figures, list(self._jobs.values()), self._missed, self._fault)
        self._figures, self._jobs, self._missed, self._fault = None, {}, 0, None
        return unread

    def _wants(self, record: StoredRecord) -> bool:
        """Whether the job matches; the state may have changed since the reader has got the job."""
        filters = self._filters
        return (
            filters is not None
            and filters.matches(record)
            and (filters.state in (None, record.state) or record.job_id in self._shown)
        )


class LiveFeed:
    """Looks at Redis while there are readers: once for all of them, however many there are.

    Args:
        activity: begins to look at the jobs.
    """

    def __init__(self, activity: Callable[[], Activity]) -> None:
        self._new_activity = activity
        self._make_figures: MakeFigures | None = None
        self._readers: set[Reader] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._latest: bytes | None = None

    @contextmanager
    def reader(self, filters: Filters | None, make_figures: MakeFigures | None) -> Iterator[Reader]:
        """A reader of what comes from now on; the figures come at once.

        Args:
            filters: of the jobs; None for no job.
            make_figures: makes the figures, JSON; None for a reader that gets none.
        """
        reader = Reader(filters, figures=make_figures is not None)
        self._make_figures = make_figures or self._make_figures
        reader.watch.over = self._closed
        self._readers.add(reader)
        if self._task is None:
            self._latest = None
            self._task = asyncio.create_task(self._run())
        elif self._latest is not None:
            reader.set_figures(self._latest)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers and self._task is not None:
                self._task.cancel()
                self._task = self._make_figures = None

    def end_all(self) -> None:
        """End every reader, and those that come later: this process is about to end."""
        self._closed = True
        for reader in self._readers:
            reader.watch.end()

    async def _run(self) -> None:
        activity, figures_at = self._new_activity(), 0.0
        while True:
            try:
                records, missed = await activity.look()
                jobs = [ChangedJob(record) for record in records]
                for reader in self._readers:
                    reader.add(jobs, missed)
                if self._make_figures and time.monotonic() >= figures_at:
                    figures_at = time.monotonic() + FIGURES_SECONDS
                    self._latest = await self._make_figures()
                    for reader in self._readers:
                        reader.set_figures(self._latest)
            except QueueUnavailable as error:
                self._tell_fault(error)
                await asyncio.sleep(FIGURES_SECONDS - LOOK_SECONDS)
            except Exception:
                log.exception("the live feed failed; it goes on")
            await asyncio.sleep(LOOK_SECONDS)

    def _tell_fault(self, error: QueueUnavailable) -> None:
        for reader in self._readers:
            reader.set_fault(error)
