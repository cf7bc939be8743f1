"""The id of a request: taken from the caller if it is sane, or made; it is in every log line and error."""

import re
from contextvars import ContextVar

from uuid_utils import uuid4

HEADER = b"x-request-id"
SANE = re.compile(rb"[A-Za-z0-9._~+/=-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def choose(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's id, or a new one."""
    for name, value in headers:
        if name == HEADER and SANE.fullmatch(value):
            return value.decode()
    return uuid4().hex
