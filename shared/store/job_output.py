"""The output of a job, which its handler streams, as readers get it."""

from typing import NamedTuple

from shared.store import scripts
from shared.store.missing_jobs import expired, not_found
from shared.store.redis_calls import RedisCalls

OUTPUT_AT_ONCE = 1000  # chunks


class JobOutput(NamedTuple):
    """Output of a job's last claim.

    Attributes:
        claim: the number of the claim; each claim of a job begins the output anew.
        attempt: the attempt that the claim made.
        total: chunks emitted so far.
        ended: whether the job is done.
        first: the number of the first one of `chunks`, from 1.
        chunks: those that were asked for, each JSON.
    """

    claim: int
    attempt: int
    total: int
    ended: bool
    first: int
    chunks: list[bytes]


async def read_output(redis: RedisCalls, job_id: str, claim: int, after: int, owner: str | None) -> JobOutput:
    """The next chunks of a job's output, OUTPUT_AT_ONCE at most.

    Args:
        redis: sends the call.
        claim: the claim whose chunks are known; those of another claim count as none.
        after: the number of chunks that are known.
        owner: the caller whose jobs alone count.

    Raises:
        JobNotFound: no job has the id.
        JobExpired: the record has expired.
    """
    found, *rest = await redis.run(scripts.OUTPUT, job_id, claim, after, OUTPUT_AT_ONCE, owner or "")
    if found < 0:
        raise expired(job_id) if found == -1 else not_found(job_id)
    attempt, total, ended, *chunks = rest
    known = after if claim == found else 0
    return JobOutput(found, attempt, total, bool(ended), known + 1, chunks)
