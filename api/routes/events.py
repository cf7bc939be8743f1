"""Server-Sent Events: the records, log lines and output of a job as a stream."""

import re
from contextlib import suppress
from typing import NamedTuple, Self

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import TooManyAtOnce, error_response
from api.middleware.direct_routes import DirectRouter
from api.ownership import owner_read
from api.quotas import CallerQuotas
from api.request import head_alone, header, prefix
from api.state import state_of
from api.waiting import ended_by_disconnect
from shared.errors import JobNotFound, QueueUnavailable
from shared.job_log import StoredLine
from shared.store.changes import Changes, Watch
from shared.store.job_output import JobOutput
from shared.store.job_queue import JobQueue
from shared.stored_record import StoredRecord

HEARTBEAT_SECONDS = 15.0
EVENT_ID = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})-([0-9]{1,18}))?")
# No empty line after either: some readers take one for the end of an event, which then has no data.
RETRY = b"retry: 1000\n"  # milliseconds; a part of the first event
HEARTBEAT = b": still here\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # for nginx, which would gather events otherwise
]

router = DirectRouter(tags=["jobs"])


@router.get("/jobs/{job_id}/events", response_class=Response)
async def follow_job(request: Request, job_id: str) -> Response:
    """An event's `data` is the record; its `id` leads back to this place. Comments keep the connection open.

    A line of the job's log is an event of the type `log`, without an `id`, before the record that counts it.
    A chunk of its output is an event of the type `output`, with `run`, `attempt`, `seq` and `chunk`.
    """
    place = Place.read(header(request, b"last-event-id") or "")
    state = state_of(request)
    record = await state.queue.get(job_id, owner=owner_read(request))
    if record.done and place.version >= record.version:
        return Response(status_code=204)
    stream = EventStream(state.queue, state.changes, job_id, place, prefix(request))
    return CountedStream(stream, state.quotas)


class Place(NamedTuple):
    """The place of a reader in a stream, as the `id` of an event has it.

    Attributes:
        version: of the last record that the reader has seen.
        run: the run whose output it has seen; 0 for none.
        seq: the number of the last chunk.
    """

    version: int = 0
    run: int = 0
    seq: int = 0

    @classmethod
    def read(cls, event_id: str) -> Self:
        """The place of an event's id; the beginning for an id of another form."""
        found = EVENT_ID.fullmatch(event_id)
        return cls(*(int(word or 0) for word in found.groups())) if found else cls()

    def encode(self) -> bytes:
        return b"%d-%d-%d" % self if self.run else b"%d" % self.version


BEGINNING = Place()


class CountedStream(Response):
    """A stream that counts toward its caller's quota until it ends.

    Args:
        stream: the stream.
        quotas: the counts and bounds of all callers.
    """

    def __init__(self, stream: Response, quotas: CallerQuotas) -> None:
        super().__init__()
        self._stream = stream
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._quotas.one_of("streams", scope):
                await self._stream(scope, receive, send)
        except TooManyAtOnce as error:
            await error_response(error)(scope, receive, send)


class EventStream(Response):
    """Events of one SSE connection, until it closes.

    The newest record is sent whenever the reader has taken the one before. So a slow reader misses some
    records, but no line of the log and no chunk of the output, and this process holds no events for it.

    Args:
        place: the reader's place.
        prefix: the beginning of the links in the records.
        heartbeat: seconds without a change after which a comment is sent, to keep the connection open.
    """

    def __init__(
        self,
        queue: JobQueue,
        changes: Changes,
        job_id: str,
        place: Place = BEGINNING,
        prefix: str = "/v1",
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        super().__init__()
        self._queue = queue
        self._changes = changes
        self._job_id = job_id
        self._place = place
        self._seq = 0  # of the log's line that was sent last
        self._prefix = prefix
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if head_alone(scope):
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            async with self._changes.watch(self._job_id) as watch, ended_by_disconnect(receive, watch):
                await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await _send(send, RETRY)
                with suppress(JobNotFound):  # the record has expired: a reader that reconnects gets 410
                    await self._follow(watch, send)
        except QueueUnavailable as error:  # before anything was sent: Redis refused the watch
            await error_response(error)(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, watch: Watch, send: Send) -> None:
        while not watch.over:
            record, lines = await self._read()
            if record is not None and record.has_output and not await self._send_output(send):
                record = None  # it may say `done`, and chunks are to come before it
            if record is not None and record.version > self._place.version:
                for line in lines:
                    await self._send_line(line, record.version, send)
                self._place = self._place._replace(version=record.version)
                data = record.to_json(None, self._prefix)
                await _send(send, b"id: %b\ndata: %b\n\n" % (self._place.encode(), data))
                if record.done:
                    return
            if not await watch.changed(within=self._heartbeat):
                await _send(send, HEARTBEAT)

    async def _read(self) -> tuple[StoredRecord | None, list[StoredLine]]:
        """Read the record, and the new lines of its log."""
        try:
            async with self._changes.turns:
                record = await self._queue.get(self._job_id)
                if record.lines <= self._seq:
                    return record, []
                log = await self._queue.logs(self._job_id, after=self._seq)
                return record, [StoredLine(line) for line in log.lines]
        except QueueUnavailable:
            return None, []  # the next change wakes the watch, and so does Redis once it is back

    async def _send_output(self, send: Send) -> bool:
        """Send the output that the reader lacks; False if Redis did not answer."""
        while True:
            try:
                async with self._changes.turns:
                    place = self._place
                    output = await self._queue.output(self._job_id, claim=place.run, after=place.seq)
            except QueueUnavailable:
                return False
            if not output.chunks:
                return True
            numbered = enumerate(output.chunks, output.first)
            await _send(send, b"".join(self._output_event(output, seq, chunk) for seq, chunk in numbered))

    def _output_event(self, output: JobOutput, seq: int, chunk: bytes) -> bytes:
        self._place = Place(self._place.version, output.claim, seq)
        return b'event: output\nid: %b\ndata: {"run":%d,"attempt":%d,"seq":%d,"chunk":%b}\n\n' % (
            self._place.encode(),
            output.claim,
            output.attempt,
            seq,
            chunk,
        )

    async def _send_line(self, line: StoredLine, version: int, send: Send) -> None:
        """Send a line, unless it is newer than the record, or was sent before the reader reconnected."""
        if line.version <= version:
            self._seq = line.seq
            if line.version > self._place.version:
                await _send(send, b"event: log\ndata: %b\n\n" % line.to_json())


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
