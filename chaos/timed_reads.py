"""Reads of jobs at times fixed by a clock, each with the time that it took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.open_loop import Connections, OpenLoop


@dataclass(frozen=True, slots=True)
class TimedRead:
    """A read that began at `sent`, in `time.time()`; status 0 if there was no answer."""

    sent: float
    seconds: float
    status: int


class TimedReads(OpenLoop):
    """Reads jobs in turn at a fixed rate within a `with` block, whatever the answers.

    Args:
        port: the API's.
        rate: reads a second.
        job_ids: the jobs.

    Attributes:
        reads: those that have ended.
    """

    def __init__(self, port: int, *, rate: float, job_ids: Sequence[str]) -> None:
        self.reads: list[TimedRead] = []
        self._job_ids = job_ids
        super().__init__(port, rate, self._read)

    def around(self, moment: float, until: float) -> tuple[list[TimedRead], list[TimedRead]]:
        """The last reads before a moment, and as many first ones from it on, of those before `until`."""
        ordered = sorted(self.reads, key=lambda read: read.sent)
        before = [read for read in ordered if read.sent < moment]
        after = [read for read in ordered if moment <= read.sent < until]
        count = min(len(before), len(after))
        return before[len(before) - count :], after[:count]

    async def _read(self, connections: Connections, number: int, due: float) -> None:
        sent, begin = time.time(), time.monotonic()
        status, _ = await connections.request("GET", f"/jobs/{self._job_ids[number % len(self._job_ids)]}")
        self.reads.append(TimedRead(sent, time.monotonic() - begin, status))
