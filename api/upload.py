"""Uploads: a file as the body or in a form, passed on in pieces and never held as a whole."""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from api.errors import RequestTimeout
from api.request import elements, header, name_and_value
from shared.errors import InvalidRequest
from shared.files import MEDIA_TYPE

FORM = "multipart/form-data"
UNKNOWN = "application/octet-stream"
RATE_SECONDS = 60.0  # of waiting for the client, between two checks of its rate
MIN_RATE = 1000  # bytes a second
MAX_NAME = 255
MAX_DELIMITER = 1024  # of a form: its boundary and the blanks after it
MAX_HEADER_BYTES = 8192  # bytes of a header: the parser needs 150 ms for 60,000 semicolons
EXTENDED_NAME = re.compile(r"(utf-8|iso-8859-1)'[^']*'(\S+)", re.IGNORECASE)  # RFC 8187
IDENTITY = {"", "binary", "8bit", "7bit"}
SLOW = "Send the file again over a faster connection, or compressed."
HINT = "Send the file as the body, or as the only part of a multipart/form-data body: curl -F file=@NAME."


class Upload:
    """The uploaded file of a request.

    Attributes:
        name: its name at the client, without folders, or None. In a form, name and type are known only once
            the chunks have come.
        content_type: its media type.
    """

    def __init__(self, request: Request) -> None:
        self.name: str | None = None
        self.content_type = UNKNOWN
        self._body = _body(request)
        given = _short(header(request, b"content-type") or "", "Content-Type")
        kind, options = parse_options_header(given)
        self._boundary = options.get(b"boundary", b"") if kind == FORM.encode() else None
        if self._boundary is None:
            self.describe(header(request, b"content-disposition") or "", given)

    def describe(self, disposition: str, content_type: str) -> None:
        """Take the file's name and media type from headers.

        Raises:
            InvalidRequest: the content type is malformed.
        """
        media_type = "; ".join(elements(content_type, ";"))  # parameters may be empty, as in `text/csv;`
        if media_type and not MEDIA_TYPE.fullmatch(media_type):
            raise _invalid("Content-Type", f"{content_type[:100]!r} is no media type.")
        self.content_type = media_type or UNKNOWN
        self.name = _name(_short(disposition, "Content-Disposition"))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, as they arrive.

        Raises:
            InvalidRequest: the form is malformed, or holds anything but one file.
            PayloadTooLarge: the file is too large.
            RequestTimeout: the client is too slow.
            ClientDisconnect: the client has left.
        """
        if self._boundary is None:
            async for chunk in self._body:
                yield chunk
            return
        form = _Form(self, self._boundary)
        async for chunk in self._body:
            yield form.feed(chunk)
        form.end()


class _Form:
    """Parser of a form, which finds its only part, the file."""

    def __init__(self, upload: Upload, boundary: bytes) -> None:
        self._upload = upload
        self._delimiter = re.compile(rb"\n--" + re.escape(boundary) + rb"[ \t]*(?=\r\n|--)")
        self._opening = b"--" + boundary
        self._preamble: bytes | None = b"\n"  # the first delimiter may begin the body
        self._parts = 0
        self._complete = False
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, str] = {}
        self._data = bytearray()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _invalid("Content-Type", "The boundary of the form is too long.") from None

    def feed(self, chunk: bytes) -> bytes:
        """Parse a chunk of the body; returns the file's bytes in it."""
        try:
            self._parser.write(self._after_preamble(chunk))
        except FormParserError as error:
            raise _invalid("body", f"The form is malformed: {error}") from None
        data = bytes(self._data)
        self._data.clear()
        return data

    def _after_preamble(self, chunk: bytes) -> bytes:
        """The chunk from the first delimiter on. By RFC 2046, a reader ignores the bytes before it."""
        if self._preamble is None:
            return chunk
        chunk = self._preamble + chunk
        delimiter = self._delimiter.search(chunk)
        if delimiter is None:
            self._preamble = chunk[-MAX_DELIMITER:]
            return b""
        self._preamble = None
        return self._opening + chunk[delimiter.end() :]

    def end(self) -> None:
        if self._preamble is not None:
            raise _invalid("body", "The form is malformed: its boundary begins no line of the body.")
        if not self._parts and self._complete:
            raise _invalid("body", "The form holds no file.")
        if not self._complete:
            raise _invalid("body", "The form ends before its last boundary.")

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise _invalid("body", "The form holds more than one part.")

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = self._value.decode("latin-1")
        self._name.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        disposition = _short(self._headers.get(b"content-disposition", ""), "Content-Disposition")
        if b"filename" not in parse_options_header(disposition)[1] and _extended_name(disposition) is None:
            raise _invalid("body", "The only part of the form is no file: it has no filename.")
        coding = self._headers.get(b"content-transfer-encoding", "").strip().lower()
        if coding not in IDENTITY:
            raise _invalid("body", f"The part is encoded as {coding[:40]!r}; send its bytes as they are.")
        self._upload.describe(disposition, self._headers.get(b"content-type", ""))

    def _end(self) -> None:
        self._complete = True


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The body as it arrives, at the least rate or faster.

    Only waiting for the client counts as time: a slow store is not the client's fault.

    Raises:
        RequestTimeout: the client is too slow.
        ClientDisconnect: the client has left.
    """
    clock = asyncio.get_running_loop().time
    waited, got, more = 0.0, 0, True
    while more:
        begun = clock()
        try:
            async with asyncio.timeout(RATE_SECONDS - waited):
                message = await request.receive()
        except TimeoutError:
            message = None
        waited += clock() - begun
        if message is not None:
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            got += len(message.get("body", b""))
            more = message.get("more_body", False)
            yield message.get("body", b"")
        if waited >= RATE_SECONDS and more:
            if got < MIN_RATE * RATE_SECONDS:
                raise RequestTimeout(f"The file came with less than {MIN_RATE} bytes a second.", hint=SLOW)
            waited, got = 0.0, 0


def _short(value: str, name: str) -> str:
    """The value of a header, within the bound of its length.

    Raises:
        InvalidRequest: the header is too long to be parsed.
    """
    if len(value) > MAX_HEADER_BYTES:
        raise _invalid(name, f"The header is longer than {MAX_HEADER_BYTES} bytes.")
    return value


def _name(disposition: str) -> str | None:
    """The file's name in a Content-Disposition, in printable characters."""
    name = _extended_name(disposition)
    if name is None:
        name = parse_options_header(disposition)[1].get(b"filename", b"").decode("utf-8", "replace")
    shown = "".join(character for character in re.split(r"[/\\]", name)[-1] if character.isprintable())
    return shown[:MAX_NAME] or None


def _extended_name(disposition: str) -> str | None:
    """The value of `filename*`; None if it is absent or malformed. Quoted text holds no parameter."""
    for element in elements(disposition, ";"):
        name, value = name_and_value(element)
        if name == "filename*" and (extended := EXTENDED_NAME.fullmatch(value)):
            return unquote_to_bytes(extended[2]).decode(extended[1], "replace")
    return None


def _invalid(path: str, message: str) -> InvalidRequest:
    return InvalidRequest(
        message, hint=HINT, details=[{"path": path, "message": message, "kind": "invalid_upload"}]
    )
