"""The decision which requests are recorded is that of OpenTelemetry's own samplers."""

import random

import pytest

from shared.traces.context import TraceContext
from shared.traces.sampling import RATIOS, SAMPLERS, Sampling

IDS = [random.Random(1).getrandbits(128) for _ in range(200)]
EDGES = [1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, (1 << 128) - 1]


def caller_of(trace_id: int, flags: str) -> TraceContext:
    return TraceContext(f"00-{trace_id:032x}-{1:016x}-{flags}")


def test_by_default_callers_decide_and_else_all_is_recorded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    sampling = Sampling.of_environment()
    assert all(sampling.records(trace_id, None) for trace_id in IDS)
    assert not sampling.records(1, caller_of(1, "00"))


@pytest.mark.telemetry
@pytest.mark.parametrize(
    ("name", "share"),
    [
        (name, share)
        for name in SAMPLERS
        for share in (("0", "0.01", "0.5", "1") if name in RATIOS else ("",))
    ],
)
def test_a_sampler_of_the_sdk_decides_alike(name: str, share: str, monkeypatch: pytest.MonkeyPatch):
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

    from shared.traces.tracer import _remote

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    sampling, sampler = Sampling.of_environment(), TracerProvider(shutdown_on_exit=False).sampler
    for trace_id in IDS + EDGES:
        for caller in (None, caller_of(trace_id, "00"), caller_of(trace_id, "01")):
            parent = _remote(caller) if caller else Context()
            found = sampler.should_sample(parent, trace_id, "POST").decision.is_sampled()
            assert sampling.records(trace_id, caller) == found, (trace_id, caller)
