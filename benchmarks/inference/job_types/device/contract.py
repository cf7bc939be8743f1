"""Three job types of the simulated device, each with a queue of its own: a worker serves one of them."""

from shared.job_type import JobType, Params


class ItemParams(Params):
    item: str


def device_type(name: str) -> JobType[ItemParams, str]:
    return JobType(
        name=name,
        summary="Perform an item on the simulated device.",
        params=ItemParams,
        result=str,
        example={"item": "hello"},
        queue=name,
    )


BATCHED = device_type("device_batched")
SINGLE = device_type("device_single")
IN_PROCESS = device_type("device_in_process")
