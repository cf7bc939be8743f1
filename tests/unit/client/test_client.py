"""The two faces of the client: the same operations, connections, addresses."""

import asyncio
import inspect
from typing import Any

import httpx
import pytest

from client import AsyncClient, Client
from client.blocking import blocking
from tests.unit.client.fake_server import JOB_ID, FakeServer, job_response


def operations(face: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(face, callable) if not name.startswith("_")}


def test_both_faces_have_the_same_operations_with_the_same_arguments_and_docstrings():
    blocking, awaiting = operations(Client), operations(AsyncClient)
    assert blocking.keys() == awaiting.keys()
    for name, method in blocking.items():
        assert inspect.signature(method) == inspect.signature(awaiting[name])
        assert method.__doc__ == awaiting[name].__doc__
        assert method.__doc__


async def test_a_client_closes_its_connections_with_its_block():
    server = FakeServer(job_response(), job_response())
    with Client(transport=httpx.MockTransport(server)) as client:
        client.get(JOB_ID)
    async with AsyncClient(transport=httpx.MockTransport(server)) as awaiting:
        await awaiting.get(JOB_ID)
    with pytest.raises(RuntimeError, match="closed"):
        client.get(JOB_ID)
    with pytest.raises(RuntimeError, match="closed"):
        await awaiting.get(JOB_ID)


async def test_an_address_may_have_a_path_of_its_own():
    server = FakeServer(job_response())
    with Client("http://proxy.test/queue/", transport=httpx.MockTransport(server)) as client:
        client.get(JOB_ID)
    assert str(server.request.url) == f"http://proxy.test/queue/v1/jobs/{JOB_ID}"


def test_a_blocking_method_never_waits_for_an_event_loop():
    class Sleeps:
        async def now(self) -> None:
            await asyncio.sleep(0)

    class Face:
        _operations = Sleeps()
        now = blocking(Sleeps.now)

    with pytest.raises(RuntimeError, match="use AsyncClient"):
        Face().now()
