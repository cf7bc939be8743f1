"""Arguments of the command line: accepted values, and the complaint about each wrong one."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.command_line.arguments import parse

pytestmark = pytest.mark.usefixtures("plain_environment")


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("n=5", 5),
        ("n=2.5", 2.5),
        ("n=true", True),
        ("n=null", None),
        ("n=[1, 2]", [1, 2]),
        ('n={"a": {}}', {"a": {}}),
        ('n="5"', "5"),
        ("n=hello", "hello"),
        ("n=a=b", "a=b"),
        ("n=", ""),
        ("n=007", "007"),
        ("n=NaN", "NaN"),
        ("n=Infinity", "Infinity"),
        ("n={not json", "{not json"),
        ('n="@home"', "@home"),
    ],
)
def test_a_param_is_json_if_it_can_be(given: str, value: object):
    assert parse(["submit", "echo", "--param", given]).param == [("n", value)]


def test_a_param_may_come_from_a_file(tmp_path: Path):
    (tmp_path / "text").write_text("5 ü\n", "utf-8")
    assert parse(["submit", "echo", "--param", f"text=@{tmp_path}/text"]).param == [("text", "5 ü\n")]


def test_a_param_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("piped ü\r\n".encode()), "latin-1"))
    assert parse(["submit", "echo", "--param", "text=@-"]).param == [("text", "piped ü\r\n")]


def test_the_text_of_a_file_is_kept_byte_by_byte(tmp_path: Path):
    (tmp_path / "text").write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert parse(["submit", "echo", "--param", f"text=@{tmp_path}/text"]).param == [
        ("text", "\ufeffa\r\nb\rc\n")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_params_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str):
    (tmp_path / "params.json").write_text('{"text": "ü"}', encoding)
    assert parse(["submit", "echo", "--params", f"@{tmp_path}/params.json"]).params == {"text": "ü"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["submit", "sleep", "--param", "seconds=1e400"], "1e400 is too large a number"),
        (["submit", "sleep", "--param", "seconds=[-1e400]"], "-1e400 is too large a number"),
        (["submit", "sleep", "--params", '{"seconds": 1e400}'], "1e400 is too large a number"),
        (
            ["submit", "sleep", "--param", f"seconds={'7' * 5000}"],
            "77777777777777777777… is too large a number",
        ),
        (["submit", "echo", "--param", "a=\udcff"], "not UTF-8"),
        (["submit", "echo", "--param", "\udcff=a"], "not UTF-8"),
        (["submit", "echo", "--param", r'a="\ud800"'], "not UTF-8"),
        (["submit", "echo", "--params", r'{"a": ["\ud800"]}'], "not UTF-8"),
        (["submit", "echo", "--label", "a=\udcff"], "not UTF-8"),
        (["submit", "echo", "--webhook", "http://\udcff"], "not UTF-8"),
        (["submit", "\udcff"], "not UTF-8"),
        (["get", "\udcff"], "not UTF-8"),
        (["upload", "a", "--name", "\udcff"], "not UTF-8"),
        (["submit", "echo", "--param", "a=" + "[" * 100_000], "nested too deeply"),
        (["submit", "echo", "--params", '{"a":' * 100_000], "nested too deeply"),
        (["submit", "echo", "--run-at", "0001-01-01"], "not a time such as"),
        (["--url", "http://127.0.0.1:99999", "list"], "not an address such as"),
    ],
)
def test_a_value_that_no_request_can_carry_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    ["ftp://u:s3cret@a", "http://u:s3cret@a:b", "http://u:s3/cret@a:b", "u:s3cret@a"],
)
def test_the_password_in_an_address_is_not_printed(capsys: pytest.CaptureFixture[str], url: str):
    with pytest.raises(SystemExit):
        parse(["--url", url, "list"])
    assert "s3" not in capsys.readouterr().err


def test_params_may_come_from_a_file(tmp_path: Path):
    (tmp_path / "params.json").write_text('{"seconds": 2}')
    assert parse(["submit", "sleep", "--params", f"@{tmp_path}/params.json"]).params == {"seconds": 2}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "COMMAND"),
        ("fly", "invalid choice"),
        ("submit", "TYPE"),
        ("submit echo --param novalue", "not of the form name=value"),
        ("submit echo --param =5", "not of the form name=value"),
        ("submit echo --param text=@/nowhere/to/be/found", "can't be read"),
        ("submit echo --params [1]", "a JSON object is needed"),
        ("submit echo --params {", "not JSON"),
        ('submit echo --params {"a":NaN}', "NaN is not JSON"),
        ("submit echo --delay soon", "not a number of seconds"),
        ("submit echo --delay -1", "not a number of seconds"),
        ("submit echo --wait nan", "not a number of seconds"),
        ("submit echo --run-at tomorrow", "not a time such as"),
        ("submit echo --delay 1 --run-at 2026-01-01", "not allowed with"),
        ("submit echo --watch --wait 5", "not allowed with"),
        ("submit echo --idempotency-key ü", "printable ASCII"),
        ("list --limit 0", "not a whole number above zero"),
        ("list --state lost", "invalid choice"),
        ("upload", "FILE"),
        ("upload a --content-type ü", "printable ASCII"),
        ("download ID", "NAME"),
        ("logs", "ID"),
        ("logs ID --after -1", "not a whole number"),
        ("logs ID --after x", "not a whole number"),
        ("--url localhost list", "not an address such as"),
        ("--url http:// list", "not an address such as"),
        ("--url http://a:b list", "not an address such as"),
    ],
)
def test_a_wrong_argument_is_named(capsys: pytest.CaptureFixture[str], arguments: str, complaint: str):
    with pytest.raises(SystemExit) as ended:
        parse(arguments.split())
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_time_without_a_zone_is_local():
    assert parse(["submit", "echo", "--run-at", "2026-01-01T12:00"]).run_at == (
        datetime(2026, 1, 1, 12).astimezone()
    )
    assert parse(["submit", "echo", "--run-at", "2026-01-01T12:00:00Z"]).run_at == (
        datetime(2026, 1, 1, 12, tzinfo=UTC)
    )


@pytest.mark.parametrize("line", ["--url http://a --key k list", "list --url http://a --key k"])
def test_the_server_is_named_before_the_command_or_after_it(line: str):
    options = parse(line.split())
    assert (options.url, options.key) == ("http://a", "k")


def test_the_server_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    assert (parse(["list"]).url, parse(["list"]).key) == ("http://127.0.0.1:8000", None)
    monkeypatch.setenv("JOB_SERVER_URL", "http://b")
    monkeypatch.setenv("JOB_SERVER_KEY", "e")
    assert (parse(["list"]).url, parse(["list"]).key) == ("http://b", "e")
    assert parse(["--url", "http://a", "list"]).url == "http://a"
