"""Start of tracing: the check of its configuration. OpenTelemetry is imported only where tracing is on."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from shared.settings import refuse
from shared.traces.sampling import RATIOS, SAMPLERS

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer

Traces = Literal["off", "link", "parent"]

LIBRARIES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
"""Libraries of the extra `telemetry`."""
PROTOCOL = "http/protobuf"


def missing() -> list[str]:
    """The libraries of the extra that are not installed."""
    return [name for name in LIBRARIES if not _is_installed(name)]


def open_tracer(traces: Traces, service: str) -> "Tracer | None":
    """The tracer of a process; None while tracing is off. A wrong configuration ends the process.

    Args:
        traces: the setting `TRACES`.
        service: the name of the process in its spans, unless OTEL_SERVICE_NAME names it.
    """
    if traces == "off" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if missing():
        refuse(
            f"TRACES={traces} needs the extra `telemetry`, which is not installed: "
            "pip install -r requirements-telemetry.txt, or set TRACES=off"
        )
    if fault := _fault():
        refuse(fault)
    from shared.traces.tracer import export_spans

    try:
        return export_spans(service, children=traces == "parent")
    except (OSError, ValueError) as error:
        refuse(f"TRACES={traces}: the exporter can't be made from the OTEL_ variables: {error}")


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def _fault() -> str | None:
    """The first fault in OpenTelemetry's variables, which its SDK would pass over with a warning."""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if _variable(name) not in ("", PROTOCOL):
            return f"{name}: the extra `telemetry` speaks {PROTOCOL} alone; set that, and port 4318"
    if _variable("OTEL_TRACES_EXPORTER") not in ("", "otlp"):
        return "OTEL_TRACES_EXPORTER: must be otlp or empty; TRACES=off exports nothing"
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if _variable(name) and not _is_http(_variable(name)):
            return f"{name}: must be like http://collector:4318"
    sampler, ratio = _variable("OTEL_TRACES_SAMPLER").lower(), _variable("OTEL_TRACES_SAMPLER_ARG")
    if sampler and sampler not in SAMPLERS:
        return f"OTEL_TRACES_SAMPLER: must be one of {', '.join(SAMPLERS)}"
    if sampler in RATIOS and not _is_ratio(ratio):
        return "OTEL_TRACES_SAMPLER_ARG: must be a share from 0 to 1, such as 0.01"
    return None


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
