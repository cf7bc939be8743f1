"""Settings come from the environment, wrong ones are named in one line, and secrets stay secret."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.main import create_app
from api.settings import ApiSettings
from shared.settings import SharedSettings, read_settings
from shared.store.client import connect
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[3]
ASSIGNMENT = re.compile(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)
TABLE_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| (?:`([^`]*)` )?\| \S.* \|$", re.MULTILINE)


pytestmark = pytest.mark.usefixtures("without_settings")


def refusal(kind: type[SharedSettings], capsys: pytest.CaptureFixture[str]) -> str:
    """The single line with which the process ends."""
    with pytest.raises(SystemExit) as caught:
        read_settings(kind)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert out == ""
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert err.startswith("Configuration error: ")
    return err


# -- wrong values

WRONG = [
    *((SharedSettings, f"RETAIN_{what}", value) for what in ("COMPLETED", "FAILED", "CANCELLED", "FILES")
      for value in ("0", "-1", "a day", "1.5", "", "315360001")),
    (SharedSettings, "LOG_LEVEL", "LOUD"),
    (SharedSettings, "LOG_LEVEL", ""),
    (SharedSettings, "LOG_FORMAT", "xml"),
    *((SharedSettings, "REDIS_URL", url) for url in (
        "", "localhost:6379", "http://localhost", "unix://", "redis://localhost:port/0",
        "redis://localhost:65536/0", "redis://localhost/zero", "redis://localhost/-1",
        "redis://localhost/0/1", "redis://[::1/0", "redis://localhost/²",
    )),
    *((SharedSettings, "WEBHOOK_SECRETS", value) for value in ("secret", "whsec_AAAA", "whsec_" + 32 * "-")),
    *((SharedSettings, "WEBHOOK_ALLOWED_NETWORKS", value) for value in ("all", "10.0.0.1/8", "10.0.0.0/33")),
    (ApiSettings, "QUEUE_MAX_WAITING", "0"),
    (ApiSettings, "QUEUE_MAX_WAITING", "many"),
    (ApiSettings, "API_MAX_BODY_BYTES", "1023"),
    (ApiSettings, "API_MAX_BODY_BYTES", "1MB"),
    *((ApiSettings, "API_MAX_FILE_BYTES", value) for value in ("1023", "52428800001", "1GB")),
    (ApiSettings, "API_TRUSTED_PROXIES", "proxy.example"),
    (ApiSettings, "API_TRUSTED_PROXIES", "10.0.0.0/33"),
    (ApiSettings, "API_TRUSTED_PROXIES", "10.0.0.1/8"),
    (ApiSettings, "API_TRUSTED_PROXIES", "127.0.0.1,all\nof them"),
    *((ApiSettings, "API_ALLOWED_HOSTS", value) for value in (
        "jobs.example:8000", "https://jobs.example", "*example.com", "a.*.com", "[::1]", "ok.example,a b",
    )),
    *((ApiSettings, "API_CORS_ORIGINS", value) for value in (
        "app.example", "https://app.example/", "https://app.example/page", "null", "https://*.example", "https://",
        "https://a b", "*",
    )),
    (ApiSettings, "API_DOCS", "false"),
    (WorkerSettings, "WORKER_QUEUES", ""),
    (WorkerSettings, "WORKER_QUEUES", " , "),
    (WorkerSettings, "WORKER_QUEUES", "a,b,a"),
    (WorkerSettings, "WORKER_QUEUES", "a b"),
    (WorkerSettings, "WORKER_QUEUES", "a:b"),
    (WorkerSettings, "WORKER_QUEUES", "a" * 65),
    (WorkerSettings, "WORKER_QUEUES", "a\nb"),
    *((WorkerSettings, "WORKER_CONCURRENCY", value) for value in ("0", "1001", "ten", "2.5")),
    *((WorkerSettings, "WORKER_LEASE_SECONDS", value) for value in ("0.9", "3601", "nan", "inf", "long")),
    *((WorkerSettings, "WORKER_GRACE_SECONDS", value) for value in ("-1", "86401", "nan", "inf", "")),
    (WorkerSettings, "WORKER_MAX_RESULT_BYTES", "0"),
    *((WorkerSettings, "WORKER_PROCESSES", value) for value in ("0", "1001", "all", "0.5")),
    (WorkerSettings, "WORKER_PROCESS_MAX_CALLS", "0"),
    (WorkerSettings, "WORKER_PROCESS_MAX_RSS_BYTES", "1 GiB"),
    (WorkerSettings, "WORKER_PROCESS_MAX_MEMORY_BYTES", "-1"),
    *((WorkerSettings, "WORKER_CHILD_ENVIRONMENT", value) for value in ("A B", "A=1", "1A", "AWS_*")),
    *((WorkerSettings, "WORKER_SWEEP_SECONDS", value) for value in ("0.9", "86401", "nan", "")),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_a_wrong_value_ends_the_process_with_one_line_that_names_it(
    kind: type[SharedSettings],
    name: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(name, value)
    assert refusal(kind, capsys).startswith(f"Configuration error: {name}: ")


def test_two_wrong_values_are_named_in_the_same_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORKER_CONCURRENCY", "0")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    line = refusal(WorkerSettings, capsys)
    assert "WORKER_CONCURRENCY: " in line
    assert "LOG_LEVEL: " in line


def test_the_line_says_where_all_settings_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    line = refusal(ApiSettings, capsys)
    assert "'DEBUG', 'INFO', 'WARNING' or 'ERROR'" in line
    assert ".env.example" in line


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("worker", "WORKER_CONCURRENCY", "none"),
        ("worker --check", "REDIS_URL", "redis://:hunter2@localhost:port/0"),
        ("uvicorn api.main:app --port 0", "API_MAX_BODY_BYTES", "1"),
        ("api", "API_WORKERS", "many"),
        ("api --workers 2", "JOB_TYPES", "no_such_package"),
    ],
)
def test_a_process_ends_with_code_2_and_nothing_but_that_line(command: str, name: str, value: str):
    ended = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], name: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith(f"Configuration error: {name}: ")
    assert "hunter2" not in ended.stderr
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize("url", ["ftp://host/folder", "s3://key:hunter2@bucket"])
def test_an_api_without_a_file_store_ends_with_one_line(url: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        create_app(ApiSettings(artifacts_url=url))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Configuration error: ARTIFACTS_URL: ")
    assert "hunter2" not in line
    assert ended.value.code == 2


# -- the address of Redis


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", {"host": "localhost"}),
        ("redis://redis:6380/3", {"host": "redis", "port": 6380, "db": 3}),
        ("redis://[::1]:6379/0", {"host": "::1", "port": 6379, "db": 0}),
        ("rediss://cache.example:6390/1", {"host": "cache.example", "port": 6390, "db": 1}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=2", {"path": "/run/redis.sock", "db": 2}),
        ("redis://:p%40ss%2Fw%3Ard@redis:6379/0", {"host": "redis", "password": "p@ss/w:rd"}),
        ("redis://user:%C3%A9%25%23@redis/0", {"username": "user", "password": "é%#"}),
    ],
)
def test_an_address_is_accepted_and_understood(
    url: str, expected: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", url)
    settings = read_settings(SharedSettings)
    given = connect(settings.redis_url.get_secret_value()).connection_pool.connection_kwargs
    assert {name: given.get(name) for name in expected} == expected


def test_tls_checks_the_certificate_and_the_host_name():
    pool = connect("rediss://redis.example/0").connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    assert connection.ssl_context.cert_reqs in ("required", 2)
    assert connection.ssl_context.check_hostname is True


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@redis/0",
        "redis://:hun/ter2@redis:6379/0",
        "redis://:hun#ter2@redis:6379/0",
        "redis://:hunter2@redis:port/0",
        "redis://:hunter2@redis:6379/zero",
        "redis://:[hunter2@redis:6379/0",
        "redis://:[hunter2]@redis:6379/0",
        "redis://:hunter2：@redis:6379/0",
    ],
)
def test_a_wrong_address_does_not_show_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("REDIS_URL", url)
    line = refusal(WorkerSettings, capsys)
    assert line.startswith("Configuration error: REDIS_URL: ")
    assert "hunter2" not in line
    assert "ter2" not in line


@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])
def test_settings_that_are_printed_do_not_show_the_password(
    kind: type[SharedSettings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@redis/0")
    settings = read_settings(kind)
    assert settings.redis_url.get_secret_value() == "redis://:hunter2@redis/0"
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "hunter2" not in text


def test_a_wrong_neighbour_does_not_show_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@redis/0")
    monkeypatch.setenv("WORKER_CONCURRENCY", "none")
    assert "hunter2" not in refusal(WorkerSettings, capsys)


# -- the older name of WORKER_CONCURRENCY


@pytest.mark.parametrize("newer", [{}, {"WORKER_CONCURRENCY": "5"}])
def test_worker_slots_is_read_as_worker_concurrency(newer: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name, value in {"WORKER_SLOTS": "5", **newer}.items():
        monkeypatch.setenv(name, value)
    assert read_settings(WorkerSettings).worker_concurrency == 5


@pytest.mark.parametrize("name", ["WORKER_SLOTS", "worker_slots"])
@pytest.mark.parametrize("value", ["0", "1001", "ten", ""])
def test_a_wrong_value_under_the_older_name_is_refused_by_that_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(name, value)
    line = refusal(WorkerSettings, capsys)
    assert line.startswith("Configuration error: WORKER_SLOTS: ")
    assert "WORKER_CONCURRENCY" not in line


def test_a_wrong_value_under_both_names_is_refused_by_the_newer_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORKER_CONCURRENCY", "0")
    monkeypatch.setenv("WORKER_SLOTS", "0")
    assert refusal(WorkerSettings, capsys).startswith("Configuration error: WORKER_CONCURRENCY: ")


def test_both_names_with_different_values_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORKER_CONCURRENCY", "5")
    monkeypatch.setenv("WORKER_SLOTS", "6")
    line = refusal(WorkerSettings, capsys)
    assert line.startswith("Configuration error: WORKER_CONCURRENCY: ")
    assert "remove WORKER_SLOTS" in line


@pytest.mark.parametrize(("name", "warnings"), [("WORKER_SLOTS", 1), ("WORKER_CONCURRENCY", 0)])
def test_a_worker_warns_of_the_older_name(name: str, warnings: int):
    """The wrong ARTIFACTS_URL ends the worker before its first job."""
    environment = {
        **os.environ,
        name: "5",
        "ARTIFACTS_URL": "ftp://host/folder",
        "REDIS_URL": "unix:///no.sock",
    }
    done = subprocess.run(
        [sys.executable, "-m", "worker"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert (done.stdout + done.stderr).count("WORKER_SLOTS is the older name") == warnings


# -- where files are kept


@pytest.mark.parametrize("url", ["file:///data/a%20b", "s3://bucket", "s3://bucket/prefix", "ftp://host"])
def test_an_address_that_says_all_stays_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ARTIFACTS_URL", url)
    assert read_settings(SharedSettings).artifacts_url == url


def test_a_folder_may_be_given_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARTIFACTS_URL", "file:some/folder")
    assert read_settings(SharedSettings).artifacts_url == (tmp_path / "some" / "folder").as_uri()


# -- lists and levels


@pytest.mark.parametrize(
    ("value", "queues"),
    [("gpu", ("gpu",)), ("gpu,default", ("gpu", "default")), (" b , a ,", ("b", "a")), ("A-1_b", ("A-1_b",))],
)
def test_queues_are_served_in_the_order_given(
    value: str, queues: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORKER_QUEUES", value)
    assert read_settings(WorkerSettings).worker_queues == queues


@pytest.mark.parametrize(
    ("value", "proxies"),
    [
        ("*", ("*",)),
        ("10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("192.168.1.7", ("192.168.1.7",)),
        ("fd00::/8,*", ("fd00::/8", "*")),
        ("", ()),
    ],
)
def test_proxies_are_addresses_networks_or_all(
    value: str, proxies: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("API_TRUSTED_PROXIES", value)
    assert read_settings(ApiSettings).api_trusted_proxies == proxies


@pytest.mark.parametrize("level", ["debug", "Info", "WARNING", "error"])
def test_a_level_may_be_written_in_any_case(level: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOG_LEVEL", level)
    assert read_settings(SharedSettings).log_level == level.upper()


def test_numbers_are_read_as_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORKER_LEASE_SECONDS", "1.5")
    monkeypatch.setenv("WORKER_CONCURRENCY", "1000")
    monkeypatch.setenv("WORKER_GRACE_SECONDS", "0")
    settings = read_settings(WorkerSettings)
    assert settings.worker_lease_seconds == 1.5
    assert settings.worker_concurrency == 1000
    assert settings.worker_grace_seconds == 0


def test_settings_of_others_are_ignored(monkeypatch: pytest.MonkeyPatch):
    by_default = read_settings(WorkerSettings)
    monkeypatch.setenv("WORKER_COLOUR", "blue")
    monkeypatch.setenv("API_MAX_BODY_BYTES", "no number, but the worker does not read it")
    assert read_settings(WorkerSettings) == by_default
    with pytest.raises(SystemExit):  # the process that reads it does not start
        read_settings(ApiSettings)
