"""redis-users.acl: the rights are those that the code needs, and no more."""

import re
from pathlib import Path

import pytest

from dev.stack import ROOT
from shared.store import redis_keys
from shared.store.scripts import FOLDER
from shared.store.tags import SHARDED

USERS = (ROOT / "redis-users.acl").read_text()
CONNECTING = {"auth", "hello", "select", "ping", "client|setinfo", "info", "cluster|nodes"}
CHANNELS = {name.lower() for pair in SHARDED.items() for name in pair}
SENT = re.compile(r"""(?:command|execute_command|send_command|_ask|tell)\(\s*"([A-Z]+)\"""")
CALLED = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'")
TRIED = re.compile(r"try\('([A-Z]+)'")


def rules() -> list[str]:
    [line] = [line for line in USERS.splitlines() if line.startswith("user job-server ")]
    return line.split()[2:]


def called(*scripts: Path) -> set[str]:
    return {name.lower() for script in scripts for name in CALLED.findall(script.read_text())}


def scripts() -> list[Path]:
    return [path for path in FOLDER.rglob("*.lua") if path.name != "probe.lua"]


def sent() -> set[str]:
    """The commands that the processes send themselves."""
    sources = [path for room in ("shared", "api", "worker") for path in (ROOT / room).rglob("*.py")]
    names = {name.lower() for path in sources for name in SENT.findall(path.read_text())}
    return names - {"sentinel"}  # for the Sentinels, which have users of their own


def test_the_user_may_call_what_is_called_and_nothing_else():
    given = {rule[1:] for rule in rules() if rule.startswith("+")}
    needed = called(*scripts()) | sent() - {"cluster"} | CONNECTING | CHANNELS
    assert given == needed, f"redis-users.acl lacks {needed - given}, and need not give {given - needed}"
    assert "-@all" in rules()


def test_the_probe_tries_every_command_of_the_scripts():
    tried = {name.lower() for name in TRIED.findall((FOLDER / "probe.lua").read_text())}
    assert called(*scripts()) - tried == {"time"}  # every script begins with the prelude


@pytest.mark.parametrize(
    "key",
    [
        value
        for value in redis_keys.FOR_SCRIPTS.values()
        if ":" in value and value not in (redis_keys.CHANGES, redis_keys.CANCEL)
    ],
)
def test_every_key_is_within_the_users_keys(key: str):
    patterns = [rule[1:].rstrip("*") for rule in rules() if rule.startswith("~")]
    assert any(key.startswith(pattern) for pattern in patterns)


def test_the_user_hears_and_tells_on_two_channels_alone():
    assert [rule for rule in rules() if rule.startswith("&")] == [
        f"&{redis_keys.CHANGES}*",
        f"&{redis_keys.CANCEL}",
        f"&{{j*}}{redis_keys.CHANGES}*",
        f"&{{j*}}{redis_keys.CANCEL}",
    ]


def test_the_user_has_the_keys_of_shards_too():
    patterns = [rule[1:] for rule in rules() if rule.startswith("~")]
    plain = [pattern for pattern in patterns if not pattern.startswith("{")]
    assert [pattern for pattern in patterns if pattern.startswith("{")] == [
        "{j*}",
        *(f"{{j*}}{pattern}" for pattern in plain),
    ]


def test_nobody_logs_in_as_the_default_user_which_keeps_the_rights_to_read_the_append_only_file():
    assert USERS.splitlines()[0] == "user default off ~* &* +@all"
