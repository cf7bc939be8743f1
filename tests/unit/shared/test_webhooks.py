"""Webhook secrets, signatures and addresses, and the command that makes a secret."""

from base64 import b64encode
from ipaddress import ip_address

import pytest

from shared.settings import SharedSettings, read_settings
from shared.webhooks.__main__ import main
from shared.webhooks.addresses import read_target
from shared.webhooks.signing import read_secrets, receiver_key, sign, signing_keys

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + b64encode(bytes(64)).decode()


# -- signatures


def test_the_signature_is_that_of_the_specification():
    signature = sign(
        read_secrets(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs_the_newest_first():
    both = sign(read_secrets(f"{SECRET}, {OTHER}"), "a", 1, b"{}").split(" ")
    assert both == [sign(read_secrets(secret), "a", 1, b"{}") for secret in (SECRET, OTHER)]
    assert both[0] != both[1]


# -- secrets


def test_the_command_prints_a_secret_that_the_setting_takes(capsys, monkeypatch):
    for _ in range(2):
        main([])
    first, second = [line.strip() for line in capsys.readouterr().out.splitlines() if "  whsec_" in line]
    assert first != second
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{first},{second}")
    keys = read_settings(SharedSettings).webhook_secrets
    assert [len(key.get_secret_value()) for key in keys] == [32, 32]


@pytest.mark.parametrize(
    "wrong",
    ["whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Laé",
     "whsec_" + b64encode(bytes(23)).decode(), "whsec_" + b64encode(bytes(65)).decode()],
)  # fmt: skip
def test_a_wrong_secret_is_refused_and_not_shown(wrong, monkeypatch, capsys):
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{SECRET},{wrong}")
    with pytest.raises(SystemExit):
        read_settings(SharedSettings)
    line = capsys.readouterr().err
    assert line.startswith("Configuration error: WEBHOOK_SECRETS: entry 2 must be whsec_")
    assert "python -m shared.webhooks makes a secret" in line
    assert "MfKQ" not in line


def test_settings_that_are_printed_do_not_show_a_secret(monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET)
    settings = read_settings(SharedSettings)
    (key,) = settings.webhook_secrets
    raw = key.get_secret_value()
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert SECRET not in text
        assert repr(raw)[2:-1] not in text


# -- addresses


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", ("https", "example.com", "example.com", None, None, "/")),
        ("http://a-1.b_2.c3:80/x;y?z=%20", ("http", "a-1.b_2.c3:80", "a-1.b_2.c3", None, 80, "/x;y?z=%20")),
        ("https://receiver?a", ("https", "receiver", "receiver", None, None, "/?a")),
        ("http://8.8.8.8/", ("http", "8.8.8.8", "8.8.8.8", ip_address("8.8.8.8"), None, "/")),
        ("http://[2606::1]:1/", ("http", "[2606::1]:1", "2606::1", ip_address("2606::1"), 1, "/")),
        ("http://xn--abc.example/", ("http", "xn--abc.example", "xn--abc.example", None, None, "/")),
    ],
)  # fmt: skip
def test_the_parts_of_an_address(url, target):
    assert read_target(url) == target


NO_ADDRESS = {
    "nothing": "",
    "no scheme": "example.com/hook",
    "another scheme": "ftp://example.com/",
    "a file": "file:///etc/passwd",
    "a scheme with other letters": "HTTP://example.com/",
    "no host": "http:///hook",
    "an empty name": "http://.example.com/",
    "a user": "http://user@example.com/",
    "a user that looks like a host": "http://127.0.0.1@example.com/",
    "a host after a user": "http://example.com@127.0.0.1/",
    "a user and a password": "http://example.com:80@127.0.0.1/",
    "a backslash for a slash": "http://example.com\\@127.0.0.1/",
    "backslashes": "http:\\\\example.com\\",
    "a fragment": "http://example.com/#a",
    "a fragment with a host": "http://example.com#@127.0.0.1/",
    "a space": "http://example.com/ x",
    "a space before": " http://example.com/",
    "a line break": "http://example.com/\r\nX-Header: 1",
    "a line break at the end": "http://example.com/\n",
    "a tab in the host": "http://exam\tple.com/",
    "a NUL in the host": "http://example.com\0.internal/",
    "an escape in the host": "http://%31%32%37.0.0.1/",
    "a letter of no ASCII": "http://bücher.example/",
    "a ring around a letter": "http://ⓛocalhost/",
    "wide digits": "http://１２７.0.0.1/",
    "wide dots": "http://127。0。0。1/",
    "a dot at the end": "http://localhost./",
    "a decimal number": "http://2130706433/",
    "a hexadecimal number": "http://0x7f000001/",
    "hexadecimal parts": "http://0x7f.0x0.0x0.0x1/",
    "octal parts": "http://0177.0.0.1/",
    "leading zeros": "http://127.0.0.01/",
    "few parts": "http://127.1/",
    "many parts": "http://127.0.0.1.1/",
    "a large part": "http://256.0.0.1/",
    "a name that ends in a number": "http://example.0x7f/",
    "an IPv6 address without brackets": "http://::1/",
    "brackets around IPv4": "http://[127.0.0.1]/",
    "a zone": "http://[fe80::1%25eth0]/",
    "half a bracket": "http://[::1/",
    "no IPv6 address": "http://[1::2::3]/",
    "port 0": "http://example.com:0/",
    "a large port": "http://example.com:65536/",
    "no port": "http://example.com:/",
    "a signed port": "http://example.com:+80/",
    "a long label": f"http://{'a' * 64}.example/",
    "a long address": f"http://example.com/{'a' * 1982}",
}


@pytest.mark.parametrize("url", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_what_has_more_than_one_reading_or_none_is_no_address(url):
    with pytest.raises(ValueError, match=r"."):
        read_target(url)


def test_the_longest_address():
    assert read_target(f"http://example.com/{'a' * 1981}")


# -- receivers


def test_each_caller_and_host_has_a_key_of_its_own():
    (master,) = read_secrets(SECRET)
    keys = {
        receiver_key(master, caller=caller, host=host).get_secret_value()
        for caller in (None, "reports", "vision")
        for host in ("a.example", "b.example")
    }
    assert len(keys | {master.get_secret_value()}) == 7
    assert receiver_key(master, caller="a", host="A.example") == receiver_key(
        master, caller="a", host="a.example"
    )


@pytest.mark.parametrize(("signing", "count"), [("shared", 2), ("receiver", 2), ("both", 4)])
def test_the_setting_says_which_keys_sign(signing, count):
    masters = read_secrets(f"{SECRET},{OTHER}")
    keys = signing_keys(masters, signing, caller="a", host="b.example")
    assert len(keys) == count
    assert (masters[0] in keys) == (signing != "receiver")
    assert (receiver_key(masters[1], caller="a", host="b.example") in keys) == (signing != "shared")


def test_the_command_shows_the_secret_of_a_receiver(capsys, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRETS", f"{SECRET},{OTHER}")
    main(["--caller", "reports", "--host", "Hooks.example"])
    shown = read_secrets(",".join(capsys.readouterr().out.split()))
    masters = read_secrets(f"{SECRET},{OTHER}")
    assert shown == [receiver_key(master, caller="reports", host="hooks.example") for master in masters]


@pytest.mark.parametrize(
    "arguments", [["--host", "https://a.example/"], ["--host", "a.example:80"], ["--caller", "a"]]
)
def test_a_wrong_question_for_a_secret_is_refused(arguments, capsys, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "--host" in capsys.readouterr().err


def test_the_command_reads_the_secrets_from_their_file(tmp_path, capsys, monkeypatch):
    (tmp_path / "secrets").write_text(SECRET + "\n")
    monkeypatch.setenv("WEBHOOK_SECRETS_FILE", str(tmp_path / "secrets"))
    main(["--host", "a.example"])
    from_file = capsys.readouterr().out
    monkeypatch.delenv("WEBHOOK_SECRETS_FILE")
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET)
    main(["--host", "a.example"])
    assert from_file == capsys.readouterr().out


def test_the_command_needs_the_secrets_of_the_server(capsys, monkeypatch):
    monkeypatch.delenv("WEBHOOK_SECRETS", raising=False)
    with pytest.raises(SystemExit):
        main(["--host", "a.example"])
    assert "WEBHOOK_SECRETS is empty" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["0", "65536", "http", "25;26", "-1"])
def test_a_wrong_port_is_refused(wrong, capsys, monkeypatch):
    monkeypatch.setenv("WEBHOOK_ALLOWED_PORTS", f"25,{wrong}")
    with pytest.raises(SystemExit):
        read_settings(SharedSettings)
    assert "WEBHOOK_ALLOWED_PORTS" in capsys.readouterr().err
