"""A receiver of webhooks on loopback: for the tests and the fault suite."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = b"a key of at least twenty-four bytes"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Delivery(NamedTuple):
    """What a receiver has got."""

    headers: dict[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def genuine(self) -> bool:
        """Whether the signature is right, as the standard says to check it."""
        signed = f"{self.webhook_id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


class Receiver:
    """A server that notes what it is told.

    Args:
        port: where it listens; 0 for a free port.
        answer: called for each webhook before it is answered; returns the status. None: always 204.

    Attributes:
        got: what came so far, whatever was answered.
        url: where it is.
    """

    def __init__(self, port: int = 0, answer: Callable[[], int] | None = None) -> None:
        self.got: list[Delivery] = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got.append(Delivery({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(answer() if answer else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """It is quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
