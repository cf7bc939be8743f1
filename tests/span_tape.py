"""SpanTape: a tracer whose spans stay in memory, for tests with the mark `telemetry`."""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.traces.tracer import Tracer


class SpanTape:
    """Spans of the tracers that a test has made.

    Attributes:
        exporter: where they are.
    """

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def tracer(self, *, children: bool = False) -> Tracer:
        """A tracer; OpenTelemetry's variables say which spans it records."""
        return Tracer(SimpleSpanProcessor(self.exporter), service="test", children=children)

    @property
    def all(self) -> dict[str, ReadableSpan]:
        """The spans by their names, of which each has one."""
        spans = self.exporter.get_finished_spans()
        named = {span.name: span for span in spans}
        assert len(named) == len(spans), [span.name for span in spans]
        return named

    @property
    def names(self) -> list[str]:
        """The names of the spans, in the order in which they ended."""
        return [span.name for span in self.exporter.get_finished_spans()]

    def one(self, name: str) -> ReadableSpan:
        """The only span with this name."""
        return self.all[name]


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_id(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent else None


def links(span: ReadableSpan) -> list[tuple[str, str]]:
    """Trace id and span id of each link."""
    return [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
