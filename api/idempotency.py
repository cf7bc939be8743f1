"""Idempotency keys: several requests with the same key make one job.

`shared/store/submission.py` makes the digest of a request (`_digest`). The part
`shared/store/scripts/parts/submissions.lua` finds the job of a key, and compares the digests.
"""

import re

from starlette.requests import Request

from api.request import header
from shared.errors import InvalidRequest

MAX_KEY_LENGTH = 255
KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")  # printable ASCII, 255 at most
BAD_KEY = "The header Idempotency-Key must have 1 to 255 printable ASCII characters."


def idempotency_key(request: Request) -> str | None:
    """The request's Idempotency-Key; None without one.

    Raises:
        InvalidRequest: the key is too long, or not printable ASCII.
    """
    key = header(request, b"idempotency-key")
    if key is None or KEY.fullmatch(key):
        return key
    raise InvalidRequest(BAD_KEY, details=[{"path": "Idempotency-Key", "message": BAD_KEY, "kind": "header"}])
