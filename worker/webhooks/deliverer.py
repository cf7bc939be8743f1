"""The handler of the internal job type `webhook`: one attempt to deliver a webhook."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpcore
import orjson
from pydantic import SecretBytes

from shared import VERSION
from shared.addresses import Network
from shared.errors import FinalError, JobFailure, RetryableError
from shared.stored_record import StoredRecord
from shared.traces.context import TraceContext
from shared.traces.messaging import MESSAGE_ID
from shared.webhooks.addresses import read_target
from shared.webhooks.delivery import DELIVERY, Delivered, DeliveryParams
from shared.webhooks.signing import Signing, sign, signing_keys, webhook_id
from worker.context import JobContext
from worker.execute import JobPostponed
from worker.handler import Handler
from worker.webhooks.circuits import Circuits
from worker.webhooks.guard import Guard

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer

WINDOW = 86400.0  # seconds, from `ended_at`, after which a delivery is given up
ATTEMPT_SECONDS, CONNECT_SECONDS, BODY_SECONDS = 15.0, 5.0, 1.0
MAX_READ = 4096  # bytes of an answer's body, read only so that its connection can be used again
KEEP_ALIVE_SECONDS = 30.0
DEFAULT_PORTS = {"http": 80, "https": 443}
UNBOUNDED = 1_000_000  # slots, for a deliverer without a worker
PATIENCE = "It is tried again until 24 h have passed; the receiver has to answer 2xx within 15 s."
GONE = "webhook_gone"
UNREACHABLE = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, TimeoutError)


class Deliverer:
    """Sends webhooks, over connections that are kept for the next ones.

    Args:
        secrets: the keys to sign with, the newest first; without any, nothing is sent.
        allowed: networks that may be reached although they are not public.
        ports: ports that may be used beside those that every webhook may use.
        signing: which keys made of the secrets sign.
        circuits: bounds and circuit breakers; without them, each delivery goes at once.
        timeout: seconds in which a receiver has to answer.
        tracer: begins the spans of requests; None while TRACES is off.
    """

    def __init__(
        self,
        secrets: Sequence[SecretBytes],
        allowed: Sequence[Network],
        *,
        ports: Sequence[int] = (),
        signing: Signing = "both",
        circuits: Circuits | None = None,
        timeout: float = ATTEMPT_SECONDS,
        tracer: "Tracer | None" = None,
    ) -> None:
        self._secrets = secrets
        self._signing = signing
        self._circuits = circuits or Circuits(UNBOUNDED)
        self._timeout = timeout
        self._tracer = tracer
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=None,  # the worker's slots bound them
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=Guard(allowed, ports, self._circuits),
        )

    def handler(self) -> Handler:
        """The handler of the job type `webhook`.

        The start of an attempt is not logged: under a receiver that stalls, most are postponed. The end is.
        """
        return Handler(DELIVERY, self._deliver, logs_start=False)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def _deliver(self, delivery: DeliveryParams, job: JobContext) -> Delivered:
        """Send one webhook, as one attempt.

        Raises:
            RetryableError: it did not arrive, and is to be tried again after a pause.
            FinalError: it can't arrive, or not in time.
        """
        if not self._secrets:
            raise _later(
                delivery, job, "webhooks_disabled", "This worker has no WEBHOOK_SECRETS to sign with."
            )
        started = time.monotonic()
        try:
            with self._circuits.delivery(read_target(delivery.url).host):
                response = await self._post_traced(delivery)
        except JobPostponed as error:
            raise _postponed(delivery, error) from None
        except UNREACHABLE as error:
            reason = str(error) or f"no answer within {self._timeout:g} s"
            raise _later(
                delivery, job, "webhook_unreachable", f"The receiver can't be reached: {reason}."
            ) from None
        status = response.status
        code = _refusal(status)
        if code is None:
            return Delivered(status=status, seconds=round(time.monotonic() - started, 3))
        if code == GONE:
            raise FinalError(
                "The receiver answers 410: it wants no more webhooks.",
                code=code,
                hint="Name another address in the next submission.",
            )
        message = f"The receiver answers {status}."
        raise _later(delivery, job, code, message, asked=_retry_after(response))

    def _keys(self, delivery: DeliveryParams, host: str) -> list[SecretBytes]:
        return signing_keys(self._secrets, self._signing, caller=delivery.fields.get("caller"), host=host)

    async def _post_traced(self, delivery: DeliveryParams) -> httpcore.Response:
        """The receiver's answer. The request has a span, if the sending of its job was recorded."""
        trace = TraceContext.of_stored(delivery.fields.get("trace", "").encode())
        span = (
            self._tracer.begin_delivery("POST", trace, _span_attributes(delivery)) if self._tracer else None
        )
        if span is None:
            return await self._post(delivery, trace)
        try:
            response = await self._post(delivery, span.context)
            span.set({"http.response.status_code": response.status})
            if code := _refusal(response.status):
                span.fail(code)
            return response
        except BaseException as error:
            span.fail("webhook_unreachable" if isinstance(error, UNREACHABLE) else type(error).__name__)
            raise
        finally:
            span.end()

    async def _post(self, delivery: DeliveryParams, trace: TraceContext) -> httpcore.Response:
        """The receiver's answer; of its body, nothing is kept."""
        target = read_target(delivery.url)
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        name, timestamp, body = webhook_id(delivery.job_id), int(time.time()), event(delivery)
        headers: dict[bytes | str, bytes | str] = {
            "Host": target.authority,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": f"job-server/{VERSION}",
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._keys(delivery, target.host), name, timestamp, body),
        }
        headers.update(trace.headers)
        extensions = {"timeout": {"connect": min(CONNECT_SECONDS, self._timeout)}}
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                sent = self._pool.stream("POST", url, headers=headers, content=body, extensions=extensions)
                response = await stack.enter_async_context(sent)
            await _drain(response)
        return response


def _refusal(status: int) -> str | None:
    """The code of the failure that an answer means; None for an answer that takes the webhook."""
    if 200 <= status < 300:
        return None
    return GONE if status == 410 else "webhook_refused"


def _span_attributes(delivery: DeliveryParams) -> dict[str, str | int]:
    """The attributes of a request's span; no path and no query, which may hold a secret."""
    target = read_target(delivery.url)
    return {
        "http.request.method": "POST",
        "server.address": target.host,
        "server.port": target.port or DEFAULT_PORTS[target.scheme],
        MESSAGE_ID: delivery.job_id,
    }


def event(delivery: DeliveryParams) -> bytes:
    """The body of a webhook, the same at every attempt."""
    fields = {name.encode(): value.encode() for name, value in delivery.fields.items()}
    record = StoredRecord(delivery.job_id, fields)
    ended = datetime.fromtimestamp(int(fields[b"finished_at"]) / 1000, UTC)
    data = orjson.Fragment(record.to_json())
    return orjson.dumps(
        {"type": f"job.{record.state}", "timestamp": ended, "data": data}, option=orjson.OPT_UTC_Z
    )


async def _drain(response: httpcore.Response) -> None:
    """Read the body, if it is short and comes soon: then the connection can be used again."""
    read = 0
    with suppress(*UNREACHABLE):
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > MAX_READ:
                    return


def _later(
    delivery: DeliveryParams, job: JobContext, code: str, message: str, *, asked: float = 0.0
) -> JobFailure:
    """The failure of an attempt: another one follows, unless the time of the delivery is over by then."""
    left = delivery.ended_at / 1000 + WINDOW - time.time()
    pause = max(min(asked, left), DELIVERY.backoff.seconds(job.attempt))
    if pause > left:
        return _given_up(delivery, f"{message} It was tried for 24 h.")
    return RetryableError(message, code=code, hint=PATIENCE, retry_after=pause)


def _postponed(delivery: DeliveryParams, postponed: JobPostponed) -> Exception:
    """The postponement; or the end, if the time of the delivery is over by then."""
    if delivery.ended_at / 1000 + WINDOW - time.time() > postponed.delay:
        return postponed
    return _given_up(
        delivery, f"The 24 h for the delivery end before the receiver can be tried again: {postponed}."
    )


def _given_up(delivery: DeliveryParams, message: str) -> FinalError:
    return FinalError(
        message,
        code="webhook_given_up",
        hint=f"Mend the receiver, then POST /jobs/{delivery.job_id}/webhook/redeliver.",
    )


def _retry_after(response: httpcore.Response) -> float:
    """The seconds that the receiver asks to wait, by a number or by a date; 0 if it asks for nothing."""
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    given = headers.get(b"retry-after", "")
    with suppress(ValueError, OverflowError):
        return (
            float(int(given)) if given.isdecimal() else parsedate_to_datetime(given).timestamp() - time.time()
        )
    return 0.0
