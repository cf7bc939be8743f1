"""The start of tracing: off costs nothing, and an unusable configuration ends the process with one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import SharedSettings, read_settings
from shared.traces import start

ROOT = Path(__file__).resolve().parents[3]
API = "from api.main import create_app; create_app()"
WORKER = "import sys; from worker.__main__ import main; sys.argv[1:] = []; main()"
WITHOUT_EXTRA = "import sys; sys.modules['opentelemetry.sdk'] = None; "


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("code", [API, WORKER], ids=["api", "worker"])
def test_without_the_extra_a_process_that_should_trace_says_what_to_install(code: str):
    ended = run(WITHOUT_EXTRA + code, TRACES="link", REDIS_URL="redis://127.0.0.1:1/0", JOB_TYPES="job_types")
    assert ended.returncode == 2
    line = [line for line in ended.stderr.splitlines() if "Configuration error" in line]
    assert len(line) == 1, ended.stderr
    assert "TRACES=link needs the extra `telemetry`" in line[0]
    assert "requirements-telemetry.txt" in line[0]


@pytest.mark.parametrize("traces", ["", "on", "LINK"])
def test_a_wrong_value_of_the_setting_is_refused(
    traces: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TRACES", traces)
    with pytest.raises(SystemExit):
        read_settings(SharedSettings)
    assert "TRACES: Input should be 'off', 'link' or 'parent'" in capsys.readouterr().err


def test_off_imports_neither_the_sdk_nor_the_exporter():
    look = "; import sys; print([name for name in sys.modules if name.startswith(%r)])"
    api = run(API + look % (("opentelemetry.sdk", "opentelemetry.exporter", "shared.traces.tracer"),))
    assert (api.returncode, api.stdout.splitlines()[-1]) == (0, "[]"), api.stderr


def test_off_imports_nothing_of_opentelemetry_in_a_worker():
    worker = run(
        "import sys, worker.__main__, worker.job_worker; from shared.traces.start import open_tracer; "
        "print(open_tracer('off', 'w'), [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert (worker.returncode, worker.stdout) == (0, "None []\n"), worker.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector/"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ],
)
@pytest.mark.telemetry
def test_a_wrong_variable_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(name, value)
    assert refusal(capsys).startswith(f"Configuration error: {name}: ")


@pytest.mark.parametrize("ratio", ["", "1 %", "1.1", "-0.1", "nan"])
@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
@pytest.mark.telemetry
def test_a_wrong_share_is_refused(
    sampler: str, ratio: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    assert refusal(capsys).startswith("Configuration error: OTEL_TRACES_SAMPLER_ARG: ")


@pytest.mark.telemetry
def test_what_the_exporter_refuses_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "0")
    assert "TRACES=link: the exporter can't be made" in refusal(capsys)


def test_the_variable_that_disables_opentelemetry_is_as_good_as_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    assert start.open_tracer("link", "api") is None


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line with which the process ends."""
    with pytest.raises(SystemExit) as caught:
        start.open_tracer("link", "api")
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line
