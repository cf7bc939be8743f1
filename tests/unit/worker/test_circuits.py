"""Bounds and circuit breakers of webhooks, per receiver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpcore
import pytest

from tests.unit.worker.conftest import Clock
from worker.execute import JobPostponed
from worker.webhooks import circuits as module
from worker.webhooks.circuits import FAILURES, FIRST_PAUSE, MAX_PAUSE, Circuits, RunningDelivery, current

HOST, OTHER = "slow.example", "quick.example"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "STALL_SECONDS", 0.01)
    return clock


class Deliveries:
    """Deliveries that wait for an answer, in tasks of their own."""

    def __init__(self, circuits: Circuits) -> None:
        self.circuits = circuits
        self.tasks: list[asyncio.Task[None]] = []
        self.running: list[RunningDelivery] = []

    async def start(self, host: str, address: str | None = None) -> Callable[[BaseException | None], None]:
        """Begin a delivery; the result ends it. Raises JobPostponed if it may not go."""
        begun = asyncio.get_running_loop().create_future()
        end = asyncio.get_running_loop().create_future()

        async def deliver() -> None:
            try:
                with self.circuits.delivery(host):
                    self.running.append(current.get())
                    if address:
                        self.circuits.enter_address(address)
                    begun.set_result(None)
                    await end
            except (JobPostponed, httpcore.ReadTimeout) as error:
                if not begun.done():
                    begun.set_exception(error)

        self.tasks.append(asyncio.create_task(deliver()))
        await begun
        return lambda error: end.set_exception(error) if error else end.set_result(None)

    async def stalls(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.circuits.aside < count:
                await asyncio.sleep(0.001)

    async def all_stalled(self) -> None:
        async with asyncio.timeout(5):
            while not all(delivery.stalled for delivery in self.running):
                await asyncio.sleep(0.001)

    async def time_out(self, host: str) -> None:
        """Let a delivery stall and fail."""
        before = self.circuits.aside
        end = await self.start(host)
        await self.stalls(before + 1)
        end(httpcore.ReadTimeout())
        await asyncio.wait(self.tasks)


@asynccontextmanager
async def deliveries(slots: int) -> AsyncIterator[Deliveries]:
    found = Deliveries(Circuits(slots))
    async with AsyncExitStack() as stack:
        stack.callback(lambda: [task.cancel() for task in found.tasks])
        yield found


async def test_a_receiver_without_an_answer_may_have_a_third_of_the_slots(clock):
    async with deliveries(9) as sent:
        for _ in range(3):
            await sent.start(HOST)
        with pytest.raises(JobPostponed):
            await sent.start(HOST)
        await sent.start(OTHER)


async def test_a_receiver_that_answers_quickly_may_have_all(clock):
    async with deliveries(9) as sent:
        (await sent.start(HOST))(None)
        await asyncio.wait(sent.tasks)
        for _ in range(9):
            await sent.start(HOST)


async def test_a_delivery_that_stalls_gives_its_slot_back(clock):
    room = asyncio.Event()
    async with deliveries(1) as sent:
        sent.circuits.on_room = room.set
        end = await sent.start(HOST)
        await asyncio.wait_for(room.wait(), 5)
        assert sent.circuits.aside == 1
        end(None)
        await asyncio.wait(sent.tasks)
        assert sent.circuits.aside == 0


async def test_the_room_beside_the_slots_has_a_bound_and_is_shared_when_it_is_scarce(clock):
    async with deliveries(3) as sent:
        for number in range(13):
            await sent.start(f"{number}.example")
        await sent.all_stalled()  # the thirteenth in its slot
        assert sent.circuits.aside == sent.circuits.most_aside == 12


async def test_hosts_at_one_address_share_its_bound(clock):
    async with deliveries(9) as sent:
        for number in range(3):
            await sent.start(f"{number}.example", "192.0.2.1")
        with pytest.raises(JobPostponed):
            await sent.start("3.example", "192.0.2.1")
        await sent.start("4.example", "192.0.2.2")


async def test_a_circuit_opens_lets_a_probe_through_and_closes(clock):
    async with deliveries(9) as sent:
        for _ in range(FAILURES):
            await sent.time_out(HOST)
        with pytest.raises(JobPostponed) as caught:
            await sent.start(HOST)
        assert FIRST_PAUSE <= caught.value.delay < FIRST_PAUSE + 1
        await sent.start(OTHER)
        clock.now += FIRST_PAUSE
        probe = await sent.start(HOST)
        with pytest.raises(JobPostponed):
            await sent.start(HOST)
        probe(None)
        await asyncio.sleep(0)
        await sent.start(HOST)
        await sent.start(HOST)


async def test_probes_that_fail_double_the_pause_up_to_a_bound(clock):
    async with deliveries(9) as sent:
        for _ in range(FAILURES):
            await sent.time_out(HOST)
        pause = FIRST_PAUSE
        for _ in range(8):
            clock.now += pause
            await sent.time_out(HOST)
            pause = min(2 * pause, MAX_PAUSE)
            with pytest.raises(JobPostponed) as caught:
                await sent.start(HOST)
            assert pause <= caught.value.delay < pause + 1
        assert pause == MAX_PAUSE


async def test_failures_that_come_quickly_open_no_circuit(clock):
    async with deliveries(9) as sent:
        for _ in range(2 * FAILURES):
            (await sent.start(HOST))(httpcore.ReadTimeout())
            await asyncio.wait(sent.tasks)
        await sent.start(HOST)


async def test_postponed_deliveries_return_one_by_one(clock):
    async with deliveries(3) as sent:
        await sent.start(HOST)
        delays = []
        for _ in range(100):
            with pytest.raises(JobPostponed) as caught:
                await sent.start(HOST)
            delays.append(caught.value.delay)
        assert delays[-1] - delays[0] > 98 * module.APART


async def test_receivers_are_forgotten_when_there_are_too_many(clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_RECEIVERS", 10)
    async with deliveries(9) as sent:
        end = await sent.start("kept.example")
        for number in range(50):
            (await sent.start(f"{number}.example"))(None)
            await asyncio.wait(sent.tasks[1:])
        assert len(sent.circuits._hosts) <= 10
        assert sent.circuits._hosts["kept.example"].running == 1
        end(None)
