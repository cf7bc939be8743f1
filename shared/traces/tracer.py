"""Tracer and Span: OpenTelemetry for both processes. Imported only where tracing is on."""

import random
from collections.abc import Mapping
from contextvars import ContextVar
from threading import Thread
from typing import Any, cast

from opentelemetry import context, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
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
from shared.traces.sampling import Sampling

SCOPE = "job-server"  # the instrumentation scope of all spans
CLOSE_SECONDS = 3.0
ROOT = context.Context()
Attributes = Mapping[str, str | int]

request_recorded: ContextVar[bool] = ContextVar("request_recorded", default=False)
"""Whether the request of this task has a span."""


class Span:
    """A span that is recorded, and under way.

    Attributes:
        context: its trace context.
    """

    __slots__ = ("_span", "context")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.context = _context_of(span.get_span_context())

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
        context.attach(trace.set_span_in_context(self._span, ROOT))


class UnrecordedSender(NonRecordingSpan):
    """The span that sent a job and is not recorded, as the parent of spans of the job's handler.

    Most handlers begin none: the context is read only if one does.

    Args:
        stored: the trace context of the job; without one, a context of its own is made up.
    """

    def __init__(self, stored: bytes) -> None:
        self._stored = stored

    def get_span_context(self) -> SpanContext:
        if not self._stored:
            self._stored = b"00-%032x-%016x-00" % (random_id(128), random_id(64))
        return _span_context(TraceContext.of_stored(self._stored))


class TraceIds:
    """Ids of traces and spans. The sampler decides on the id of a trace before its first span is made.

    Attributes:
        chosen: the id of the next trace; 0 for a new one.
    """

    def __init__(self) -> None:
        self.chosen = 0

    def generate_trace_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or random_id(128)

    def generate_span_id(self) -> int:
        return random_id(64)

    def is_trace_id_random(self) -> bool:
        return True


class Tracer:
    """Begins the spans of a process, all of them in its event loop.

    Args:
        processor: takes the spans that have ended.
        service: the name of the process, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name it.
        children: whether an attempt's span is a child of the span that sent the job; else it is linked to it.

    Attributes:
        provider: that of the spans that handlers begin.
    """

    def __init__(self, processor: SpanProcessor, *, service: str, children: bool = False) -> None:
        resource, self._ids = _resource(service), TraceIds()
        self.provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        # What a handler does is recorded with its attempt, also by a sampler that looks at no parent.
        self.provider.sampler = ParentBased(self.provider.sampler)
        # The decision is made once in a trace: an attempt in a trace of its own follows its submission.
        self._sampling = Sampling.of_environment()
        recorder = TracerProvider(
            ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=cast(Any, self._ids)
        )
        for provider in (self.provider, recorder):
            provider.add_span_processor(processor)
        self._tracer = recorder.get_tracer(SCOPE, VERSION)
        self._children = children

    def begin_request(self, name: str, caller: TraceContext | None) -> Span | None:
        """The span of a request, made the current one; None if the sampler leaves it out."""
        trace_id = int(caller.trace_id, 16) if caller else random_id(128)
        if not self._sampling.records(trace_id, caller):
            return None
        self._ids.chosen = 0 if caller else trace_id
        span = Span(self._tracer.start_span(name, _remote(caller) if caller else ROOT, SpanKind.SERVER))
        span.make_current()
        request_recorded.set(True)
        return span

    @property
    def request_recorded(self) -> bool:
        """Whether the request of this task has a span."""
        return request_recorded.get()

    def begin_send(self, name: str, attributes: Attributes) -> Span:
        """The span of a submission, a child of the span of its request."""
        return Span(self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes))

    def begin_attempt(self, name: str, sender: TraceContext, attributes: Attributes) -> Span:
        """The span of an attempt, made the current one.

        Args:
            name: of the span.
            sender: the trace context of the job, whose sending is recorded.
            attributes: of the span.
        """
        kind = SpanKind.CONSUMER
        if self._children:
            span = Span(self._tracer.start_span(name, _remote(sender), kind, attributes))
        else:
            link = Link(_span_context(sender))
            span = Span(self._tracer.start_span(name, ROOT, kind, attributes, [link]))
        span.make_current()
        return span

    def follow_unrecorded(self, stored: bytes) -> None:
        """Let the spans that this task begins follow the decision on a sender that is not recorded."""
        context.attach(context.Context({SPAN_KEY: UnrecordedSender(stored)}))

    def begin_delivery(self, name: str, sender: TraceContext, attributes: Attributes) -> Span | None:
        """The span of a request that a job causes, a child of `sender`; None if that one is not recorded."""
        if not sender.sampled:
            return None
        return Span(self._tracer.start_span(name, _remote(sender), SpanKind.CLIENT, attributes))

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


def random_id(bits: int) -> int:
    """A random number that is not 0, which no id may be."""
    return random.getrandbits(bits) or 1


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
    return trace.set_span_in_context(NonRecordingSpan(_span_context(of)), ROOT)


(SPAN_KEY,) = trace.set_span_in_context(trace.INVALID_SPAN, ROOT)
"""The key of the current span in a context of OpenTelemetry."""
