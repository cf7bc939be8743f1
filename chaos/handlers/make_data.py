"""The job types `make_files` (bytes known from a seed) and `make_result` (a result of a given size)."""

from hashlib import sha256
from random import Random

from chaos.handlers.start_reports import report_no_start
from shared.job_type import Backoff, JobType, Params
from worker.context import JobContext
from worker.handler import Handler

MEGABYTE = 1_000_000
FILES = 3


class Files(Params):
    seed: int


MAKE_FILES = JobType(
    name="make_files",
    summary="",
    params=Files,
    result=int,
    example={"seed": 1},
    timeout=60,
    max_attempts=20,
    backoff=Backoff(first=0.1),
)


async def make_files(params: Files, job: JobContext) -> int:
    report_no_start()
    for number in range(FILES):
        await job.save_artifact(f"{number}.bin", content(params.seed, number))
    return FILES


def content(seed: int, number: int) -> bytes:
    """The bytes of one file, 2 to 6 MB, the same for the same seed."""
    rng = Random(f"{seed} {number}")
    return rng.randbytes(1024) * (rng.randrange(2 * MEGABYTE, 6 * MEGABYTE) // 1024)


def digest(seed: int, number: int) -> str:
    return sha256(content(seed, number)).hexdigest()


class Size(Params):
    size: int


MAKE_RESULT = JobType(
    name="make_result", summary="", params=Size, result=str, example={"size": 1}, timeout=60, max_attempts=5
)


async def make_result(params: Size, job: JobContext) -> str:
    return "x" * params.size


JOB_TYPES = {job_type.name: job_type for job_type in (MAKE_FILES, MAKE_RESULT)}
HANDLERS = (Handler(MAKE_FILES, make_files), Handler(MAKE_RESULT, make_result))
