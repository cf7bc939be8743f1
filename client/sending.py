"""How a request reaches the server: sent again while that is safe and makes sense."""

import math
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.answers import refusal
from client.errors import JobServerError
from client.job import Job
from client.retries import IDEMPOTENCY_KEY, Retries, repeatable
from client.wire import Wire


class Sender:
    """What all operations are made of."""

    def __init__(self, wire: Wire, retries: Retries) -> None:
        self._wire = wire
        self._retries = retries

    async def _get(
        self, path: str, query: Any = None, *, hold: float = 0.0, within: float = math.inf
    ) -> bytes:
        request = self._wire.request("GET", path, params=query, hold=hold)
        return (await self._send(request, within=within)).content

    async def _delete(self, path: str) -> bytes:
        return (await self._send(self._wire.request("DELETE", path))).content

    async def _post(self, path: str, body: Any, key: str | None, *, hold: float = 0.0) -> bytes:
        headers = {IDEMPOTENCY_KEY: key or str(uuid4())}
        request = self._wire.request(
            "POST", path, params=waiting(hold), json=body, headers=headers, hold=hold
        )
        return (await self._send(request)).content

    async def _send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        within: float = math.inf,
        again: bool | None = None,
    ) -> httpx.Response:
        """The server's answer of success, asked for again while that is safe and makes sense.

        Args:
            request: a stream as its body must be readable again, unless `again` is false.
            stream: whether the body of the answer is still to come.
            within: seconds after which it is asked for no more.
            again: whether it does no harm to send the request twice; unless given, the request shows it.

        Raises:
            JobServerError: the server refuses, or it can't be reached, for good or for `within` seconds.
        """
        again = repeatable(request) if again is None else again
        start, repetition = self._wire.now(), 0
        while True:
            try:
                return await self._send_once(request, stream=stream)
            except JobServerError as error:
                spent = self._wire.now() - start
                pause = self._retries.pause(error, repetition, spent) if again else None
                if pause is None or spent + pause > within:
                    raise
            await self._wire.sleep(pause)
            repetition += 1

    async def _send_once(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        answer = await self._wire.send(request, stream=stream)
        if answer.is_success:
            return answer
        if stream:
            await self._wire.read(answer)
        raise refusal(answer)


def job_id(job: Job | str) -> str:
    return job if isinstance(job, str) else job.job_id


def job_path(job: Job | str) -> str:
    return f"/jobs/{quote(job_id(job), safe='')}"


def waiting(hold: float) -> dict[str, str]:
    return {"wait": f"{hold:.3f}"} if hold else {}
