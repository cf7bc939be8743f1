"""Tracer and Span: OpenTelemetry for both processes. Imported only where tracing is on."""

from collections.abc import Mapping
from threading import Thread

from opentelemetry import context, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
)

from shared import VERSION
from shared.traces.context import TraceContext

SCOPE = "job-server"  # the instrumentation scope of all spans
CLOSE_SECONDS = 3.0
Attributes = Mapping[str, str | int]


class Span:
    """A span that is under way.

    Attributes:
        context: its trace context.
        recording: whether it will be exported.
    """

    __slots__ = ("_span", "context", "recording")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.context = _context_of(span.get_span_context())
        self.recording = span.is_recording()

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, error_type: str) -> None:
        """Mark the span as failed. The message stays out of it: params may be quoted there."""
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()

    def make_current(self) -> None:
        """Make it the parent of the spans that this task begins from now on."""
        context.attach(trace.set_span_in_context(self._span))


class Tracer:
    """Begins the spans of a process.

    Args:
        processor: takes the spans that have ended.
        service: the name of the process, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name it.
        children: whether an attempt's span is a child of the span that sent the job; else it is linked to it.

    Attributes:
        provider: that of the spans that handlers begin.
    """

    def __init__(self, processor: SpanProcessor, *, service: str, children: bool = False) -> None:
        resource = _resource(service)

        def provider(sampler: Sampler | None) -> TracerProvider:
            made = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
            made.add_span_processor(processor)
            return made

        first = provider(None)  # with the sampler of the environment
        self._tracer = first.get_tracer(SCOPE, VERSION)
        # An attempt is recorded if the sending of its job was: the sampler has decided there.
        self._followers = provider(ALWAYS_ON).get_tracer(SCOPE, VERSION)
        # And so is what its handler does, also by a sampler that ignores parents.
        self.provider = provider(ParentBased(first.sampler))
        self._children = children

    def begin_request(self, name: str, caller: TraceContext | None) -> Span:
        """The span of a request, within the trace of the caller if there is one."""
        parent = _remote(caller) if caller else context.Context()
        return Span(self._tracer.start_span(name, parent, SpanKind.SERVER))

    def current(self) -> TraceContext:
        """The context of the current span; empty without one."""
        span = trace.get_current_span().get_span_context()
        return _context_of(span) if span.is_valid else TraceContext("")

    def begin_send(self, name: str, attributes: Attributes) -> Span:
        """The span of a submission, a child of the current span."""
        return Span(self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes))

    def begin_attempt(self, name: str, sender: TraceContext, attributes: Attributes) -> Span | None:
        """The span of an attempt, made the current one; None if the sending of the job was not recorded.

        Args:
            name: of the span.
            sender: the trace context of the job; without one the sampler decides.
            attributes: of the span.
        """
        kind, root = SpanKind.CONSUMER, context.Context()
        if not sender:
            span = Span(self._tracer.start_span(name, root, kind, attributes))
        elif not sender.sampled:
            context.attach(_remote(sender))  # spans that the handler begins follow the decision
            return None
        elif self._children:
            span = Span(self._followers.start_span(name, _remote(sender), kind, attributes))
        else:
            link = Link(_span_context(sender))
            span = Span(self._followers.start_span(name, root, kind, attributes, [link]))
        span.make_current()
        return span

    def begin_delivery(self, name: str, sender: TraceContext, attributes: Attributes) -> Span | None:
        """The span of a request that a job causes, a child of `sender`; None if that one is not recorded."""
        if not sender.sampled:
            return None
        return Span(self._followers.start_span(name, _remote(sender), SpanKind.CLIENT, attributes))

    def close(self) -> None:
        """Export the spans that have ended, within CLOSE_SECONDS: a collector may be away."""
        closing = Thread(target=self.provider.shutdown, name="tracer-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def export_spans(service: str, *, children: bool) -> Tracer:
    """A tracer that exports by OTLP, as OpenTelemetry's variables say; the provider of handlers' spans too.

    Raises:
        OSError, ValueError: a variable has a value that the exporter can't use.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracer = Tracer(BatchSpanProcessor(OTLPSpanExporter()), service=service, children=children)
    trace.set_tracer_provider(tracer.provider)
    return tracer


def _resource(service: str) -> Resource:
    found = Resource.create()
    own = {SERVICE_VERSION: VERSION}
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        own[SERVICE_NAME] = service
    return found.merge(Resource(own))


def _context_of(span: SpanContext) -> TraceContext:
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    return TraceContext(parent, span.trace_state.to_header() if span.trace_state else "")


def _span_context(of: TraceContext) -> SpanContext:
    return SpanContext(
        int(of.trace_id, 16),
        int(of.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(of.traceparent[53:55], 16)),
        trace_state=TraceState.from_header([of.tracestate]) if of.tracestate else None,
    )


def _remote(of: TraceContext) -> context.Context:
    """The context of a span in another process, as the parent of spans in this one."""
    return trace.set_span_in_context(NonRecordingSpan(_span_context(of)), context.Context())
