"""ReplicatedSubmissions: submissions that count once replicas have them."""

import asyncio
import time
from collections.abc import Callable
from socket import SOCK_STREAM
from typing import Any

from shared.errors import QueueUnavailable
from shared.store import redis_keys
from shared.store.client import REDIS_GONE, Argument, Runner
from shared.store.multiplexer import Multiplexer
from shared.store.redis_url import Address
from shared.store.scripts import COMMIT, PREPARE, SUBMIT
from shared.store.sentinels import Sentinels

SUBMISSIONS = {word for script in (SUBMIT, PREPARE, COMMIT) for word in (script.sha, script.source)}
VIEW_SECONDS = 0.3  # the age up to which the Sentinels' view of the replicas counts
HINT = (
    "The job may be accepted. Repeat the request with the same Idempotency-Key, which makes no second job; "
    "the operator looks at the replicas if this goes on."
)


class ReplicatedSubmissions:
    """A runner that answers a submission once `least` replicas, or more, have confirmed it.

    Submissions go over a connection of their own, since a WAIT blocks its connection. Those that were
    answered since the last WAIT share the next one. Other commands go over `runner`.

    Behind Sentinels each replica counts that they take for alive: a fail-over may choose any of them, and
    one that it has chosen does not confirm the writes of the former primary any more. A replica that is
    dead counts no longer once the Sentinels say so. Nothing counts once they say that one was promoted: the
    others confirm to the former primary for a moment, and then take the data of the next one. The Sentinel
    must still take the server of the connection for the primary: once it has another one, it does not count
    that one as a replica, and the others may still follow the former primary, and confirm to it.

    Args:
        runner: for other commands.
        connection: for submissions.
        least: replicas that must confirm.
        milliseconds: the time in which they must.
        sentinels: those of the service; None without.
        on_refusal: called when too few have confirmed: the primary may be a former one. It renews all
            connections, this one too.
    """

    def __init__(
        self,
        runner: Runner,
        connection: Multiplexer,
        *,
        least: int,
        milliseconds: int,
        sentinels: Sentinels | None,
        on_refusal: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._connection = connection
        self._least = least
        self._milliseconds = milliseconds
        self._sentinels = sentinels
        self._on_refusal = on_refusal
        self._alive, self._seen_at = least, float("-inf")  # the Sentinels' view, and its time
        self._seen_by = 0  # the opening of the connection at that time
        self._next: asyncio.Task[None] | None = None  # the wait that has not begun
        self._turn = asyncio.Lock()

    async def execute_command(self, name: str, *words: Argument) -> Any:
        """The reply to a command.

        Raises:
            REDIS_GONE (one of them): as the runner does.
            QueueUnavailable: too few replicas have confirmed a submission.
        """
        if not words or words[0] not in SUBMISSIONS:
            return await self._runner.execute_command(name, *words)
        reply = await self._connection.execute_command(name, *words)
        opening = self._connection.openings
        await self._confirmed(opening)
        return reply

    def renew(self) -> None:
        """Give up the connection for submissions, which may lead to a former primary."""
        self._connection.renew()

    async def aclose(self) -> None:
        if self._next is not None:
            self._next.cancel()
        await self._connection.aclose()

    async def _confirmed(self, opening: int) -> None:
        """Wait until the replicas have all that was written so far, together with others that wait."""
        if self._next is None:
            self._next = asyncio.create_task(self._wait_in_turn(opening))
            self._next.add_done_callback(_read)
        elif opening != self._connection.openings:
            raise _unconfirmed("The connection was lost")
        await asyncio.shield(self._next)

    async def _wait_in_turn(self, opening: int) -> None:
        async with self._turn:
            self._next = None  # writes from now on may come behind the WAIT
            try:
                await self._wait(opening)
            except REDIS_GONE as error:
                raise _unconfirmed("Redis does not answer") from error

    async def _wait(self, opening: int) -> None:
        confirmed = await self._count_confirmed()
        if confirmed < await self._needed():  # also if a replica has come back meanwhile
            confirmed = await self._count_confirmed()
        if opening != self._connection.openings:
            raise _unconfirmed("The connection was lost")
        needed = await self._needed()
        if confirmed < needed:
            self._on_refusal()
            raise _unconfirmed(f"{confirmed} of {needed} replicas have confirmed the job")

    async def _count_confirmed(self) -> int:
        return await count_confirmed(self._connection, max(self._least, self._alive), self._milliseconds)

    async def _needed(self) -> int:
        return max(self._least, await self._count_alive())

    async def _count_alive(self) -> int:
        """The number of replicas that the Sentinels take for alive and in step; 0 without Sentinels."""
        if self._sentinels is None:
            return 0
        now, opening = time.monotonic(), self._connection.openings
        if now - self._seen_at > VIEW_SECONDS or opening != self._seen_by:
            view, peer = await self._sentinels.view(), self._connection.peer
            if peer is None:
                raise _unconfirmed("The connection was lost")
            if not await _leads_to(view.primary, peer):
                self._on_refusal()
                raise _unconfirmed("Another server has become the primary")
            if any(map(_is_promoted, view.replicas)):
                self._on_refusal()
                raise _unconfirmed("A fail-over is under way")
            self._alive, self._seen_at, self._seen_by = sum(map(_is_alive, view.replicas)), now, opening
        return self._alive


async def count_confirmed(connection: Runner, needed: int, milliseconds: int) -> int:
    """The number of replicas that have all that was written so far over a connection.

    A WAIT is for the writes of its own connection, and a repeated submission has written nothing: so a mark
    is written before it.
    """
    mark = connection.execute_command("HSET", redis_keys.UPKEEP, "replicated", 1)
    wait = connection.execute_command("WAIT", needed, milliseconds)
    _, confirmed = await asyncio.gather(mark, wait)
    return int(confirmed)


def _is_alive(replica: dict[str, str]) -> bool:
    """Whether a fail-over may choose the replica, or has chosen it.

    A Sentinel that has lost its connection to a replica is no sign of death: each promotion closes all
    connections of the replica that it has chosen.
    """
    flags = replica.get("flags", "").split(",")
    return "s_down" not in flags and "o_down" not in flags and replica.get("master-link-status") == "ok"


def _is_promoted(replica: dict[str, str]) -> bool:
    """Whether a fail-over has chosen the replica: then the former primary's writes are lost.

    Only the Sentinel that leads the fail-over sets the flag; the others see another role at their next look.
    A former primary, which also says for some seconds that it is one, was no replica before.
    """
    promoted = "promoted" in replica.get("flags", "").split(",")
    return promoted or (replica.get("role-reported"), replica.get("master-link-status")) == ("master", "ok")


async def _leads_to(address: Address, peer: tuple[str, int]) -> bool:
    """Whether a connection with this peer leads to the server with this address, whose host may be a name."""
    found = await asyncio.get_running_loop().getaddrinfo(*address, type=SOCK_STREAM)
    return any(place[:2] == peer for *_, place in found)


def _unconfirmed(reason: str) -> QueueUnavailable:
    return QueueUnavailable(f"{reason}: it may be lost in a fail-over.", hint=HINT)


def _read(task: "asyncio.Task[None]") -> None:
    """Read the error of a wait whose callers have gone, or asyncio logs it."""
    if not task.cancelled():
        task.exception()
