"""Errors of calls that name a job: it is not there, or not any more."""

from shared.errors import JobExpired, JobNotFound


def not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"No job has the id {job_id[:64]!r}.")


def expired(job_id: str) -> JobExpired:
    return JobExpired(f"The job {job_id[:64]!r} has ended, and its record is kept no longer.")


def key_expired(job_id: str) -> JobExpired:
    """The error of a submission whose idempotency key has made a job that is expired now."""
    return JobExpired(
        f"The job {job_id}, which this Idempotency-Key made, has ended, and its record is kept no longer.",
        hint="Use a new Idempotency-Key to have the work done again.",
    )
