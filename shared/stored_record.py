"""StoredRecord: a job's record as Redis stores it, and its JSON for clients."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from shared.record import PAYLOAD, TERMINAL_STATES, JobRecord, JobState


class WaitEstimate(NamedTuple):
    """The queue position of a waiting job, from 1, and an estimate of its wait in seconds."""

    queue_position: int
    estimated_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as Redis holds it: read cheaply, and rendered without parsing the client's JSON.

    Attributes:
        job_id: the job's id.
        fields: the hash `jobs:record:<id>`; absent fields mean null, false or zero, times are
            milliseconds since the epoch, and params, params_shown, result, progress, artifacts, errors and
            labels are JSON.
        position: the queue position of a job that waits for a worker, from 1; 0 for all other jobs, and
            where it was not read.
    """

    job_id: str
    fields: Mapping[bytes, bytes]
    position: int = field(default=0, compare=False)

    @property
    def type(self) -> str:
        return self.fields[b"type"].decode()

    @property
    def queue(self) -> str:
        return self.fields[b"queue"].decode()

    @property
    def state(self) -> JobState:
        return JobState(self.fields[b"state"].decode())

    @property
    def done(self) -> bool:
        return self.state in TERMINAL_STATES

    @property
    def version(self) -> int:
        return int(self.fields[b"version"])

    @property
    def lines(self) -> int:
        """The number of lines that its log has had so far."""
        return int(self.fields.get(b"lines", 0))

    @property
    def webhook(self) -> str | None:
        """The address that gets the record once the job has ended."""
        return _text(self.fields.get(b"webhook"))

    @property
    def caller(self) -> str | None:
        """The name of the API key that submitted the job."""
        return _text(self.fields.get(b"caller"))

    @property
    def fencing_token(self) -> int:
        """The fencing token of the last claim; of a completed job, of the claim that completed it."""
        return int(self.fields.get(b"claims", 0))

    @property
    def seconds_run(self) -> float | None:
        """The run time of a finished job's last attempt; None if the job has not finished, or never ran."""
        started, finished = self.fields.get(b"started_at"), self.fields.get(b"finished_at")
        return (int(finished) - int(started)) / 1000 if started and finished else None

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """The files that the job made, each with name, content_type, size and sha256."""
        stored = self.fields.get(b"artifacts")
        return [] if stored is None else orjson.loads(stored)

    def to_json(
        self, estimate: WaitEstimate | None = None, prefix: str = "/v1", payload: Collection[str] = PAYLOAD
    ) -> bytes:
        """The record as clients see it, in the field order of `JobRecord`.

        Args:
            prefix: the first part of the paths of its links.
            payload: those fields of PAYLOAD that are shown.
        """
        shown = {}
        if "params" in payload:
            params = self.fields.get(b"params_shown") or self.fields[b"params"]
            shown["params"] = orjson.Fragment(params)
        if "result" in payload:
            shown["result"] = orjson.Fragment(self.fields.get(b"result", b"null"))
        artifacts = [
            {**artifact, "url": f"{prefix}/jobs/{self.job_id}/artifacts/{artifact['name']}"}
            for artifact in self.artifacts
        ]
        return orjson.dumps(self._shown(shown, artifacts, estimate), option=orjson.OPT_UTC_Z)

    def _shown(
        self,
        payload: Mapping[str, orjson.Fragment],
        artifacts: Sequence[Mapping[str, Any]],
        estimate: WaitEstimate | None,
    ) -> dict[str, Any]:
        fields = self.fields
        get = fields.get
        state = fields[b"state"].decode()
        return {
            "job_id": self.job_id,
            "type": fields[b"type"].decode(),
            "queue": fields[b"queue"].decode(),
            "state": state,
            "done": state in TERMINAL_STATES,
            **payload,
            "progress": orjson.Fragment(get(b"progress", b"null")),
            "artifacts": artifacts,
            "errors": _errors(get(b"errors")),
            "attempt": int(get(b"attempt", 0)),
            "max_attempts": int(fields[b"max_attempts"]),
            "cancel_requested": b"cancel_requested" in fields,
            "labels": orjson.Fragment(get(b"labels", b"{}")),
            "webhook": {"url": url} if (url := self.webhook) else None,
            "retry_of": _text(get(b"retry_of")),
            "caller": _text(get(b"caller")),
            "version": int(fields[b"version"]),
            "created_at": _time(fields[b"created_at"]),
            "run_at": _time(get(b"run_at")),
            "start_by": _time(get(b"start_by")),
            "started_at": _time(get(b"started_at")),
            "finished_at": _time(get(b"finished_at")),
            "expires_at": _time(get(b"expires_at")),
            "queue_position": estimate and estimate.queue_position,
            "estimated_wait_seconds": estimate and estimate.estimated_wait_seconds,
        }

    def to_receipt(self) -> bytes:
        """The fields of `JobReceipt`, for a caller without the right to read the job."""
        return orjson.dumps({"job_id": self.job_id, "state": self.state, "done": self.done})

    def parse(self) -> JobRecord:
        """The record as a typed model."""
        return JobRecord.model_validate_json(self.to_json())


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _time(milliseconds: bytes | int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _errors(stored: bytes | None) -> list[dict[str, Any]]:
    if stored is None:
        return []
    errors: list[dict[str, Any]] = orjson.loads(stored)
    return [{**error, "at": _time(error["at"])} for error in errors]
