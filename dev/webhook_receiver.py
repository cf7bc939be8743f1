"""A receiver of webhooks on loopback, for the tests and the fault suite."""

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


class ReceivedWebhook(NamedTuple):
    """The request of a webhook."""

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
    def signature_valid(self) -> bool:
        """Check the signature as the Standard Webhooks specification says."""
        signed = f"{self.webhook_id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


class WebhookReceiver:
    """An HTTP server that keeps every webhook it receives.

    Args:
        port: the port to listen on; 0 for a free one.
        answer: returns the status of the next answer; may block. None: always 204.

    Attributes:
        received: the webhooks so far, whatever the answer was.
        url: the URL for webhooks.
    """

    def __init__(self, port: int = 0, answer: Callable[[], int] | None = None) -> None:
        self.received: list[ReceivedWebhook] = []
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received.append(ReceivedWebhook(headers, body))
                self.send_response(answer() if answer else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
