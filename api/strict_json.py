"""Strict JSON: unambiguous, bounded, and readable by every later parser."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from shared.errors import InvalidRequest, MalformedJson

MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_NUMBER = 2**63


def parse(body: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Parse a JSON text; a whole number becomes an int, however it is written, but for -0.0.

    Raises:
        MalformedJson: the text is not JSON (RFC 8259) in UTF-8; NaN, Infinity and lone surrogates are not.
        InvalidRequest: a field occurs twice, the value is nested deeper than 32 levels, has more than
            `max_values` values, a NUL character or a number beyond ±2^63.
    """
    if not body.strip():
        raise MalformedJson("The body is empty.")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"The body is not valid JSON: {error}.") from None
    try:
        value = DECODER.decode(body.decode())
    except RecursionError:
        _refuse("", f"The body is nested deeper than {MAX_DEPTH} levels.", "too_deep")
    except ValueError:  # a number with more digits than Python reads (4,300)
        _refuse("", "Numbers must lie within ±2^63.", "number_too_large")
    _check(value, max_values)
    return value


@dataclass(frozen=True, slots=True)
class _Ambiguous:
    """Mark in place of an object in which a field occurs more than once."""

    field: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Ambiguous:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
    return _Ambiguous(twice)


def _number(text: str) -> int | float:
    """Read a number: 2.0 is an integer, as in JSON Schema; -0.0 stays a float, which keeps its sign."""
    value = float(text)
    return int(value) if value.is_integer() and (value or text[0] != "-") else value


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_number)  # json.loads would make one a call


def _path_to(wanted: _Ambiguous, root: Any) -> str:
    """The path of the field that occurs twice, such as `params.message`."""
    places: list[tuple[str, Any]] = [("", root)]
    while places:
        path, value = places.pop()
        if value is wanted:
            return f"{path}{wanted.field}"
        if isinstance(value, dict):
            places += [(f"{path}{name}.", inner) for name, inner in value.items()]
        elif isinstance(value, list):
            places += [(f"{path}{n}.", inner) for n, inner in enumerate(value)]
    return wanted.field


def _check(root: Any, max_values: int) -> None:
    """Walk the value level by level, with bounds on depth and on the number of values."""
    level, depth, nodes = [root], 0, 0
    while level:
        depth += 1
        nodes += len(level)
        if depth > MAX_DEPTH + 1:
            _refuse("", f"The body is nested deeper than {MAX_DEPTH} levels.", "too_deep")
        if nodes > max_values:
            _refuse("", f"The body has more than {max_values} values.", "too_many_values")
        deeper: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                for name in value:
                    _check_text(name)
                deeper.extend(value.values())
            elif kind is list:
                deeper.extend(value)
            elif kind is str:
                _check_text(value)
            elif kind is _Ambiguous:
                path = _path_to(value, root)[:200]
                _refuse(path, "The field occurs more than once.", "duplicate_field")
            elif (kind is int or kind is float) and not -MAX_NUMBER <= value < MAX_NUMBER:
                _refuse("", "Numbers must lie within ±2^63.", "number_too_large")
        level = deeper


def _check_text(text: str) -> None:
    if "\0" in text:
        _refuse("", "Text must not hold NUL characters.", "nul_character")


def _refuse(path: str, message: str, kind: str) -> NoReturn:
    raise InvalidRequest(message, details=[{"path": path, "message": message, "kind": kind}])
