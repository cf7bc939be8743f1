"""Large answers, and readers that are slow to take them."""

import asyncio

import pytest
from starlette.types import ASGIApp

from api.error_envelope import ErrorEnvelope
from api.middleware.large_answers import LARGE, PIECE, AnswerDropped, LargeAnswers
from api.middleware.request_context import RequestContext
from tests.unit.api.small_server import serving, until

BODY = b"x" * (LARGE + 1)


class Reader:
    """A client that takes messages while `reads` is set."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: dict) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body":
            await self.reads.wait()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


async def test_a_large_body_arrives_in_pieces():
    reader = Reader()
    await LargeAnswers().send({"type": "http.response.body", "body": BODY}, reader.send)
    assert reader.body == BODY
    assert max(len(message["body"]) for message in reader.messages) == PIECE
    assert [message["more_body"] for message in reader.messages] == [True] * 4 + [False]


async def test_a_stream_stays_open_after_a_large_event():
    reader = Reader()
    await LargeAnswers().send({"type": "http.response.body", "body": BODY, "more_body": True}, reader.send)
    assert all(message["more_body"] for message in reader.messages)


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_reader_that_stalls_is_disconnected_and_its_room_is_free_again(http):
    layers: list[RequestContext] = []

    def layer(app: ASGIApp) -> RequestContext:
        layers.append(RequestContext(app))
        return layers[0]

    async with serving(http, layer, stalled_seconds=0.1) as server:
        client = await server.connect()
        await client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        large = layers[0]._large
        await until(lambda: not large.has_room(large._most))
        await until(lambda: large.has_room(large._most) and not len(server.connections))


async def test_there_is_room_for_so_much_and_always_for_one():
    answers, reader = LargeAnswers(most=len(BODY)), Reader()
    reader.reads.clear()
    assert answers.has_room(10 * len(BODY))
    async with asyncio.TaskGroup() as group:
        group.create_task(answers.send({"type": "http.response.body", "body": BODY}, reader.send))
        await asyncio.sleep(0)
        assert not answers.has_room(1)
        with pytest.raises(AnswerDropped, match="no room"):
            await answers.send({"type": "http.response.body", "body": BODY}, Reader().send)
        reader.reads.set()
    assert answers.has_room(1)


async def test_an_answer_without_room_is_refused_whole():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BODY})

    middleware = RequestContext(app)
    middleware._large = LargeAnswers(most=len(BODY))
    scope = {"type": "http", "headers": [], "method": "GET", "path": "/jobs"}
    slow, other = Reader(), Reader()
    slow.reads.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(middleware(scope, None, slow.send))
        await asyncio.sleep(0)
        await middleware(scope, None, other.send)
        slow.reads.set()
    assert slow.body == BODY
    envelope = ErrorEnvelope.model_validate_json(other.body)
    assert (other.messages[0]["status"], envelope.code, envelope.retryable) == (503, "server_busy", True)
    assert dict(other.messages[0]["headers"])[b"retry-after"] == b"1"
