"""The job type `echo`: returns its params, the smallest job there is."""

from pydantic import JsonValue

from shared.job_type import JobType, Params


class EchoParams(Params):
    message: JsonValue


ECHO = JobType(
    name="echo",
    summary="Return the params as they came.",
    params=EchoParams,
    result=EchoParams,
    example={"message": "hello"},
    timeout=30,
)
