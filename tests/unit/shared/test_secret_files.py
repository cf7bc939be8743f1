"""Secrets from files: `NAME_FILE` in place of `NAME`, for every setting that holds a secret."""

import base64
import os
import subprocess
import sys

import pytest

from api.settings import ApiSettings
from dev.stack import ROOT
from shared.secret_files import LARGEST
from shared.settings import read_settings
from tests.unit.shared.test_settings import refusal
from worker.settings import WorkerSettings

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URL = "redis://user:hunter2@redis:6380/3"
KINDS = pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in ("REDIS_URL", "WEBHOOK_SECRETS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put a secret into a file, and let NAME_FILE name it."""

    def put(name: str, content: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        monkeypatch.setenv(f"{name}_FILE", str(path))

    return put


@KINDS
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_every_secret_may_come_from_a_file(kind, end, put):
    put("REDIS_URL", f"{URL}{end}".encode())
    put("WEBHOOK_SECRETS", f"{SECRET},{SECRET}{end}".encode())
    settings = read_settings(kind)
    assert settings.redis_url.get_secret_value() == URL
    assert len(settings.webhook_secrets) == 2


def test_an_empty_setting_is_none_beside_its_file(put, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "")
    put("REDIS_URL", URL.encode())
    assert read_settings(ApiSettings).redis_url.get_secret_value() == URL


def test_an_empty_name_of_a_file_is_none(monkeypatch):
    monkeypatch.setenv("REDIS_URL_FILE", "")
    monkeypatch.setenv("REDIS_URL", URL)
    assert read_settings(ApiSettings).redis_url.get_secret_value() == URL


def test_settings_without_a_secret_come_from_no_file(put):
    put("LOG_LEVEL", b"DEBUG")
    assert read_settings(ApiSettings).log_level == "INFO"


@KINDS
def test_the_setting_and_its_file_together_are_refused(kind, put, monkeypatch, capsys):
    put("REDIS_URL", URL.encode())
    monkeypatch.setenv("REDIS_URL", URL)
    line = refusal(kind, capsys)
    assert "REDIS_URL_FILE: remove it or REDIS_URL: both are set" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"http://:hunter2@redis", "REDIS_URL: must be like"),
        (b"\xffhunter2", "REDIS_URL_FILE: the file is not text in UTF-8"),
        (b"hunter2" * LARGEST, f"REDIS_URL_FILE: the file has more than {LARGEST} bytes"),
    ],
)
def test_a_wrong_secret_is_named_and_not_quoted(content, complaint, put, capsys):
    put("REDIS_URL", content)
    line = refusal(ApiSettings, capsys)
    assert complaint in line
    assert "hunter2" not in line


def test_a_file_that_cannot_be_read_ends_the_process(tmp_path):
    environment = {"PATH": os.environ["PATH"], "WEBHOOK_SECRETS_FILE": str(tmp_path / "nothing")}
    ended = subprocess.run(
        [sys.executable, "-m", "worker", "--check"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert (
        "WEBHOOK_SECRETS_FILE: the file can't be read (No such file or directory); name a file"
        in ended.stderr
    )
