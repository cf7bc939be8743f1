"""Connections of a worker: what they say about a Redis that is away."""

import pytest

from shared.errors import QueueUnavailable
from shared.store.client import connect
from tests.conftest import LogTape
from worker.connections import Connections

CLUSTER, SERVER = "redis+cluster://127.0.0.1:1", "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(("url", "place"), [(CLUSTER, {"shard": 3}), (SERVER, {})])
async def test_the_log_names_the_shard_that_is_away_and_back(
    url: str, place: dict[str, int], log_tape: LogTape
):
    connections = Connections(connect(url, shard=3))
    for answer in (QueueUnavailable("It is silent."), QueueUnavailable("It is silent."), None, None):
        connections.note_answer(answer)
    assert [
        {name: line[name] for name in ("event", "shard") if name in line} for line in log_tape.lines()
    ] == [
        {"event": "Redis is away; running jobs go on", **place},
        {"event": "Redis is back", **place},
    ]
    await connections.aclose()
