"""AnswerWriter: sends the head of an answer together with its body."""

import asyncio

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
JOINED_BYTES = 65_536  # of a body; to copy a larger one takes longer than a write


class AnswerWriter:
    """The transport of one answer: its head goes out with the first bytes of its body.

    uvicorn writes the two apart. Each write is a call to the system, which takes as long as half of all that
    a read of a job does besides.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None  # empty once it is sent

    def write(self, data: bytes) -> None:
        if self._head is None and data != CONTINUE:
            self._head = data
        elif not self._head:
            self._transport.write(data)
        else:
            head, self._head = self._head, b""
            if len(data) <= JOINED_BYTES:
                self._transport.write(head + data)
            else:
                self._transport.write(head)
                self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._transport.close()
