"""TraceContext: the place of a request or a job in a distributed trace, in the form of W3C Trace Context.

Nothing here needs OpenTelemetry: the context of a caller is kept and passed on without it too.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"  # names of headers
VALID_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-[\x21-\x7e]*)?"
)
MEMBER = rb"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
VALID_STATE = re.compile(rb"[ \t]*(?:%b)?[ \t]*(?:,[ \t]*(?:%b)?[ \t]*){0,31}" % (MEMBER, MEMBER))
MAX_STATE_BYTES = 512
PARENT_LENGTH = 55  # of version 00: version, trace id, span id and flags
FLAGS = 53  # where the flags begin
UNRECORDED = frozenset(b"%02x" % flags for flags in range(0, 256, 2))
"""The flags of a span that is not recorded: those without the bit `sampled`."""


class TraceContext(NamedTuple):
    """The place of a request or a job in a trace.

    Attributes:
        traceparent: trace id, span id and flags; empty without a trace.
        tracestate: data of tracing systems; mostly empty.
    """

    traceparent: str
    tracestate: str = ""

    def __bool__(self) -> bool:
        return bool(self.traceparent)

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        return self.traceparent[36:52]

    @property
    def sampled(self) -> bool:
        """Whether the sender records its span."""
        return bool(self.traceparent) and self.traceparent[FLAGS:].encode() not in UNRECORDED

    def unrecorded(self) -> "TraceContext":
        """The same place in the trace, for followers that are not to be recorded."""
        return TraceContext(f"{self.traceparent[:FLAGS]}00", self.tracestate)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request that goes on with the trace; none without a trace."""
        if not self.traceparent:
            return {}
        state = {"tracestate": self.tracestate} if self.tracestate else {}
        return {"traceparent": self.traceparent, **state}

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields of log lines."""
        return {"trace_id": self.trace_id, "span_id": self.span_id}

    def stored(self) -> str:
        """The field `trace` of a record: traceparent, and behind a space tracestate if there is one."""
        return f"{self.traceparent} {self.tracestate}" if self.tracestate else self.traceparent

    @staticmethod
    def log_fields_of(word: bytes) -> dict[str, str]:
        """The fields of log lines of a stored context, for less than by way of the context."""
        return {"trace_id": word[3:35].decode(), "span_id": word[36:52].decode()}

    @classmethod
    def of_stored(cls, word: bytes) -> "TraceContext":
        """The context in the field `trace` of a record; NO_TRACE if the field is empty."""
        if not word:
            return NO_TRACE
        parent, _, state = word.decode().partition(" ")
        return cls(parent, state)


NO_TRACE = TraceContext("")


def trace_context(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """The context that a caller sent, as far as it is valid; None without one.

    As W3C Trace Context says: an invalid or repeated traceparent counts as none, an invalid tracestate is
    dropped, and several lines of tracestate are one list.
    """
    parent = None
    for name, value in headers:
        if name == TRACEPARENT:
            if parent is not None:
                return None
            parent = value
    if parent is None:
        return None
    found = VALID_PARENT.fullmatch(parent)
    if not found or (found["more"] is not None and parent.startswith(b"00")):
        return None
    state = b",".join(value for name, value in headers if name == TRACESTATE).strip(b" \t")
    valid = len(state) <= MAX_STATE_BYTES and VALID_STATE.fullmatch(state)
    known = "00" + parent[2:PARENT_LENGTH].decode()  # the version whose meaning is known here
    return TraceContext(known, state.decode() if valid else "")
