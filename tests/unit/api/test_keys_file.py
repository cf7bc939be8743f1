"""The keys file: strict, in TOML or JSON, and reloaded while the API runs."""

import asyncio
import dataclasses
import json
import re
import time
from hashlib import sha256
from math import inf

import pytest

from api.keys.__main__ import main
from api.keys.api_key import Scope, read_keys
from api.keys.key_set import KeySet
from api.keys.keys_file import read_keys_file
from api.main import create_app
from api.quotas import Quotas
from api.settings import ApiSettings
from dev.stack import ROOT
from shared.settings import read_settings
from tests.unit.api.callers import ECHO, as_caller, entry, refused

A, B, C = (sha256(f"key-of-{name}".encode()).hexdigest() for name in "abc")
KEY = "jobs_" + "k" * 43
WHOLE = f"""
[keys.reports]
scopes = ["read:own", "write:own"]
digests = ["{A}", {{sha256 = "{B}", expires_at = 2027-01-31T12:00:00Z}}]
expires_at = 2028-01-01T00:00:00+01:00
rate = 600

[keys.reports.quotas]
jobs_waiting = 100
file_bytes = 0

[keys.admin]
scopes = ["read", "write"]
digests = ["{C}"]
"""


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch):
    for name in ("API_KEYS", "API_KEYS_FILE", "API_RATE_LIMIT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path):
    """Write a keys file; returns its path."""

    def write(content: str | bytes, name: str = "keys.toml") -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def caller(fields: str = "", name: str = "reports", digest: str = A) -> str:
    return f'[keys.{name}]\nscopes = ["read"]\ndigests = ["{digest}"]\n{fields}\n'


# -- reading


def test_a_caller_has_scopes_digests_an_end_a_rate_and_quotas(write):
    reports, admin = read_keys_file(write(WHOLE))
    assert (reports.name, reports.scopes) == ("reports", {Scope.READ_OWN, Scope.WRITE_OWN})
    assert [digest.sha256.get_secret_value() for digest in reports.digests] == [A, B]
    assert [digest.expires_at for digest in reports.digests] == [1830294000, 1801396800]
    assert (reports.rate, reports.quotas) == (600, Quotas(jobs_waiting=100, file_bytes=0))
    assert (admin.rate, admin.quotas, admin.digests[0].expires_at) == (None, Quotas(), inf)


@pytest.mark.parametrize("name", ["keys.json", "secret"])
def test_json_says_the_same(write, name):
    document = {
        "keys": {
            "reports": {
                "scopes": ["read:own", "write:own"],
                "digests": [A, {"sha256": B, "expires_at": "2027-01-31T12:00:00Z"}],
                "expires_at": "2028-01-01T00:00:00+01:00",
                "rate": 600,
                "quotas": {"jobs_waiting": 100, "file_bytes": 0},
            },
            "admin": {"scopes": ["write", "read"], "digests": [C]},
        }
    }
    assert read_keys_file(write(json.dumps(document), name)) == read_keys_file(write(WHOLE))


def test_a_file_may_list_no_caller(write):
    assert read_keys_file(write("[keys]")) == read_keys_file(write('{"keys": {}}', "k.json")) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "keys: Field required"),
        ("[keys", "it is not valid TOML (end of document); a text needs quotes"),
        ('{"keys": {}', "it is not valid JSON (line 1, column 12)"),
        ("keys = 3", "keys: Input should be a valid dictionary"),
        ("[key.a]", "keys: Field required"),
        ("[keys]\n[key.a]", "key: there is no such field"),
        (f"[keys]\n[{KEY}]", "…: there is no such field"),
        (caller() + caller(), "it is not valid TOML (line 5, column 14)"),
        ('{"keys": {"a": 1, "a": 2}}', "an object holds the same name twice"),
        (caller(name='"a b"'), "the name of caller 1 must be 1 to 64 letters"),
        (caller() + caller(name=KEY, digest=B), "the name of caller 2 looks like a key"),
        (caller(name=A), "the name of caller 1 looks like a key"),
        (caller("color = 1"), "keys.reports.color: there is no such field"),
        (caller(f'"{KEY}" = 1'), "keys.reports.…: there is no such field"),
        ('[keys.a]\nscopes = ["read"]', "keys.a.digests: Field required"),
        (f'[keys.a]\ndigests = ["{A}"]', "keys.a.scopes: Field required"),
        (f'[keys.a]\nscopes = []\ndigests = ["{A}"]', "keys.a.scopes: must hold one scope to read"),
        (f'[keys.a]\nscopes = "read"\ndigests = ["{A}"]', "keys.a.scopes: must be a list"),
        (f'[keys.a]\nscopes = ["{KEY}"]\ndigests = ["{A}"]', "keys.a.scopes: must be of read, write, "),
        (f'[keys.a]\nscopes = [["read"]]\ndigests = ["{A}"]', "keys.a.scopes: must be of read"),
        (f'[keys.a]\nscopes = ["read", "read:own"]\ndigests = ["{A}"]', "keys.a.scopes: must hold one"),
        (f'[keys.a]\nscopes = ["read", "read"]\ndigests = ["{A}"]', "keys.a.scopes: must hold one"),
        ('[keys.a]\nscopes = ["read"]\ndigests = []', "keys.a.digests: List should have at least 1 item"),
        (f'[keys.a]\nscopes = ["read"]\ndigests = ["{KEY}"]', "keys.a.digests.0.sha256: must be the SHA-256"),
        (f'[keys.a]\nscopes = ["read"]\ndigests = ["{A.upper()}"]', "keys.a.digests.0.sha256: must be the"),
        ('[keys.a]\nscopes = ["read"]\ndigests = [7]', "keys.a.digests.0: Input should be"),
        (caller("rate = 1000000"), "keys.reports.rate: Input should be less than or equal to 999999"),
        (caller("rate = -1"), "keys.reports.rate: "),
        (caller("rate = 1.0"), "keys.reports.rate: Input should be a valid integer"),
        (caller("rate = true"), "keys.reports.rate: Input should be a valid integer"),
        (caller('rate = "5"'), "keys.reports.rate: Input should be a valid integer"),
        (caller("expires_at = 2027-01-31T12:00:00"), "keys.reports.expires_at: Input should have"),
        (caller("expires_at = 2027-01-31"), "keys.reports.expires_at: "),
        (caller('expires_at = "2027-01-31"'), "keys.reports.expires_at: must be a time with its offset"),
        (caller('expires_at = "2027-02-31T12:00:00Z"'), "keys.reports.expires_at: day is out of range"),
        (caller("expires_at = 1801396800"), "keys.reports.expires_at: "),
        (caller("quotas.color = 1"), "keys.reports.quotas: may hold nothing but jobs_waiting, kept_bytes, "),
        (caller("quotas.files = -1"), "keys.reports.quotas.files: Input should be greater than"),
        (caller("quotas = 1"), "keys.reports.quotas: "),
        (b"\xff\xfe", "it is not text in UTF-8"),
        ("[" * 100_000, "it is "),
    ],
)  # fmt: skip
def test_a_wrong_file_is_explained_in_one_line_without_secrets(content, complaint, write):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the message is checked below
        read_keys_file(write(content))
    message = str(caught.value)
    assert message.startswith(complaint)
    assert "\n" not in message
    for secret in (KEY, A, A.upper()):
        assert secret not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ValueError, match=r"it can't be read .*: name a file"):
            read_keys_file(str(path))


@pytest.mark.parametrize(
    ("listed", "content", "complaint"),
    [
        (entry("reports"), caller(), "the caller reports is in API_KEYS too"),
        (entry("a"), caller(), "a digest of reports is listed before, for a"),
        ("", caller() + caller(name="b"), "a digest of b is listed before, for reports"),
        (
            "",
            f'[keys.a]\nscopes = ["read"]\ndigests = ["{A}", "{A}"]',
            "a digest of a is listed before, for a",
        ),
    ],
)
def test_no_name_and_no_digest_comes_twice(listed, content, complaint, write):
    with pytest.raises(ValueError, match=complaint):
        KeySet(read_keys(listed), write(content))


# -- the start


def test_a_wrong_file_ends_the_start_with_code_2_and_one_line(write, capsys):
    with pytest.raises(SystemExit) as caught:
        create_app(ApiSettings(api_keys_file=write(caller("color = 1"))))
    err = capsys.readouterr().err
    assert (caught.value.code, len(err.splitlines())) == (2, 1)
    assert err.startswith("Configuration error: API_KEYS_FILE: keys.reports.color: there is no such field")


def test_a_rate_limit_needs_keys_of_either_kind(write, monkeypatch):
    monkeypatch.setenv("API_KEYS_FILE", write(caller()))
    monkeypatch.setenv("API_RATE_LIMIT", "5")
    assert read_settings(ApiSettings).api_rate_limit == 5


async def test_an_api_whose_file_lists_no_caller_is_closed(serve, fake_redis, write):
    client = await serve(fake_redis, api_keys_file=write("[keys]"))
    refused(await client.get("/job-types"), 401, "unauthorized")
    refused(await client.get("/job-types", headers=as_caller("a")), 401, "unauthorized")
    assert "securitySchemes" in (await client.get("/openapi.json")).text


async def test_keys_of_both_places_are_let_in(serve, fake_redis, write):
    client = await serve(fake_redis, api_keys=entry("b"), api_keys_file=write(caller()))
    for name in "ab":
        assert (await client.get("/job-types", headers=as_caller(name))).status_code == 200


# -- rotation and expiry


async def test_all_keys_of_a_caller_are_the_same_caller(serve, fake_redis, write):
    content = f'[keys.reports]\nscopes = ["read:own", "write:own"]\ndigests = ["{A}", "{B}"]'
    client = await serve(fake_redis, api_keys_file=write(content))
    job = (await client.post("/jobs", json=ECHO, headers=as_caller("a"))).json()
    assert job["caller"] == "reports"
    assert (await client.get(f"/jobs/{job['job_id']}", headers=as_caller("b"))).status_code == 200


@pytest.mark.parametrize("place", ["caller", "digest"])
async def test_an_expired_key_is_refused_and_says_so(serve, fake_redis, write, monkeypatch, place):
    at = "2027-01-31T12:00:00Z"
    digests = f'[{{sha256 = "{A}", expires_at = {at}}}]' if place == "digest" else f'["{A}"]'
    content = f'[keys.a]\nscopes = ["read"]\ndigests = {digests}\n'
    content += f"expires_at = {at if place == 'caller' else '2027-02-01T12:00:00Z'}"
    client = await serve(fake_redis, api_keys_file=write(content))
    now = 1801396799.9
    monkeypatch.setattr("api.keys.key_set.time.time", lambda: now)
    assert (await client.get("/job-types", headers=as_caller("a"))).status_code == 200
    now = 1801396800.0
    answer = await client.get("/job-types", headers=as_caller("a"))
    envelope = refused(answer, 401, "unauthorized")
    assert envelope.message == "The API key has expired."
    assert "newer key" in envelope.hint
    assert answer.headers["www-authenticate"] == "Bearer"


# -- reloads


async def reloaded(key_set: KeySet, log_tape, lines: int) -> dict:
    """The log line of a reload, the n-th."""
    key_set.reload()
    ends = time.monotonic() + 10
    while len(log_tape.lines()) < lines:
        assert time.monotonic() < ends
        await asyncio.sleep(0.005)
    return log_tape.lines()[-1]


async def test_a_reload_takes_all_of_the_file_or_nothing(write, log_tape):
    path = write(caller() + caller(name="b", digest=B))
    key_set = KeySet(read_keys(entry("c")), path)
    keeping = asyncio.create_task(key_set.keep_loaded())
    write(caller(name="b", digest=B) + caller("color = 1"))
    line = await reloaded(key_set, log_tape, 1)
    assert (line["level"], line["event"]) == ("error", "the keys file is wrong, the keys stay as they were")
    assert line["reason"] == "keys.reports.color: there is no such field: remove it, or correct its name"
    assert "API_KEYS_FILE" in line["hint"]
    assert [key_set.identify(f"key-of-{name}".encode()).name for name in "abc"] == ["reports", "b", "c"]

    write(caller(name="b", digest=A))
    line = await reloaded(key_set, log_tape, 2)
    assert (line["level"], line["event"], line["keys"]) == ("info", "keys reloaded", 2)
    assert key_set.identify(b"key-of-a").name == "b"
    assert key_set.identify(b"key-of-c").name == "c"
    with pytest.raises(Exception, match="not one of this server's"):
        key_set.identify(b"key-of-b")

    write(caller(name="c", digest=B))
    line = await reloaded(key_set, log_tape, 3)
    assert line["reason"] == "the caller c is in API_KEYS too: keep one of the two"
    assert key_set.identify(b"key-of-a").name == "b"
    keeping.cancel()


# -- the command


def test_the_command_prints_a_table_that_the_file_takes(write, capsys):
    main(["reports", "--rate", "5"])
    out = capsys.readouterr().out
    (key,) = [line.strip() for line in out.splitlines() if line.startswith("  jobs_")]
    (found,) = read_keys_file(write(out[out.index("[keys.reports]") :]))
    assert (found.name, found.rate) == ("reports", 5)
    assert found.scopes == {Scope.READ_OWN, Scope.WRITE_OWN}
    assert found.digests[0].sha256.get_secret_value() == sha256(key.encode()).hexdigest()


def test_the_command_checks_a_file(write, capsys):
    main(["--check", write(WHOLE)])
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "The keys file is right; callers: 2",
        "  reports: read:own, write:own; keys: 2",
        "  admin: read, write; keys: 1",
    ]
    with pytest.raises(SystemExit) as caught:
        main(["--check", write(caller("color = 1"))])
    captured = capsys.readouterr()
    assert (caught.value.code, captured.out) == (2, "")
    assert captured.err == (
        "The keys file is wrong: keys.reports.color: there is no such field: remove it, or correct its name\n"
    )


# -- the page


def test_the_example_of_the_page_is_a_keys_file(write):
    page = (ROOT / "docs" / "access.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [key.name for key in read_keys_file(write(example))] == ["reports", "nightly"]
    for field in dataclasses.fields(Quotas):
        assert f"`{field.name}`" in page
