"""Handler of the job type `echo`."""

from job_types.echo.contract import ECHO, EchoParams
from worker.context import JobContext
from worker.registry import handles


@handles(ECHO)
async def echo(params: EchoParams, job: JobContext) -> EchoParams:
    return params
