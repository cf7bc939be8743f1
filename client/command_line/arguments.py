"""Arguments of the command line: the types of their values, and the parser."""

import json
import os
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx

from client.command_line.standard_streams import standard_input
from client.transport import DEFAULT_URL

T = TypeVar("T")

TOO_DEEP = "the value is nested too deeply; send it flatter"
STATES = ("pending", "running", "completed", "failed", "cancelled")
EPILOG = """\
exit codes:
  0    success; with --watch or --wait: the job is completed
  1    the job failed or was cancelled
  2    the arguments or the environment are wrong, or a file can't be read or written
  3    the server refused, or did not answer in time
  130  interrupted; a submitted job goes on
"""


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Parse the arguments; the attribute `command` of the namespace is the name of the command.

    Raises:
        SystemExit: with code 2 for wrong arguments, with 0 after --help.
    """
    return _parser().parse_args(arguments)


# -- types of values


def text(value: str) -> str:
    """Text, or with `@file` the text of a file, with its line ends and its byte-order mark.

    Raises:
        ArgumentTypeError: the file can't be read, or is not UTF-8.
    """
    if not value.startswith("@"):
        return word(value)
    try:
        return content(value).decode()
    except UnicodeDecodeError as error:
        raise ArgumentTypeError(f"{value[1:]} can't be read: {error}; convert it to UTF-8") from None


def content(value: str) -> bytes:
    """Bytes of a file: `@file`, or `@-` for standard input.

    Raises:
        ArgumentTypeError: the file can't be read.
    """
    try:
        return standard_input().read() if value == "@-" else Path(value[1:]).read_bytes()
    except OSError as error:
        raise ArgumentTypeError(f"{value[1:]} can't be read: {error}; name another file") from None


def word(value: str) -> str:
    """Text, never a file."""
    return _sendable(value)


def param(pair: str) -> tuple[str, Any]:
    """Name and value of a param, `name=value`: JSON if possible, or the text of `@file`, else text."""
    name, value = _pair(pair)
    if value.startswith("@"):
        return name, text(value)
    try:
        return name, _sendable(_json(value))
    except ValueError:
        return name, value


def params(value: str) -> dict[str, Any]:
    """All params: a JSON object, or `@file` for a file with one."""
    try:
        # Bytes may begin with a byte-order mark, and be UTF-16: some editors and shells write files so.
        found = _sendable(_json(content(value) if value.startswith("@") else value))
    except ValueError as error:
        raise ArgumentTypeError(f'not JSON: {error}; quote names and texts with "') from None
    if not isinstance(found, dict):
        raise ArgumentTypeError('a JSON object is needed, such as {"top": 5}')
    return found


def label(pair: str) -> tuple[str, str]:
    """Name and value of a label, `name=value`, both of them text."""
    return _pair(pair)


def moment(value: str) -> datetime:
    """A time such as 2026-01-01T12:00:00Z; without a time zone it is local."""
    try:
        return datetime.fromisoformat(value).astimezone()
    except (ValueError, OverflowError, OSError):
        raise ArgumentTypeError(f"{value!r} is not a time such as 2026-01-01T12:00:00Z") from None


def seconds(value: str) -> float:
    """Number of seconds, zero or more."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < inf:
        raise ArgumentTypeError(f"{value!r} is not a number of seconds such as 2.5")
    return number


def count(value: str) -> int:
    """Whole number above zero."""
    if not value.isdecimal() or int(value) == 0:
        raise ArgumentTypeError(f"{value!r} is not a whole number above zero; give one such as 20")
    return int(value)


def number(value: str) -> int:
    """Whole number, zero or more."""
    if not value.isdecimal():
        raise ArgumentTypeError(f"{value!r} is not a whole number; give one such as 0")
    return int(value)


def address(value: str) -> str:
    """Address of a server."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 80) < 65536:
        without_password = value.rpartition("@")[2]
        raise ArgumentTypeError(f"{without_password!r} is not an address such as {DEFAULT_URL}")
    return value


def header(value: str) -> str:
    """Text for an HTTP header."""
    if not value.isascii() or not value.isprintable():
        raise ArgumentTypeError("only printable ASCII is allowed here; leave out all other letters")
    return value


def _pair(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{pair!r} is not of the form name=value, such as top=5")
    return _sendable(name), _sendable(value)


def _sendable(value: T) -> T:
    """Return a value that a request can carry.

    Raises:
        ArgumentTypeError: the value is not Unicode, as with an argument in another encoding than UTF-8.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(
            "the value is not UTF-8; convert it, or put it into a file of bytes"
        ) from None
    except RecursionError:
        raise ArgumentTypeError(TOO_DEEP) from None
    return value


def _json(value: str | bytes) -> Any:
    try:
        return json.loads(value, parse_constant=_refuse_constant, parse_int=_whole, parse_float=_real)
    except RecursionError:
        raise ArgumentTypeError(TOO_DEEP) from None


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ArgumentTypeError(f"{digits[:20]}… is too large a number; write it in quotes") from None


def _real(digits: str) -> float:
    value = float(digits)
    if abs(value) == inf:
        raise ArgumentTypeError(f"{digits[:20]} is too large a number; write a smaller one")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# -- the parser


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m client",
        parents=[_connection()],
        description="Submit jobs to a job server, and follow them to their results.",
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(
        url=os.environ.get("JOB_SERVER_URL") or DEFAULT_URL,
        key=os.environ.get("JOB_SERVER_KEY") or None,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, add_arguments) in COMMANDS.items():
        command = commands.add_parser(name, parents=[_connection()], help=summary, allow_abbrev=False)
        add_arguments(command)
    return parser


def _connection() -> ArgumentParser:
    """Options before or after the command; a new parser at each call, for each has its own defaults."""
    connection = ArgumentParser(add_help=False, argument_default=SUPPRESS)
    add = connection.add_argument
    add("--url", type=address, help=f"the server; JOB_SERVER_URL unless given, or {DEFAULT_URL}")
    add("--key", type=header, help="your API key; JOB_SERVER_KEY unless given, which is harder to spy out")
    return connection


def _add_submit(command: ArgumentParser) -> None:
    add = command.add_argument
    add("type", type=word, metavar="TYPE", help="the job type")
    add(
        "--param",
        type=param,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one of the params, JSON if possible, else text; @FILE for the text of a file, @- for stdin",
    )
    add("--params", type=params, default={}, metavar="JSON", help="all params, as an object; or @FILE")
    add(
        "--label",
        type=label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a label to find the job by",
    )
    start = command.add_mutually_exclusive_group()
    start.add_argument("--delay", type=seconds, metavar="S", help="start the job in S seconds")
    start.add_argument(
        "--run-at",
        type=moment,
        metavar="TIME",
        help="start the job then: 2026-01-01T12:00:00Z; local time without a zone",
    )
    add("--start-within", type=seconds, metavar="S", help="fail the job unless it starts in S seconds")
    add("--webhook", type=word, metavar="URL", help="POST the record there when the job is done")
    add(
        "--idempotency-key",
        type=header,
        metavar="KEY",
        help="a second submission with the same key is the same job",
    )
    _add_following(command)


def _add_following(command: ArgumentParser) -> None:
    following = command.add_mutually_exclusive_group()
    following.add_argument(
        "--watch", action="store_true", help="show the job's progress, then print its result"
    )
    following.add_argument("--wait", type=seconds, metavar="S", help="wait S seconds for the job's result")


def _add_id(command: ArgumentParser) -> None:
    command.add_argument("job_id", type=word, metavar="ID", help="the id of the job")


def _add_retry(command: ArgumentParser) -> None:
    _add_id(command)
    _add_following(command)


def _add_list(command: ArgumentParser) -> None:
    add = command.add_argument
    add("--state", choices=STATES, help="only jobs in this state")
    add("--type", type=word, metavar="TYPE", help="only jobs of this type")
    add(
        "--label",
        type=label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="only jobs with this label",
    )
    add("--limit", type=count, default=20, metavar="N", help="at most N jobs (20)")
    add("--json", action="store_true", help="print the records, one a line")


def _add_logs(command: ArgumentParser) -> None:
    _add_id(command)
    add = command.add_argument
    add("--follow", action="store_true", help="print later lines too, until the job is done")
    add("--after", type=number, default=0, metavar="N", help="only lines after the line N")
    add("--json", action="store_true", help="for programs: print one object a line")


def _add_upload(command: ArgumentParser) -> None:
    add = command.add_argument
    add("file", metavar="FILE", help="the file, or - for standard input")
    add("--name", type=word, help="the file's name; its name here unless given")
    add(
        "--content-type",
        type=header,
        metavar="TYPE",
        help="the media type; guessed from the name unless given",
    )


def _add_download(command: ArgumentParser) -> None:
    _add_id(command)
    add = command.add_argument
    add("name", type=word, metavar="NAME", help="the name of the artifact")
    add(
        "--to", default=".", metavar="PATH", help="where to save the artifact: a file, or a folder (this one)"
    )


COMMANDS: dict[str, tuple[str, Callable[[ArgumentParser], None]]] = {
    "submit": ("submit a job", _add_submit),
    "get": ("print the record of a job", _add_id),
    "list": ("list jobs, newest first", _add_list),
    "cancel": ("cancel a job", _add_id),
    "retry": ("submit a finished job again", _add_retry),
    "logs": ("print the log of a job", _add_logs),
    "upload": ("upload a file for jobs; prints its id", _add_upload),
    "download": ("save an artifact of a job", _add_download),
}
