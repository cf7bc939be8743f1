"""DELIVERY: the internal job type that delivers a webhook."""

from pydantic import BaseModel

from shared.job_type import Backoff, JobType, Params
from shared.webhooks.addresses import WebhookUrl


class DeliveryParams(Params):
    """The params of a delivery.

    Attributes:
        job_id: the job that has ended.
        url: the address of the receiver.
        fields: the record of that job, as Redis holds it.
        ended_at: milliseconds since the epoch; the time for the delivery begins then.
    """

    job_id: str
    url: WebhookUrl
    fields: dict[str, str]
    ended_at: int


class Delivered(BaseModel):
    """The status of the receiver's answer, and the seconds until it came."""

    status: int
    seconds: float


DELIVERY = JobType(
    name="webhook",
    summary="Deliver the webhook of a job that has ended.",
    params=DeliveryParams,
    result=Delivered,
    example={},
    queue="internal.webhooks",
    timeout=30,
    max_attempts=1000,  # a delivery ends by its time, long before
    backoff=Backoff(first=6, factor=3, longest=4 * 3600, jitter=0.3),
)
