"""Raw requests, which no OpenAPI document describes: HEAD, repeated headers, forged cursors and tags."""

import gzip
import json
import random
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.error_envelope import ErrorEnvelope

Lines = list[tuple[str, str]]

ECHO = b'{"type": "echo", "params": {"message": "hi"}}'
PICTURE = {"type": "mandelbrot", "params": {"size": 16}}
JSON = ("Content-Type", "application/json")
BOUNDARY = "a-boundary"
FORM = ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
WORDS = (
    "",
    "*",
    "1",
    '"',
    '""',
    ",",
    ";",
    "=",
    "\\",
    '"\\"',
    "W/",
    'W/"1"',
    '"1"',
    '"3"',
    "x",
    "é",
    "0" * 5000,
    " ",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**53,
    2**64,
    -(2**63),
    1e300,
    "",
    "x",
    "0",
    "-1",
    "9" * 400,
    [],
    [1],
    {},
    "pending",
)
PREFERENCES = (
    "wait",
    "wait=1",
    "WAIT = 1",
    'wait="1"',
    "wait=x",
    "wait=1;x",
    'a="b, wait=1"',
    "respond-async",
    "=1",
)
RANGES = (
    "bytes=0-1",
    "bytes=-1",
    "bytes=1-",
    "bytes=9-1",
    "bytes=0-1,3-4",
    "lines=0-1",
    "bytes=" + "9" * 99 + "-",
)
CODINGS = ("gzip", "deflate", "identity", "x-gzip", "br", "gzip, gzip", "", "gzip;q=1", ", ,")
SINGLE = ("Content-Type", "Idempotency-Key", "Content-Disposition", "Last-Event-ID", "Range", "If-Range")
LISTED = (
    "Prefer",
    "If-Match",
    "If-None-Match",
    "Accept-Encoding",
    "Content-Encoding",
    "Accept",
    "X-Request-ID",
)


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request with its header lines in order; a name may repeat."""

    method: str
    path: str
    lines: Lines = field(default_factory=list)
    body: bytes = b""
    query: Sequence[tuple[str, str]] = ()

    def __str__(self) -> str:
        lines = "\n".join(f"{name}: {value[:200]}" for name, value in self.lines)
        return f"{self.method} {self.path} {list(self.query)!r:.500}\n{lines}\n\n{self.body[:500]!r}"


class RequestGenerator:
    """Random requests of each kind.

    Args:
        rng: the source of every random choice.
        ids: the values of path parameters, by name.
        paths: the paths that serve GET.
    """

    def __init__(self, rng: random.Random, ids: dict[str, str], paths: Sequence[str]) -> None:
        self._rng = rng
        self._ids = ids
        self._paths = paths

    def kinds(self) -> dict[str, Callable[[], RawRequest]]:
        return {
            "HEAD": self.head,
            "header lines": self.header_lines,
            "cursors": self.cursor,
            "entity tags": self.tags,
            "preferences": self.preferences,
            "codings": self.coded,
            "forms": self.form,
            "query parameters": self.query,
        }

    def head(self) -> RawRequest:
        return RawRequest("HEAD", self._path(), self._some_lines(), query=self._some_parameters())

    def header_lines(self) -> RawRequest:
        name = self._rng.choice(SINGLE + LISTED)
        lines = [(name, self._text()) for _ in range(self._rng.randint(2, 4))]
        method, path, body = self._rng.choice(
            [("GET", self._path(), b""), ("POST", "/v1/jobs", ECHO), ("POST", "/v1/files", b"1")]
        )
        return RawRequest(method, path, lines + [JSON] * self._rng.randint(0, 1), body)

    def cursor(self) -> RawRequest:
        state = self._rng.choice(("", "pending", "completed"))
        parts = [self._rng.choice(VALUES) for _ in range(self._rng.choice((0, 1, 2, 3, 3, 3, 4)))]
        if self._rng.random() < 0.5:  # as the list's own cursors begin
            parts = [state, str(self._rng.choice((0, 1, 2**41, 2**63))), *(parts[:1] or ["x"])]
        text = json.dumps(self._rng.choice((parts, parts, parts, *VALUES))).encode()
        cursor = urlsafe_b64encode(text if self._rng.random() < 0.9 else self._rng.randbytes(9)).decode()
        query = [("cursor", cursor.rstrip("=")), *([("state", state)] if state else [])]
        return RawRequest(self._get_or_head(), "/v1/jobs", query=query)

    def tags(self) -> RawRequest:
        method, path = self._rng.choice(
            [
                (self._get_or_head(), "/v1/jobs/{job_id}"),
                (self._get_or_head(), "/v1/jobs/{job_id}/artifacts/{name}"),
                ("DELETE", "/v1/jobs/{job_id}"),
                ("POST", "/v1/jobs/{job_id}/retry"),
            ]
        )
        names = self._rng.choices(("If-Match", "If-None-Match", "If-Range", "Range"), k=3)
        lines = [(name, self._rng.choice(RANGES) if name == "Range" else self._text()) for name in names]
        return RawRequest(method, path.format(**self._ids), lines)

    def preferences(self) -> RawRequest:
        lines = [
            ("Prefer", self._joined((*PREFERENCES, self._text()))) for _ in range(self._rng.randint(1, 3))
        ]
        if self._rng.random() < 0.5:
            return RawRequest(self._get_or_head(), "/v1/jobs/{job_id}".format(**self._ids), lines)
        return RawRequest("POST", "/v1/jobs", [*lines, JSON], ECHO)

    def coded(self) -> RawRequest:
        encode = self._rng.choice((gzip.compress, zlib.compress, bytes))
        body = encode(ECHO)
        if self._rng.random() < 0.5:
            body = self._damaged(body)
        name = self._rng.choice(("Content-Encoding", "Content-Encoding", "Accept-Encoding"))
        lines = [(name, self._rng.choice(CODINGS)) for _ in range(self._rng.randint(1, 2))]
        return RawRequest(
            "POST", self._rng.choice(("/v1/jobs", "/v1/files", "/v1/jobs/batch")), [*lines, JSON], body
        )

    def form(self) -> RawRequest:
        names = ("", "filename=a", "filename*=utf-8''%ff", "filename*=x", 'filename="', self._text())
        lines = [
            f"Content-Disposition: form-data; name=f; {self._rng.choice(names)}",
            f"Content-Type: {self._text()}",
        ]
        head = "\r\n".join(self._rng.choices(lines, k=2)).encode("latin-1")
        body = b"%b--%b\r\n%b\r\n\r\n1\r\n--%b--%b" % (
            self._rng.choice((b"", b"A preamble\r\n", b"\r\n", b"\n", b"x")),
            BOUNDARY.encode(),
            head,
            BOUNDARY.encode(),
            self._rng.choice((b"", b"\r\n", b"An epilogue")),
        )
        return RawRequest(
            "POST", "/v1/files", [FORM], self._damaged(body) if self._rng.random() < 0.3 else body
        )

    def query(self) -> RawRequest:
        parameters = self._some_parameters() * self._rng.randint(1, 2)
        path = self._rng.choice(("/v1/jobs", self._path()))
        return RawRequest(self._get_or_head(), path, query=parameters)

    def _path(self) -> str:
        path = self._rng.choice(self._paths).format(**self._ids)
        return path if self._rng.random() < 0.9 else path + self._rng.choice(("/", "%00", "%2F", "x", "//"))

    def _get_or_head(self) -> str:
        return self._rng.choice(("GET", "GET", "HEAD"))

    def _text(self) -> str:
        return "".join(self._rng.choices(WORDS, k=self._rng.randint(0, 4))).strip()

    def _joined(self, words: Sequence[str]) -> str:
        return self._rng.choice((", ", ",", ";")).join(self._rng.choices(words, k=self._rng.randint(1, 3)))

    def _some_lines(self) -> Lines:
        names = self._rng.choices(SINGLE + LISTED, k=self._rng.randint(0, 3))
        return [(name, self._text()) for name in names]

    def _some_parameters(self) -> Lines:
        given = (
            ("limit", "1"), ("limit", "x"), ("state", "failed"), ("label", "a=1"), ("label", "a=2"),
            ("label", "="), ("wait", "0.1"), ("wait", "-1"), ("after", "1"), ("after", "-1"),
            ("type", "echo"), ("fields", "result"), ("", ""),
        )  # fmt: skip
        return self._rng.choices(given, k=self._rng.randint(0, 3))

    def _damaged(self, body: bytes) -> bytes:
        place = self._rng.randrange(len(body))
        return body[:place] + self._rng.choice((b"", self._rng.randbytes(1) + body[place + 1 :]))


def send_raw_requests(url: str, cases: int, seed: int) -> Iterator[tuple[str, int, str | None, str]]:
    """Send `cases` requests of each kind, one after the other.

    Yields:
        The kind, the status, the fault of the answer or None, and the request with its answer.
    """
    with httpx.Client(base_url=url, timeout=20) as http:
        document = http.get("/openapi.json").json()
        paths = [path for path, methods in document["paths"].items() if "get" in methods]
        generator = RequestGenerator(
            random.Random(seed), _make_ids(http), [*paths, "/healthz", "/docs", "/openapi.json"]
        )
        for kind, make in generator.kinds().items():
            for _ in range(cases):
                request = make()
                answer = _send(http, request)
                yield kind, answer.status_code, fault_of(answer), f"{request}\n\n{answer.text[:500]}"


def fault_of(answer: httpx.Response) -> str | None:
    """The fault of an answer to any request, or None."""
    if answer.status_code >= 500:
        return f"Status {answer.status_code}"
    if answer.request.method == "HEAD" and answer.status_code == 405:
        return "HEAD is not served where GET is"
    if answer.request.method == "HEAD" or answer.status_code in (204, 304):
        return "A body where there must be none" if answer.content else None
    if answer.status_code >= 400:
        try:
            envelope = ErrorEnvelope.model_validate_json(answer.content)
        except ValueError:
            return "An error outside of the envelope"
        if envelope.request_id != answer.headers.get("x-request-id"):
            return "An error with the request id of another request"
    return None


def _make_ids(http: httpx.Client) -> dict[str, str]:
    job = http.post("/v1/jobs", json=PICTURE, params={"wait": 15}).raise_for_status().json()
    file = http.post("/v1/files", content=b"1").raise_for_status().json()
    return {
        "job_id": job["job_id"],
        "file_id": file["file_id"],
        "name": next((artifact["name"] for artifact in job["artifacts"]), "echo"),
        "host": "example.com",
    }


def _send(http: httpx.Client, request: RawRequest) -> httpx.Response:
    headers = [(name.encode(), value.strip().encode("latin-1")) for name, value in request.lines]
    return http.request(
        request.method,
        request.path,
        params=list(request.query),
        headers=headers,
        content=request.body or None,
    )
