"""Handler of the job type `identify_file`."""

from pathlib import Path
from typing import TYPE_CHECKING

from job_types.identify_file.contract import IDENTIFY_FILE, IdentifyFileParams, IdentifyFileResult
from worker.context import JobContext
from worker.models.batch import Batch, Device
from worker.registry import handles

if TYPE_CHECKING:
    from job_types.identify_file.model import Model


def load(device: Device) -> "Model":
    """Load the model in the process that is to hold it; no other process imports its libraries."""
    from job_types.identify_file.model import Model

    return Model(device.threads)


async def open_file(params: IdentifyFileParams, job: JobContext) -> Path:
    """A copy of the uploaded file for the model's process, which has no access to the file store."""
    return await job.open_input(params.file)


@handles(IDENTIFY_FILE, batch=Batch(setup=load, prepare=open_file, size=64, setup_timeout=120))
def identify_file(model: "Model", paths: list[Path]) -> list[IdentifyFileResult | Exception]:
    """Identify each file by itself; one that can't be read fails its own job alone."""
    results: list[IdentifyFileResult | Exception] = []
    for path in paths:
        try:
            results.append(model.identify(path))
        except Exception as error:
            results.append(error)
    return results
