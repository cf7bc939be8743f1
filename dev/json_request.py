"""JSON over HTTP with the standard library, for programs that need no pool of connections."""

import json
import urllib.request
from typing import Any

SECONDS = 20.0


def json_request(method: str, url: str, body: object = None) -> dict[str, Any]:
    """Send a request and return the object of the answer.

    Raises:
        HTTPError: the status is 400 or more.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        record: dict[str, Any] = json.load(answer)
        return record
