"""Quotas: how much of the server one caller may hold at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quotas:
    """The quotas of one caller; None leaves a quota at the server's default.

    Attributes:
        jobs_waiting: jobs that wait for a worker.
        kept_bytes: bytes of the params and results that are kept.
        files: uploaded files.
        file_bytes: bytes of all uploaded files together.
        uploads_at_once: uploads that run at the same time.
        streams_at_once: event streams that are open at the same time.
        waits_at_once: requests that wait for a job at the same time.
    """

    jobs_waiting: int | None = None
    kept_bytes: int | None = None
    files: int | None = None
    file_bytes: int | None = None
    uploads_at_once: int | None = None
    streams_at_once: int | None = None
    waits_at_once: int | None = None
