"""Submissions that count once replicas have them: who must confirm, and how long that is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from dev.stack import PATIENCE
from shared.errors import QueueUnavailable
from shared.store.client import connect, sentinels_of
from shared.store.multiplexer import Multiplexer
from shared.store.replicated_writes import ReplicatedSubmissions
from shared.store.scripts import READ, SUBMIT
from tests.integration.echo_server import until
from tests.integration.redis_double import RedisDouble, Reply, ServiceDouble, replica, serving

MILLISECONDS = 50


class Bench:
    """Submissions to a primary behind one Sentinel, all of them doubles.

    Attributes:
        refusals: the number of calls of `on_refusal`.
    """

    def __init__(self, service: ServiceDouble, server: RedisDouble, sentinel: RedisDouble) -> None:
        self.service, self.server = service, server
        self.refusals = 0
        service.primary = server.port
        client = connect(f"redis+sentinel://127.0.0.1:{sentinel.port}/jobs")
        self.runner = Multiplexer(client)
        self.connection = Multiplexer(client, timeout=0.3)
        self.submissions = ReplicatedSubmissions(
            self.runner,
            self.connection,
            least=1,
            milliseconds=MILLISECONDS,
            sentinels=sentinels_of(client),
            on_refusal=self._refuse,
        )

    async def submit(self) -> object:
        async with asyncio.timeout(PATIENCE):
            return await self.submissions.execute_command("EVALSHA", SUBMIT.sha, 0)

    @property
    def waits(self) -> list[list[str]]:
        return [words for name, *words in self.server.commands if name == "WAIT"]

    @property
    def awaited(self) -> int:
        """The number of replies that the connection for submissions waits for."""
        current = self.connection._current
        return 0 if current is None else len(current._replies)

    async def aclose(self) -> None:
        await self.submissions.aclose()
        await self.runner.aclose()

    def _refuse(self) -> None:
        self.refusals += 1
        self.submissions.renew()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    service = ServiceDouble()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(service.answer_of_server))
        sentinel = await stack.enter_async_context(serving(service.answer_of_sentinel))
        bench = Bench(service, server, sentinel)
        yield bench
        await bench.aclose()


async def refused(bench: Bench) -> QueueUnavailable:
    with pytest.raises(QueueUnavailable) as caught:
        await bench.submit()
    assert caught.value.retryable
    assert "Idempotency-Key" in caught.value.hint
    return caught.value


async def test_a_submission_is_answered_once_all_living_replicas_have_it(bench: Bench):
    await bench.submit()
    assert await bench.submit() == [b"done", []]
    assert bench.waits[-1] == ["2", str(MILLISECONDS)]
    assert bench.refusals == 0


async def test_a_mark_is_written_before_each_wait(bench: Bench):
    """WAIT counts the writes of its own connection, and a repeated submission has written nothing."""
    await bench.submit()
    names = [name for name, *_ in bench.server.commands if name in ("EVALSHA", "HSET", "WAIT")]
    assert names[:3] == ["EVALSHA", "HSET", "WAIT"]


async def test_too_few_confirmations_are_refused(bench: Bench):
    bench.service.confirming = 1
    assert "1 of 2 replicas have confirmed" in (await refused(bench)).message
    assert bench.refusals == 1
    bench.service.confirming = 2
    assert await bench.submit()


@pytest.mark.parametrize("flags", ["s_down,slave,disconnected", "slave,o_down"])
async def test_a_replica_that_the_sentinels_take_for_dead_does_not_count(bench: Bench, flags: str):
    bench.service.replicas = [replica(), replica(flags=flags)]
    bench.service.confirming = 1
    assert await bench.submit()


async def test_a_replica_that_is_not_in_step_does_not_count(bench: Bench):
    bench.service.replicas = [replica(), replica(link="err")]
    bench.service.confirming = 1
    assert await bench.submit()


async def test_a_replica_that_a_sentinel_has_lost_sight_of_must_confirm(bench: Bench):
    """A promotion closes the Sentinels' connections to the replica that it has chosen."""
    bench.service.replicas = [replica(), replica(flags="slave,disconnected")]
    bench.service.confirming = 1
    assert "1 of 2 replicas have confirmed" in (await refused(bench)).message


@pytest.mark.parametrize(
    "chosen",
    [
        replica(flags="slave,promoted", link="err"),
        replica(flags="slave,disconnected,promoted"),
        replica(role="master"),
    ],
)
async def test_nothing_is_confirmed_once_a_replica_was_promoted(bench: Bench, chosen: list[Reply]):
    bench.service.replicas = [replica(), chosen]
    assert "A fail-over is under way" in (await refused(bench)).message
    assert bench.refusals == 1


async def test_a_former_primary_that_does_not_follow_yet_holds_up_nothing(bench: Bench):
    bench.service.replicas = [replica(), replica(link="err", role="master")]
    bench.service.confirming = 1
    assert await bench.submit()


async def test_with_all_replicas_dead_the_least_number_must_still_confirm(bench: Bench):
    bench.service.replicas = [replica(flags="s_down,slave")]
    bench.service.confirming = 0
    assert "0 of 1 replicas have confirmed" in (await refused(bench)).message


async def test_a_confirmation_to_a_former_primary_does_not_count(bench: Bench):
    """The Sentinel has the new primary already; its one replica still follows the former one."""
    bench.service.replicas = [replica()]
    bench.service.confirming = 1
    await bench.submit()
    async with serving(bench.service.answer_of_server) as other:
        bench.submissions._seen_at = float("-inf")  # the view is old
        bench.service.primary = other.port
        assert "Another server has become the primary" in (await refused(bench)).message
        assert bench.refusals == 1
        assert await bench.submit()
        assert [name for name, *_ in other.commands if name == "WAIT"]


async def test_the_view_of_a_former_primarys_replicas_does_not_count_for_the_next_one(bench: Bench):
    bench.service.replicas = [replica()]
    bench.service.confirming = 1
    await bench.submit()
    bench.service.replicas = [replica(), replica()]
    bench.submissions.renew()
    assert "1 of 2 replicas" in (await refused(bench)).message


async def test_submissions_that_come_during_a_wait_share_the_next_one(bench: Bench):
    await bench.submit()
    before = len(bench.waits)
    bench.server.held = {"WAIT"}
    first = asyncio.create_task(bench.submit())
    await until(lambda: len(bench.waits) == before + 1)
    others = [asyncio.create_task(bench.submit()) for _ in range(20)]
    await until(lambda: bench.awaited == 21)
    bench.server.may_answer.set()
    assert await asyncio.gather(first, *others) == [[b"done", []]] * 21
    assert len(bench.waits) == before + 2


async def test_a_server_that_answers_no_wait_is_not_waited_for_without_end(bench: Bench):
    bench.server.held = {"WAIT"}
    assert "Redis does not answer" in (await refused(bench)).message


@pytest.mark.parametrize(
    "error", ["READONLY You can't write against a read only replica.", "UNBLOCKED force"]
)
async def test_an_error_of_a_server_that_is_no_primary_any_more_refuses_and_leads_to_another_connection(
    bench: Bench, error: str
):
    await bench.submit()
    openings = bench.connection.openings
    bench.service.errors = [Exception(error)]
    assert "The connection was lost" in (await refused(bench)).message
    assert bench.connection.openings > openings
    assert await bench.submit()


async def test_a_user_without_the_right_to_wait_is_told_so(bench: Bench):
    bench.service.errors = [Exception("NOPERM this user has no permissions to run the 'wait' command")] * 2
    assert "Redis does not answer" in (await refused(bench)).message


async def test_other_commands_wait_for_no_replica(bench: Bench):
    bench.service.confirming = 0
    await bench.submissions.execute_command("EVALSHA", READ.sha, 0)
    assert bench.waits == []


async def test_a_cancelled_caller_leaves_the_others_alone(bench: Bench):
    bench.server.held = {"WAIT"}
    first = asyncio.create_task(bench.submit())
    second = asyncio.create_task(bench.submit())
    await until(lambda: bench.waits)
    first.cancel()
    bench.server.may_answer.set()
    assert await second == [b"done", []]
