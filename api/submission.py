"""Submissions, as `POST /jobs` accepts them: a union of the job types, with `type` as its discriminator."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from api.times import Time
from shared.addresses import Network, kind_of, may_be_reached
from shared.errors import InvalidRequest, UnknownJobType, WebhooksDisabled
from shared.job_type import JobType, Params
from shared.params_codec import EncodedParams, ParamsNotKept
from shared.webhooks.addresses import WebhookUrl, port_may_be_used, port_of, read_target
from shared.yielding import in_parts

YEAR = 365 * 86400
MAX_LABELS = 16
MAX_BATCH = 1000
MAX_FAULTS = 20
NOT_ENCODED = EncodedParams(b"", b"")
TWO_TIMES: dict[str, Any] = {
    "required": ["run_at", "delay_seconds"],
    "properties": {"run_at": {"type": "string"}, "delay_seconds": {"type": "number"}},
}


def _within_a_year(time: datetime) -> datetime:
    if time > datetime.now(UTC) + timedelta(seconds=YEAR):
        raise ValueError("must lie within a year from now")
    return time


def _describe_labels(schema: dict[str, Any]) -> None:
    """Describe label names by `propertyNames`, because generators ignore `patternProperties`."""
    [(pattern, value)] = schema.pop("patternProperties").items()
    schema.update(propertyNames={"pattern": pattern}, additionalProperties=value)


LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$")]
LabelValue = Annotated[str, Field(max_length=128)]
RunAt = Annotated[Time, AfterValidator(_within_a_year)]


class Webhook(BaseModel):
    """The receiver of a signed POST when the job has ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[WebhookUrl, Field(examples=["https://example.com/hooks/jobs"])]


class Submission(BaseModel):
    """A submitted job."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"not": TWO_TIMES})

    type: str
    params: Params
    labels: Annotated[
        dict[LabelName, LabelValue],
        Field(
            max_length=MAX_LABELS,
            description="Names and values for the filters of lists.",
            json_schema_extra=_describe_labels,
        ),
    ] = {}
    run_at: Annotated[RunAt | None, Field(description="Earliest start (RFC 3339), within a year.")] = None
    delay_seconds: Annotated[
        float | None, Field(ge=0, le=YEAR, description="Seconds until the earliest start.")
    ] = None
    start_within_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=YEAR,
            description="Seconds after it is due within which it must start; else it fails as `job_expired`.",
        ),
    ] = None
    webhook: Annotated[
        Webhook | None, Field(description="Receiver of a signed POST when the job has ended.")
    ] = None

    # By factories: pydantic copies a default deeply for every submission.
    _files: frozenset[str] = PrivateAttr(default_factory=frozenset)
    _encoded: EncodedParams = PrivateAttr(default_factory=lambda: NOT_ENCODED)

    @property
    def files(self) -> list[str]:
        """Ids of the uploaded files that the params name."""
        return sorted(self._files)

    @property
    def encoded(self) -> EncodedParams:
        """The params as they are stored, and as clients see them."""
        return self._encoded

    @model_validator(mode="after")
    def _one_time_only(self) -> "Submission":
        if self.run_at is not None and self.delay_seconds is not None:
            raise ValueError("run_at and delay_seconds exclude each other")
        return self


class Submissions:
    """Validates submissions against the job types, and describes them to OpenAPI.

    Args:
        job_types: the job types by name.
        webhooks: whether there is a secret to sign webhooks with.
        allowed: networks that webhooks may go to although they are not public.
        ports: ports that webhooks may use beside 80, 443 and those above 1024.
    """

    def __init__(
        self,
        job_types: Mapping[str, JobType[Any, Any]],
        *,
        webhooks: bool = False,
        allowed: Sequence[Network] = (),
        ports: Sequence[int] = (),
    ) -> None:
        self._job_types = job_types
        self._webhooks = webhooks
        self._allowed = allowed
        self._ports = ports
        models = [
            _model(each.name, each.summary, each.params)  # type: ignore[arg-type] # mypy: a type has no hash
            for each in job_types.values()
        ]
        union: Any = reduce(or_, models)
        if len(models) > 1:
            union = Annotated[union, Field(discriminator="type")]
        self._adapter: TypeAdapter[Submission] = TypeAdapter(union)

    def validate(self, value: Any) -> Submission:
        """Validate a parsed body as a submission; nothing is converted: a number in quotes is no number.

        Raises:
            UnknownJobType: no job type has this `type`.
            WebhooksDisabled: the submission has a webhook, and this server sends none.
            InvalidRequest: the submission has other faults; the details list them.
        """
        files: set[str] = set()
        # A body is parsed three times, because no parser does all of it. Each costs so many µs for a small
        # body, and ms for 10,000 values: orjson (0.2; 0.7) refuses NaN and lone surrogates, json.loads
        # (4; 1.9) sees by its hooks that a field occurs twice, and pydantic's JSON mode (5; 0.6) takes text
        # for a time or an enum, which its Python mode refuses. So the value is written as JSON again
        # (0.1; 0.1), with 2.0 as 2: strict mode takes no 2.0 for an integer.
        try:
            submission = self._adapter.validate_json(orjson.dumps(value), strict=True, context=files)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
        else:
            if submission.webhook:
                self.require_webhook_allowed(submission.webhook.url)
            submission._files = frozenset(files)
            submission._encoded = self._encode(submission)
            return submission
        if faults[0]["type"] == "union_tag_invalid" and not isinstance(value["type"], str):
            raise _fault("type", f"Must be text: one of {', '.join(self._job_types)}.", "string_type")
        if faults[0]["type"] == "union_tag_invalid":
            raise UnknownJobType(
                f"There is no job type {str(value['type'])[:64]!r}.",
                hint=f"The job types are {', '.join(self._job_types)}; GET /job-types describes them.",
            )
        details = [_detail(fault, value) for fault in faults[:MAX_FAULTS]]
        raise InvalidRequest("The request does not fit the job type.", details=details)

    def _encode(self, submission: Submission) -> EncodedParams:
        try:
            return self._job_types[submission.type].codec.encode(submission.params)
        except ParamsNotKept as error:
            path = f"params.{error.field}".rstrip(".")
            message = (
                "The worker would not get this value unchanged; send another one, or correct the job type."
            )
            raise _fault(path, message, "params_not_kept") from None

    async def validate_batch(self, value: Any) -> list[Submission]:
        """Validate a parsed body with many submissions, in its field `jobs`.

        Raises:
            InvalidRequest: some submissions have faults; the details list them by their index.
        """
        jobs = value.get("jobs") if isinstance(value, dict) and value.keys() == {"jobs"} else None
        if not isinstance(jobs, list) or not 1 <= len(jobs) <= MAX_BATCH:
            raise _fault("jobs", f"Must be the only field: a list of 1 to {MAX_BATCH} submissions.", "jobs")
        found, faults = [], []
        async for n, job in in_parts(enumerate(jobs)):
            try:
                found.append(self.validate(job))
            except InvalidRequest as error:
                details = error.details or [{"path": "type", "message": error.message, "kind": error.code}]
                faults += [{**detail, "path": f"jobs.{n}.{detail['path']}".rstrip(".")} for detail in details]
        if faults:
            message = "Some submissions do not fit their job types; none was accepted."
            raise InvalidRequest(message, details=faults[:MAX_FAULTS])
        return found

    def require_webhook_allowed(self, url: str) -> None:
        """Refuse a webhook that could not be sent, by its port and address.

        Raises:
            WebhooksDisabled: this server sends no webhooks.
            InvalidRequest: the port may not be used, or the host is an IP address that is not public. The
                addresses of a name are judged when the webhook is sent; they may change until then.
        """
        if not self._webhooks:
            fault = {"path": "webhook", "message": "This server sends none.", "kind": WebhooksDisabled.code}
            raise WebhooksDisabled("This server sends no webhooks.", details=[fault])
        target = read_target(url)
        if not port_may_be_used(port_of(target), self._ports):
            raise _fault(
                "webhook.url",
                "Must have the port 80, 443 or one above 1024, unless the operator allows it with "
                "WEBHOOK_ALLOWED_PORTS.",
                "webhook_blocked",
                hint="Use a port that webhooks may go to, or ask the operator to allow this one.",
            )
        address = target.address
        if address and not may_be_reached(address, self._allowed):
            raise _fault(
                "webhook.url",
                f"Must lead to a public address, not to one that is {kind_of(address)}, unless the operator "
                "allows its network with WEBHOOK_ALLOWED_NETWORKS.",
                "webhook_blocked",
                hint="Name a public receiver, or ask the operator to allow its network.",
            )

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of a submission, with definitions under `$defs`."""
        return self._adapter.json_schema(ref_template="#/components/schemas/{model}")


def _fault(path: str, message: str, kind: str, *, hint: str | None = None) -> InvalidRequest:
    details = [{"path": path, "message": message, "kind": kind}]
    return InvalidRequest("The request is not valid.", hint=hint, details=details)


@cache  # pydantic takes 3 ms to make one
def _model(job_type: str, summary: str, params: type[Params]) -> type[Submission]:
    """The model of the submissions of a job type."""
    name = "".join(part.capitalize() for part in job_type.split("_"))
    return create_model(
        f"{name}Job",
        __base__=Submission,
        __doc__=summary,
        type=(Literal[job_type], ...),  # type: ignore[arg-type]
        params=(params, ...),
    )


def _detail(fault: Any, value: Any) -> dict[str, Any]:
    """Describe a fault; its path leaves out the branch of the union that pydantic took."""
    place = fault["loc"]
    if place and isinstance(value, dict) and place[0] == value.get("type"):
        place = place[1:]
    if fault["type"] == "union_tag_not_found":
        place, message = ("type",), "Field required"
    else:
        message = fault["msg"]
    return {"path": ".".join(map(str, place))[:200], "message": message[:500], "kind": fault["type"]}
