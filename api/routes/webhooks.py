"""Webhooks of jobs: deliveries, redelivery, and the secrets of receivers."""

from datetime import datetime
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.errors import Forbidden
from api.ownership import may_read, owner_changed, owner_read
from api.state import state_of
from shared.errors import InvalidRequest, WebhookNotFound, WebhooksDisabled
from shared.record import JobError, JobRecord, JobState, JobSummary
from shared.store.job_queue import JobQueue
from shared.stored_record import StoredRecord
from shared.webhooks.addresses import read_host
from shared.webhooks.signing import receiver_key, webhook_id, write_secret

router = APIRouter(tags=["webhooks"])
sent = APIRouter()


def no_key() -> Forbidden:
    return Forbidden(
        "Secrets are shown to callers with an API key alone.",
        hint="Set API_KEYS, or let the operator run `python -m shared.webhooks --host HOST`.",
    )


def no_host() -> InvalidRequest:
    return InvalidRequest(
        "The path names no host.", hint="Name the host of the webhook's URL, without scheme, port and path."
    )


class Delivery(BaseModel):
    """The attempts to deliver a webhook, until one succeeds."""

    number: Annotated[int, Field(ge=1, description="Number of the delivery, from 1.")]
    state: JobState
    done: bool
    attempt: Annotated[int, Field(description="The running attempt, or the last one; 0 before the first.")]
    attempts: Annotated[list[JobError], Field(description="One entry per failed attempt, oldest first.")]
    next_attempt_at: Annotated[datetime | None, Field(description="Time of the next attempt.")]
    delivered_at: datetime | None
    status: Annotated[int | None, Field(description="The receiver's answer to the attempt that succeeded.")]


class WebhookDeliveries(BaseModel):
    url: str
    webhook_id: Annotated[str, Field(description="The header `webhook-id`, the same at every attempt.")]
    deliveries: Annotated[list[Delivery], Field(description="Oldest first; none before the job has ended.")]


class WebhookSecrets(BaseModel):
    """The secrets by which a receiver checks signatures; a signature by any of them is valid."""

    host: str
    caller: Annotated[str, Field(description="The name of the API key whose jobs the webhooks are about.")]
    secrets: Annotated[list[str], Field(description="The newest first; more than one during a change.")]


class WebhookEvent(BaseModel):
    """The body of a webhook."""

    type: Literal["job.completed", "job.failed", "job.cancelled"]
    timestamp: Annotated[datetime, Field(description="Time of the job's end.")]
    data: JobRecord


@router.get("/jobs/{job_id}/webhook")
async def read_webhook(request: Request, job_id: str) -> WebhookDeliveries:
    """Failed deliveries are tried again, at growing intervals, until 24 hours have passed."""
    queue = state_of(request).queue
    return await _deliveries(queue, await queue.get(job_id, owner=owner_read(request)))


@router.post("/jobs/{job_id}/webhook/redeliver", status_code=202, response_model=WebhookDeliveries)
async def redeliver_webhook(request: Request, job_id: str) -> WebhookDeliveries | Response:
    """The next attempt of an open delivery comes at once; else a new delivery has the same `webhook-id`."""
    queue = state_of(request).queue
    if await queue.redeliver(job_id, owner=owner_changed(request)) == 0:
        raise WebhookNotFound("The job has no webhook.")
    record = await queue.get(job_id)
    if not may_read(request, record.caller):
        return Response(record.to_receipt(), 202, media_type="application/json")
    return await _deliveries(queue, record)


@router.get("/webhook-secrets/{host}")
async def read_webhook_secrets(request: Request, host: str) -> WebhookSecrets:
    """The secrets for webhooks about this caller's jobs to one host; each caller and host has its own."""
    caller, masters = request.scope.get("caller"), state_of(request).settings.webhook_secrets
    if caller is None:
        raise no_key()
    if not masters:
        raise WebhooksDisabled("This server sends no webhooks.")
    try:
        name = read_host(host)
    except ValueError:
        raise no_host() from None
    keys = [receiver_key(master, caller=caller, host=name) for master in masters]
    secrets = [write_secret(key.get_secret_value()) for key in keys]
    return WebhookSecrets(host=name, caller=caller, secrets=secrets)


@sent.post("job-ended")
async def job_ended(event: WebhookEvent) -> None:
    """Sent to the `webhook` of a submission once its job has ended, signed by Standard Webhooks.

    Answer 2xx within 15 seconds. Any other answer is tried again, except 410, which ends the delivery. A
    webhook may come more than once, each time with the same `webhook-id`.
    """


async def _deliveries(queue: JobQueue, record: StoredRecord) -> WebhookDeliveries:
    if record.webhook is None:
        raise WebhookNotFound("The job has no webhook.")
    deliveries = [_delivery(delivery) for delivery in await queue.deliveries(record)]
    return WebhookDeliveries(url=record.webhook, webhook_id=webhook_id(record.job_id), deliveries=deliveries)


def _delivery(stored: StoredRecord) -> Delivery:
    record = JobSummary.model_validate_json(stored.to_json(payload=("result",)))
    completed = record.state is JobState.COMPLETED
    return Delivery(
        number=int(stored.job_id.split("-")[1]),
        state=record.state,
        done=record.done,
        attempt=record.attempt,
        attempts=record.errors,
        next_attempt_at=(record.run_at or record.created_at) if record.state is JobState.PENDING else None,
        delivered_at=record.finished_at if completed else None,
        status=orjson.loads(stored.fields[b"result"])["status"] if completed else None,
    )
