"""Values of the command line's arguments: text, JSON, files, times, numbers, addresses.

Each function reads one value, or raises ArgumentTypeError with a complaint for the user.
"""

import json
from argparse import ArgumentTypeError
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx

from client.command_line.standard_streams import standard_input
from client.transport import DEFAULT_URL

T = TypeVar("T")

TOO_DEEP = "the value is nested too deeply; send it flatter"


def file_text(value: str) -> str:
    """Text of a file, `@file`, with its line ends and its byte-order mark.

    Raises:
        ArgumentTypeError: the file can't be read, or is not UTF-8.
    """
    try:
        return file_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise ArgumentTypeError(f"{value[1:]} can't be read: {error}; convert it to UTF-8") from None


def file_bytes(value: str) -> bytes:
    """Bytes of a file: `@file`, or `@-` for standard input.

    Raises:
        ArgumentTypeError: the file can't be read.
    """
    try:
        return standard_input().read() if value == "@-" else Path(value[1:]).read_bytes()
    except OSError as error:
        raise ArgumentTypeError(f"{value[1:]} can't be read: {error}; name another file") from None


def text(value: str) -> str:
    """Text, even if it begins with `@`."""
    return _sendable(value)


def filled_text(value: str) -> str:
    """Text that is not empty, as an unset variable of a shell is."""
    if not value:
        raise ArgumentTypeError("the value is empty; give one, or leave the argument out")
    return _sendable(value)


def param(pair: str) -> tuple[str, Any]:
    """Name and value of a param, `name=value`: JSON if possible, or the text of `@file`, else text."""
    name, value = _pair(pair)
    if value.startswith("@"):
        return name, file_text(value)
    try:
        return name, _sendable(_json(value))
    except ValueError:
        return name, value


def params(value: str) -> dict[str, Any]:
    """All params: a JSON object, or `@file` for a file with one."""
    try:
        # Bytes may begin with a byte-order mark, and be UTF-16: some editors and shells write files so.
        found = _sendable(_json(file_bytes(value) if value.startswith("@") else value))
    except ValueError as error:
        raise ArgumentTypeError(f'not JSON: {error}; quote names and texts with "') from None
    if not isinstance(found, dict):
        raise ArgumentTypeError('a JSON object is needed, such as {"top": 5}')
    return found


def label(pair: str) -> tuple[str, str]:
    """Name and value of a label, `name=value`, both of them text."""
    return _pair(pair)


def point_in_time(value: str) -> datetime:
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


def positive_number(value: str) -> int:
    """Whole number above zero."""
    if not value.isdecimal() or int(value) == 0:
        raise ArgumentTypeError(f"{value!r} is not a whole number above zero; give one such as 20")
    return int(value)


def whole_number(value: str) -> int:
    """Whole number, zero or more."""
    if not value.isdecimal():
        raise ArgumentTypeError(f"{value!r} is not a whole number; give one such as 0")
    return int(value)


def server_url(value: str) -> str:
    """Address of a server."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 80) < 65536:
        without_password = value.rpartition("@")[2]
        raise ArgumentTypeError(f"{without_password!r} is not an address such as {DEFAULT_URL}")
    return value


def header_text(value: str) -> str:
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
        raise ArgumentTypeError("the value is not UTF-8; convert it to UTF-8") from None
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
