"""Strict JSON: unambiguous and bounded."""

import time

import orjson
import pytest

from api.strict_json import MAX_DEPTH, MAX_NUMBER, MAX_VALUES, parse
from shared.errors import InvalidRequest, MalformedJson

MALFORMED = {
    "nothing": b"",
    "spaces": b" \n",
    "half": b'{"a":',
    "two": b"{}{}",
    "comment": b"{} // x",
    "single quotes": b"{'a':1}",
    "trailing comma": b"[1,]",
    "nan": b'{"a":NaN}',
    "infinity": b'{"a":Infinity}',
    "minus infinity": b"-Infinity",
    "lone surrogate": b'{"a":"\\ud800"}',
    "lone surrogate in a name": b'{"\\udfff":1}',
    "surrogate in utf-8": b'"\xed\xa0\x80"',
    "latin-1": b'"\xfc"',
    "utf-16": '{"a":1}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "raw nul": b'"\x00"',
    "nul after": b"{}\x00",
    "leading zero": b"01",
    "plus": b"+1",
    "hex": b"0x1",
}
INVALID = {
    "nul": (b'{"a":"x\\u0000"}', "nul_character"),
    "nul in a name": (b'{"\\u0000":1}', "nul_character"),
    "large": (b"9223372036854775808", "number_too_large"),
    "small": (b"-9223372036854775809", "number_too_large"),
    "large float": (b"1e19", "number_too_large"),
    "twice": (b'{"a":1,"a":1}', "duplicate_field"),
    "twice below": (b'{"b":[{"a":1,"c":2,"a":1}]}', "duplicate_field"),
    "deep list": (b"[" * 33 + b"1" + b"]" * 33, "too_deep"),
    "deep object": (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
    "very deep list": (b"[" * 1000 + b"]" * 1000, "too_deep"),
    "very deep object": (b'{"a":' * 1000 + b"1" + b"}" * 1000, "too_deep"),
    "many": (b"[" + b"1," * MAX_VALUES + b"1]", "too_many_values"),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_not_json_is_malformed(body):
    with pytest.raises(MalformedJson):
        parse(body)


@pytest.mark.parametrize("depth", [1025, 100_000])
def test_a_bottomless_body_is_refused(depth):
    with pytest.raises(InvalidRequest):
        parse(b"[" * depth)
    with pytest.raises(InvalidRequest):
        parse(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    "number", [b"1e999", b"-1e999", b"9" * 400, b"9" * 5000, b"0." + b"9" * 5000 + b"e500"]
)
def test_an_endless_number_is_refused(number):
    with pytest.raises(InvalidRequest):
        parse(b'{"a":' + number + b"}")


@pytest.mark.parametrize(("body", "kind"), INVALID.values(), ids=INVALID)
def test_what_no_later_reader_could_take_is_invalid(body, kind):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert not isinstance(caught.value, MalformedJson)
    assert [detail["kind"] for detail in caught.value.details] == [kind]


@pytest.mark.parametrize(
    "value",
    [
        {}, [], "", "ü€😀\u007f", 0, -1, 1.5, True, None, {"": 1}, MAX_NUMBER - 1, -MAX_NUMBER,
        {"a": [{"a": 1}, {"a": 2}]}, {"text": "\x01\t\n"},
    ],
)  # fmt: skip
def test_the_rest_is_taken_as_it_is(value):
    assert parse(orjson.dumps(value)) == value


def test_the_bounds_themselves_are_taken():
    parse(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    parse(b"[" + b"1," * (MAX_VALUES - 2) + b"1]")
    with pytest.raises(InvalidRequest):
        parse(b"[" + b"1," * (MAX_VALUES - 1) + b"1]")


def test_a_field_that_occurs_twice_among_many_is_found_at_once():
    names = [f'"{n:05}":0' for n in range(12_000)]
    body = ("{" + ",".join([*names, names[-1]]) + "}").encode()
    started = time.process_time()
    with pytest.raises(InvalidRequest):
        parse(body)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(("body", "value"), [(b"2.0", 2), (b"0.0", 0), (b"1e3", 1000), (b"2.5", 2.5)])
def test_a_whole_number_is_an_integer_however_it_is_written(body, value):
    parsed = parse(body)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize("body", [b"-0.0", b"-0e0", b"-1e-400"])
def test_a_negative_zero_keeps_its_sign(body):
    assert str(parse(body)) == "-0.0"
