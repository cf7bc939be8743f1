"""Headers of a request: read by their grammar, in any number of lines."""

import pytest
from starlette.requests import Request

from api.request import elements, header, list_header, name_and_value
from api.waiting import requested_wait
from shared.errors import InvalidRequest


def bringing(*lines: tuple[str, str]) -> Request:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
    return Request({"type": "http", "query_string": b"", "headers": headers})


def test_a_field_that_may_be_sent_once_is_refused_twice():
    assert header(bringing(("X", "a"), ("Y", "b")), b"y") == "b"
    assert header(bringing(("X", "a")), b"y") is None
    with pytest.raises(InvalidRequest, match="Idempotency-Key was sent more than once") as refusal:
        header(bringing(("Idempotency-Key", "a"), ("Idempotency-Key", "a")), b"idempotency-key")
    assert refusal.value.details[0]["path"] == "Idempotency-Key"


def test_several_lines_are_one_list():
    assert list_header(bringing(("X", "a"), ("Y", "z"), ("X", "b,c")), b"x") == "a, b,c"
    assert list_header(bringing(("X", "a")), b"y") is None


def test_a_list_has_an_end():
    assert list_header(bringing(("X", "a" * 4000), ("X", "b" * 4000)), b"x") is not None
    with pytest.raises(InvalidRequest, match="X is longer than 8192 bytes"):
        list_header(bringing(("X", "," * 5000), ("X", "," * 5000)), b"x")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []), (",", []), ("a", ["a"]), (" a ,\t,b, ", ["a", "b"]), ('"a,b",c', ['"a,b"', "c"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]), ('x="a,b;c",d', ['x="a,b;c"', "d"]), ('"a,b', ['"a,b']),
        ('a"', ['a"']), ("\\,a", ["\\", "a"]),
    ],
)  # fmt: skip
def test_a_list_is_split_outside_of_quotes(text, found):
    assert elements(text) == found
    assert elements(text.replace(",", ";"), ";") == [element.replace(",", ";") for element in found]


@pytest.mark.parametrize(
    ("element", "pair"),
    [
        ("a=b", ("a", "b")), ("A = b ", ("a", "b")), ("a", ("a", "")), ("a=", ("a", "")),
        ('a="b c"', ("a", "b c")), (r'a="b\"\\c"', ("a", r'b"\c')), ('a="', ("a", '"')),
        ("a=b=c", ("a", "b=c")),
    ],
)  # fmt: skip
def test_a_parameter_has_a_name_and_a_value(element, pair):
    assert name_and_value(element) == pair


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        (["wait=5"], 5), (["WAIT = 5"], 5), (['wait="5"'], 5), (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5), (["wait=5; x=y"], 5), (["wait=5", "wait=6"], 5), (["wait=61"], 60),
        (["wait=" + "9" * 5000], 60), (["wait=0"], 0), (["wait=0000000000005"], 5),
        (["wait=x, wait=5"], None), (["wait"], None),
        (['foo="a, wait=5"'], None), (["foo; wait=5"], None), (['foo="a, wait=5', "wait=6"], None),
        (["x-wait=5"], None), (["wait=5.5"], None), (["wait=-5"], None), ([""], None), ([",;,"], None),
        (["wait=²"], None), (['foo="\\"", wait=5'], 5),
    ],
)  # fmt: skip
def test_a_preference_is_the_first_of_its_name_in_the_list(lines, seconds):
    assert requested_wait(bringing(*[("Prefer", line) for line in lines])) == seconds
