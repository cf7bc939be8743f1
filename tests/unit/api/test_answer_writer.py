"""The writes of one answer: its head with the first bytes of its body."""

from typing import Any, cast

import pytest

from api.server.answer_writer import CONTINUE, JOINED_BYTES, AnswerWriter

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LARGE = b"x" * (JOINED_BYTES + 1)


class FakeTransport:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return b"closed" in self.writes

    def close(self) -> None:
        self.writes.append(b"closed")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ([HEAD], []),  # until the body begins
        ([HEAD, b"body"], [HEAD + b"body"]),
        ([HEAD, b""], [HEAD]),
        ([HEAD, b"a", b"b", HEAD], [HEAD + b"a", b"b", HEAD]),
        ([HEAD, LARGE], [HEAD, LARGE]),
        ([CONTINUE, HEAD, b"body"], [CONTINUE, HEAD + b"body"]),
    ],
)
def test_the_head_goes_with_the_first_bytes_of_the_body(written: list[bytes], sent: list[bytes]):
    transport = FakeTransport()
    writer = AnswerWriter(cast(Any, transport))
    for data in written:
        writer.write(data)
    assert transport.writes == sent


def test_a_head_without_a_body_goes_out_before_the_end():
    transport = FakeTransport()
    writer = AnswerWriter(cast(Any, transport))
    writer.write(HEAD)
    assert not writer.is_closing()
    writer.close()
    assert (transport.writes, writer.is_closing()) == ([HEAD, b"closed"], True)
