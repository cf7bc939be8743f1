"""The tracer of a process: its end, and the names in its spans."""

from threading import Event
from typing import Any

import pytest

pytestmark = pytest.mark.telemetry


def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch):
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from shared.traces import tracer

    began, answer = Event(), Event()

    class Waiting(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            began.set()
            answer.wait()
            return super().export(spans)

    monkeypatch.setattr(tracer, "CLOSE_SECONDS", 0.05)
    opened = tracer.Tracer(BatchSpanProcessor(Waiting()), service="api")
    span = opened.begin_request("GET", None)
    assert span is not None
    span.end()
    opened.close()
    assert began.is_set()
    assert not answer.is_set()
    answer.set()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "api"),
        ({"OTEL_SERVICE_NAME": "jobs"}, "jobs"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=jobs,team=a"}, "jobs"),
    ],
)
def test_a_service_has_the_name_of_the_environment_or_its_own(
    span_tape: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
):
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    from shared import VERSION
    from shared.traces.tracer import Tracer

    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    span = Tracer(SimpleSpanProcessor(span_tape.exporter), service="api").begin_request("GET", None)
    assert span is not None
    span.end()
    resource = span_tape.one("GET").resource.attributes
    assert (resource["service.name"], resource["service.version"]) == (name, VERSION)
