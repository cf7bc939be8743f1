"""API keys: the command that makes them, and the setting that lists them."""

import os
import re
import subprocess
import sys
from hashlib import sha256

import pytest

from api.keys import api_key as keys
from api.keys.__main__ import main
from api.keys.api_key import Scope, read_keys
from api.settings import ApiSettings
from dev.stack import ROOT
from shared.settings import read_settings

DIGEST = sha256(b"jobs_a").hexdigest()
OTHER_DIGEST = sha256(b"jobs_b").hexdigest()
THIRD_DIGEST = sha256(b"jobs_c").hexdigest()
KEY = re.compile(r"^  (jobs_[A-Za-z0-9_-]{43})$", re.MULTILINE)
ENTRY = re.compile(r"^  ([^:\s]+:\S+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEYS", "API_RATE_LIMIT"):
        monkeypatch.delenv(name, raising=False)


def made(capsys, *arguments: str) -> tuple[str, str]:
    """The key and the entry that the command prints."""
    main(arguments)
    out, err = capsys.readouterr()
    assert err == ""
    (key,), (entry,) = KEY.findall(out), ENTRY.findall(out)
    return key, entry


# -- the command


def test_a_key_is_printed_once_with_its_entry(capsys):
    key, entry = made(capsys, "ci")
    assert entry == f"ci:read:own+write:own:{sha256(key.encode()).hexdigest()}"


def test_no_two_keys_are_the_same(capsys):
    assert len({made(capsys, "ci")[0] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("options", "scopes", "rate"),
    [
        ([], {Scope.READ_OWN, Scope.WRITE_OWN}, None),
        (["--scopes", "read:own"], {Scope.READ_OWN}, None),
        (["--scopes", "write,read:own", "--rate", "7"], {Scope.READ_OWN, Scope.WRITE}, 7),
        (["--scopes", "read"], {Scope.READ}, None),
        (["--scopes", "write", "--rate", "5"], {Scope.WRITE}, 5),
        (["--scopes", "write,read", "--rate", "0"], {Scope.READ, Scope.WRITE}, 0),
    ],
)
def test_the_entry_is_one_that_the_setting_takes(options, scopes, rate, capsys, monkeypatch):
    key, entry = made(capsys, "ci", *options)
    monkeypatch.setenv("API_KEYS", entry)
    (known,) = read_settings(ApiSettings).api_keys
    assert (known.name, known.scopes, known.rate) == ("ci", scopes, rate)
    assert known.digests[0].sha256.get_secret_value() == sha256(key.encode()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "NAME is missing"),
        (["ci", "--scopes", "read,read:own"], "its scopes must be"),
        (["ci", "--scopes", "read:mine"], "its scopes must be"),
        (["ci", "--scopes", "read:own:own"], "its scopes must be"),
        (["a b"], "its name must be"),
        (["a:b"], "its name must be"),
        (["a,b"], "its name must be"),
        ([""], "its name must be"),
        (["x" * 65], "its name must be"),
        (["ci", "--scopes", "steer"], "its scopes must be read, write or read+write"),
        (["ci", "--scopes", ""], "its scopes must be"),
        (["ci", "--rate", "fast"], "its rate must be"),
        (["ci", "--rate", "-1"], "its rate must be"),
        (["ci", "--rate", "1000000"], "its rate must be"),
        (["ci", "cd"], "cd"),
    ],
)
def test_wrong_arguments_make_no_key_and_say_why(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.startswith("usage: python -m api.keys")
    assert complaint in err.splitlines()[-1]


def test_the_command_runs_as_a_module_and_needs_no_settings():
    ended = subprocess.run(
        [sys.executable, "-m", "api.keys", "ci"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": "nonsense"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert KEY.search(ended.stdout)


# -- the setting


def test_entries_are_separated_by_commas_and_may_have_space_around(monkeypatch):
    listed = f" a:read:{DIGEST} ,b:write+read:{OTHER_DIGEST}:7,c:write:own+read:{THIRD_DIGEST}:9, "
    monkeypatch.setenv("API_KEYS", listed)
    first, second, third = read_settings(ApiSettings).api_keys
    assert (third.name, third.scopes, third.rate) == ("c", {Scope.READ, Scope.WRITE_OWN}, 9)
    assert (first.name, first.scopes, first.rate) == ("a", {Scope.READ}, None)
    assert (second.name, second.scopes, second.rate) == ("b", {Scope.READ, Scope.WRITE}, 7)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ("jobs_a", "entry 1: it must be name:scopes:sha256"),
        (f"a:read:{DIGEST}:1:2", "entry 1: it must be name:scopes:sha256"),
        (f"a:read:{DIGEST},b:read", "entry 2: it must be name:scopes:sha256"),
        (f"a b:read:{DIGEST}", "entry 1: its name must be 1 to 64"),
        (f"a:steer:{DIGEST}", "entry 1: its scopes must be read, write or read+write"),
        (f"jobs_{'a' * 43}:read:{DIGEST}", "entry 1: its name looks like a key"),
        (f"a::{DIGEST}", "entry 1: its scopes must be"),
        (f"a:own:{DIGEST}", "entry 1: it must be name:scopes:sha256"),
        (f"a:read:own+read:{DIGEST}", "entry 1: its scopes must be"),
        (f"a:read+write:own:own:{DIGEST}", "entry 1: its scopes must be"),
        (f"a:read:{DIGEST[:-1]}", "entry 1: its sha256 must be"),
        (f"a:read:{DIGEST.upper()}", "entry 1: its sha256 must be"),
        (f"a:read:{DIGEST}:", "entry 1: its rate must be"),
        (f"a:read:{DIGEST}:1.5", "entry 1: its rate must be"),
        (f"a:read:{DIGEST}:²", "entry 1: its rate must be"),
        (f"a:read:{DIGEST},a:read:{OTHER_DIGEST}", "entry 2: its name is that of entry 1 too"),
        (f"a:read:{DIGEST},b:read:{DIGEST}", "entry 2: its sha256 is that of entry 1 too"),
    ],
)
def test_a_wrong_entry_is_named_and_not_quoted(entries, complaint, monkeypatch, capsys):
    monkeypatch.setenv("API_KEYS", entries)
    with pytest.raises(SystemExit) as caught:
        read_settings(ApiSettings)
    out, err = capsys.readouterr()
    assert (caught.value.code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"Configuration error: API_KEYS: {complaint}")
    for secret in ("jobs_a", DIGEST[:-1], DIGEST.upper(), "steer"):
        assert secret not in err


@pytest.mark.parametrize("limit", ["-1", "1000000", "fast", "1.5", ""])
def test_a_wrong_limit_is_refused(limit, monkeypatch, capsys):
    monkeypatch.setenv("API_KEYS", f"a:read:{DIGEST}")
    monkeypatch.setenv("API_RATE_LIMIT", limit)
    with pytest.raises(SystemExit):
        read_settings(ApiSettings)
    assert capsys.readouterr().err.startswith("Configuration error: API_RATE_LIMIT: ")


def test_a_limit_without_keys_has_no_effect_and_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("API_RATE_LIMIT", "5")
    with pytest.raises(SystemExit):
        read_settings(ApiSettings)
    assert "API_RATE_LIMIT: needs API keys, but API_KEYS lists none" in capsys.readouterr().err


def test_a_wrong_key_is_not_reported_as_a_missing_one_too(monkeypatch, capsys):
    monkeypatch.setenv("API_KEYS", "nonsense")
    monkeypatch.setenv("API_RATE_LIMIT", "5")
    with pytest.raises(SystemExit):
        read_settings(ApiSettings)
    assert "API_RATE_LIMIT" not in capsys.readouterr().err


def test_settings_that_are_printed_do_not_show_the_digest(monkeypatch):
    monkeypatch.setenv("API_KEYS", f"a:read:{DIGEST}")
    settings = read_settings(ApiSettings)
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "name" in text
        assert DIGEST not in text


def test_no_keys_is_the_default():
    assert read_settings(ApiSettings).api_keys == ()
    assert read_keys(" , ") == []
    assert keys.MAX_RATE == 999_999
