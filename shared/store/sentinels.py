"""Sentinels: the servers that name the primary of a service, and say when that changes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.store.connections import REDIS_GONE, TcpConnection, TlsConnection
from shared.store.redis_url import Address, RedisUrl

ASK_SECONDS = 0.5  # for the answer of a Sentinel
OPENING_SECONDS = 1.5  # for a connection to the primary; a frozen one still accepts connections
PAUSE_SECONDS = 0.5  # before a Sentinel that was lost is heard again
SILENCE_SECONDS = 5.0  # after which a Sentinel is asked whether it lives
PRIMARY = "GET-MASTER-ADDR-BY-NAME"
SWITCHED = "+switch-master"


class View(NamedTuple):
    """The servers of a service as one Sentinel sees them.

    Attributes:
        primary: the address of the primary; at the end of a fail-over that of the new one.
        replicas: the fields of each replica.
    """

    primary: Address
    replicas: list[dict[str, str]]


class UnknownService(RedisConnectionError):
    """No Sentinel that answers knows the service."""


class Sentinels:
    """The Sentinels of a service, which are asked all at once: the first good answer counts.

    So a dead Sentinel holds up nothing.

    Args:
        url: names them.
        options: those of connections with TLS.
    """

    def __init__(self, url: RedisUrl, options: dict[str, Any]) -> None:
        self.service = url.service
        self._addresses = url.sentinels
        self._kind = TlsConnection if url.tls else TcpConnection
        self._options = {
            **options,
            "username": url.sentinel_user,
            "password": url.sentinel_password,
            "socket_timeout": ASK_SECONDS,
            "socket_connect_timeout": ASK_SECONDS,
            "encoding": "utf-8",
            "encoding_errors": "replace",  # names of other services are of no use
            "decode_responses": True,
        }

    async def primary(self) -> Address:
        """The address of the primary.

        Raises:
            UnknownService: the Sentinels that answer do not know the service.
            AuthenticationError: they refuse user or password.
            RedisConnectionError: no Sentinel answers.
        """
        [primary] = await self._first(PRIMARY)
        return _address(primary)

    async def view(self) -> View:
        """Primary and replicas, both by the word of one Sentinel. Raises the errors of `primary`."""
        primary, replicas = await self._first(PRIMARY, "REPLICAS")
        return View(
            _address(primary), [dict(zip(words[::2], words[1::2], strict=True)) for words in replicas]
        )

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Call back whenever a Sentinel learns of another primary, until cancelled.

        The former primary may live, and takes writes for some seconds that are lost.
        """
        async with asyncio.TaskGroup() as group:
            for address in self._addresses:
                group.create_task(self._hear(address, on_change))

    async def _hear(self, address: Address, on_change: Callable[[], None]) -> None:
        while True:
            with suppress(*REDIS_GONE):
                await self._hear_once(address, on_change)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hear_once(self, address: Address, on_change: Callable[[], None]) -> None:
        connection = self._connection(address)
        try:
            async with asyncio.timeout(2 * ASK_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("SUBSCRIBE", SWITCHED)
            asked = False
            while True:
                message = await connection.read_response(timeout=SILENCE_SECONDS)
                if message is None and asked:
                    return  # it has died in silence
                if message is None:
                    await connection.send_command("PING")
                elif message[0] == "message" and message[2].split(" ")[0] == self.service:
                    on_change()
                asked = message is None
        finally:
            await connection.disconnect(nowait=True)

    async def _first(self, *commands: str) -> list[Any]:
        """The answers of the first Sentinel that has them."""
        asked = [asyncio.create_task(self._ask(address, commands)) for address in self._addresses]
        failure: Exception = RedisConnectionError("No Sentinel answers; is one of REDIS_URL running?")
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    found = await answer
                except UnknownService as error:
                    failure = error
                except AuthenticationError as error:
                    failure = failure if isinstance(failure, UnknownService) else error
                except REDIS_GONE:
                    continue
                else:
                    return found
            raise failure
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, address: Address, commands: tuple[str, ...]) -> list[Any]:
        connection = self._connection(address)
        try:
            async with asyncio.timeout(2 * ASK_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
                answers = []
                for command in commands:
                    await connection.send_command("SENTINEL", command, self.service)
                    answers.append(await connection.read_response())
        except ResponseError as error:
            if "No such master" in str(error):
                raise UnknownService(str(error)) from error
            raise
        finally:
            await connection.disconnect(nowait=True)
        if None in answers:
            raise UnknownService(f"The Sentinels do not know the service {self.service!r}.")
        return answers

    def _connection(self, address: Address) -> AbstractConnection:
        return self._kind(host=address[0], port=address[1], **self._options)


def _address(words: list[str]) -> Address:
    host, port = words
    return host, int(port)


class PrimaryConnection(TcpConnection):
    """A connection to the server that the Sentinels name when it opens."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def connect(self) -> None:
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                await super().connect()  # type: ignore[no-untyped-call]
        except TimeoutError:
            self._close()  # type: ignore[no-untyped-call]
            raise

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call]


class TlsPrimaryConnection(PrimaryConnection, TlsConnection):
    """The same with TLS."""
