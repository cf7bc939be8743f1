"""The limit of request bodies, before and after decoding."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import PayloadTooLarge, UnsupportedMediaType, error_response
from api.middleware.decoding import ACCEPTED, coding_of, decoding

BODILESS = {"GET", "HEAD"}  # routes never read their bodies
FILE_PATHS = {"/files", "/v1/files"}


class BodyLimit:
    """Refuses bodies above a limit: by their Content-Length before a byte is read, else while they arrive.

    A body in a content coding is decoded, and its decoded bytes are held to the same limit.

    Args:
        app: the next application.
        max_bytes: the limit.
        max_file_bytes: the limit of the paths which take files.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_file_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in BODILESS:
            await self._app(scope, receive, send)
            return
        limit = self._max_file_bytes if scope["path"] in FILE_PATHS else self._max_bytes
        codings: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                await error_response(_too_large(limit))(scope, receive, send)
                return
            if name == b"content-encoding":
                codings.append(value)
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                codings.append(value.lower().replace(b"chunked", b""))  # the server has undone chunked alone
        body = _limited(receive, limit)
        if codings:
            try:
                coding = coding_of(codings)
            except UnsupportedMediaType as error:
                await error_response(error, ACCEPTED)(scope, receive, send)
                return
            if coding:
                body = _limited(decoding(body, coding), limit)
        await self._app(scope, body, send)


def _limited(receive: Receive, limit: int) -> Receive:
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return receive_limited


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit} bytes.")
