"""Handler of the job type `csv_profile`."""

from contextlib import closing
from pathlib import Path

from job_types.csv_profile.contract import CSV_PROFILE, CsvProfileParams, CsvProfileResult
from worker.context import BlockingContext
from worker.registry import handles
from worker.scratch import Scratch


@handles(CSV_PROFILE)
def csv_profile(params: CsvProfileParams, job: BlockingContext) -> CsvProfileResult:
    """Profile the file in a process. The process may be killed, so the handler removes its scratch folder."""
    path = job.open_input(params.file)
    with closing(Scratch()) as scratch:
        return job.in_process(profile, path, params, scratch.folder, job.max_result_bytes)


def profile(path: Path, params: CsvProfileParams, scratch: Path, most_bytes: int) -> CsvProfileResult:
    from job_types.csv_profile import profile as csv_profile

    return csv_profile.profile(path, params, scratch, most_bytes)
