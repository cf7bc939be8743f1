"""The job type `shouted`: a text in capitals, one job at a time."""

from shared.job_type import JobType, Params


class ShoutedParams(Params):
    text: str


SHOUTED = JobType(
    name="shouted",
    summary="Put a text into capitals.",
    params=ShoutedParams,
    result=str,
    example={"text": "hey"},
    queue="shouted",
    timeout=10,
)
