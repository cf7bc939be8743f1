"""Filters of jobs: for lists, for changes of many jobs at once, and for events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from client.models.record import time_text


class JobFilters(TypedDict, total=False):
    """Filters, each given by name; a job must fit all of them. None is the same as no filter.

    Attributes:
        state: only jobs in this state.
        type: only jobs of this type.
        queue: only jobs of this queue.
        label: only jobs with all of these labels.
        caller: only jobs of this caller, the name of an API key.
        created_after: only jobs that were created then or later, a time with a zone.
        created_before: only jobs that were created before, a time with a zone.
    """

    state: str | None
    type: str | None
    queue: str | None
    label: Mapping[str, str] | None
    caller: str | None
    created_after: datetime | None
    created_before: datetime | None


NAMES = tuple(JobFilters.__annotations__)


def as_query(filters: JobFilters) -> dict[str, Any]:
    """Render filters as the query of a URL."""
    query = _given(filters)
    if "label" in query:
        query["label"] = [f"{name}={value}" for name, value in query["label"].items()]
    return query


def as_body(filters: JobFilters) -> dict[str, Any]:
    """Render filters as a JSON object."""
    body = _given(filters)
    if "label" in body:
        body["labels"] = dict(body.pop("label"))
    return body


def _given(filters: JobFilters) -> dict[str, Any]:
    """Filters that are set, with times as text.

    An empty text is refused: a server could take it for no filter, and change all jobs.

    Raises:
        TypeError: there is no filter of a name.
        ValueError: a text is empty, or a time has no zone.
    """
    given: dict[str, Any] = {}
    for name, value in filters.items():
        if name not in NAMES:
            raise TypeError(f"There is no filter {name!r}; use {', '.join(NAMES)}.")
        if value == "":
            raise ValueError(f"The filter {name!r} is empty; leave it out, or give it a value.")
        if isinstance(value, datetime):
            given[name] = time_text(name, value)
        elif value is not None and value != {}:
            given[name] = value
    return given
