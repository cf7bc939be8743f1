"""The bytes of an event stream become events, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from client.streaming import Event, EventReader

STREAM = (
    b"retry: 5\n\n: hello\n\nid: 1\ndata: {\ndata:  \xc3\xbc\xe2\x80\xa8 }\n\r\n"
    b"event: other\r\ndata\r\n\r\nid\rdata:x\r\r\n"
)
EVENTS = [Event("1", "message", "{\n ü\u2028 }"), Event("1", "other", ""), Event("", "message", "x")]


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("", "a")]),
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data: a\ndata: b\n\n", [("", "a\nb")]),
        (b"data\ndata\n\n", [("", "\n")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")]),
        (b"data: a\r\rdata: b\n\n", [("", "a"), ("", "b")]),
        (b"id: 7\ndata: a\n\ndata: b\n\n", [("7", "a"), ("7", "b")]),
        (b"data: a:b\n\n", [("", "a:b")]),
        (b": a comment\n\n:\n\n", []),
        (b"id: 7\n\n", []),
        (b"what: is this\ndata: a\n\n", [("", "a")]),
        (b"data: unfinished\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[tuple[str, str]]):
    assert [(event.id, event.data) for event in read(stream)] == events


def test_only_the_standard_ends_of_lines_end_a_line():
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"
    assert [event.data for event in read(f"data: {text}\n\n".encode())] == [text]


def test_the_last_id_is_kept_for_the_next_connection():
    reader = EventReader("4")
    assert reader.last_id == "4"
    reader.feed(b"id: 5\ndata: a\n\n")
    assert reader.last_id == "5"


def test_an_event_that_is_cut_off_is_asked_for_again():
    reader = EventReader()
    reader.feed(b"id: 5\ndata: a\n\nid: 6\ndata: b\n")
    assert reader.last_id == "5"


@given(some.lists(some.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_the_cuts_make_no_difference(cuts: list[int]):
    edges = [0, *cuts, len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


def test_byte_by_byte_it_is_the_same():
    assert read(*(bytes([byte]) for byte in STREAM)) == EVENTS
