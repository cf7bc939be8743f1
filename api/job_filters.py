"""Filters of jobs: query parameters of lists and streams, and the body of bulk changes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from api.ownership import owner_read
from api.times import Time
from shared.record import JobState
from shared.store.job_list import Filters

NAMES = ("state", "type", "queue", "caller", "created_after", "created_before")
Label = Annotated[str, Field(pattern=r"^[^=]+=", max_length=200)]

STATE, TYPE, QUEUE = "Only jobs in this state.", "Only jobs of this type.", "Only jobs of this queue."
CALLER = "Only jobs that this caller has submitted."
AFTER, BEFORE = "Only jobs created at this time or later.", "Only jobs created before this time."


class JobFilter(BaseModel):
    """Conditions for jobs; a job must meet all that are given."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[JobState | None, Field(description=STATE)] = None
    type: Annotated[str, Field(description=TYPE, max_length=64)] = ""
    queue: Annotated[str, Field(description=QUEUE, max_length=64)] = ""
    labels: Annotated[dict[str, str], Field(description="Only jobs with these labels.")] = {}
    caller: Annotated[str, Field(description=CALLER, max_length=64)] = ""
    created_after: Annotated[Time | None, Field(description=AFTER)] = None
    created_before: Annotated[Time | None, Field(description=BEFORE)] = None

    def to_filters(self) -> Filters:
        return _filters(
            self.state,
            self.type,
            self.labels,
            self.caller,
            self.queue,
            self.created_after,
            self.created_before,
        )


async def read_filters(
    request: Request,
    state: Annotated[JobState | SkipJsonSchema[None], Query(description=STATE)] = None,
    type: Annotated[str, Query(description=TYPE, max_length=64)] = "",  # noqa: A002
    queue: Annotated[str, Query(description=QUEUE, max_length=64)] = "",
    label: Annotated[
        list[Label],
        Query(description="Only jobs with this label, as `name=value`; several must all be there."),
    ] = [],  # noqa: B006  # the framework copies it
    caller: Annotated[str, Query(description=CALLER, max_length=64)] = "",
    created_after: Annotated[Time | SkipJsonSchema[None], Query(description=AFTER)] = None,
    created_before: Annotated[Time | SkipJsonSchema[None], Query(description=BEFORE)] = None,
) -> Filters | None:
    """The filters of a request to read; None if no job can meet them.

    A label has one value, and a key with `read:own` alone reads the jobs of one caller.
    """
    wanted = {(name, value) for name, _, value in (pair.partition("=") for pair in label)}
    labels, owner = dict(wanted), owner_read(request)
    if len(labels) < len(wanted) or (owner is not None and caller not in ("", owner)):
        return None
    return _filters(state, type, labels, owner or caller, queue, created_after, created_before)


RequestedFilters = Annotated[Filters | None, Depends(read_filters)]


def _filters(
    state: JobState | None,
    job_type: str,
    labels: Mapping[str, str],
    caller: str,
    queue: str,
    created_after: datetime | None,
    created_before: datetime | None,
) -> Filters:
    return Filters(
        state, job_type, labels, caller, queue, _milliseconds(created_after), _milliseconds(created_before)
    )


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)
