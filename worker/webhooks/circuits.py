"""Circuit breakers and bounds of deliveries at once, per receiver, in the memory of one worker process.

A receiver that keeps its connections open and never answers would otherwise hold every slot for the whole
timeout. Three rules keep slots free for the others:

1. A delivery without an answer after `STALL_SECONDS` is stalled. Its slot is free again, and the delivery
   goes on beside the slots, up to `STALLED_PER_SLOT` of them for each slot.
2. A receiver whose last delivery was not answered quickly may use a third of the slots. Once half of the
   room for stalled deliveries is taken, it may use only one slot.
3. After `FAILURES` stalled deliveries in a row that failed, the circuit of a host opens: nothing is sent to
   it for a while, then one delivery is a probe. Each probe that fails doubles the pause.

A delivery that may not go now is postponed: it goes back to its queue, and no attempt is charged.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from shared.logging import get_log
from worker.execute import JobPostponed

STALL_SECONDS = 0.5
STALLED_PER_SLOT = 4
FAILURES = 3
FIRST_PAUSE, MAX_PAUSE = 10.0, 300.0  # seconds for which a circuit is open
SOONEST, APART = 0.25, 0.05  # seconds: until a postponed delivery returns, and between two of one receiver
MAX_RECEIVERS = 10_000  # that are remembered

log = get_log(__name__)


@dataclass(slots=True, eq=False)
class Circuit:
    """Deliveries to one receiver. Times are of the monotonic clock, in seconds.

    Attributes:
        name: the host, or the address.
        running: deliveries under way.
        stalled: those of them without an answer after `STALL_SECONDS`.
        quick: whether the last delivery that ended was answered before it stalled.
        failures: stalled deliveries in a row that failed.
        pause: how long the circuit was opened last; 0 if it is closed.
        opened_until: when a probe may be sent.
        next_return: when the next postponed delivery returns.
    """

    name: str
    running: int = 0
    stalled: int = 0
    quick: bool = False
    failures: int = 0
    pause: float = 0.0
    opened_until: float = 0.0
    next_return: float = 0.0

    def postponed(self, reason: str) -> JobPostponed:
        """The refusal of one delivery. Refused ones return one by one, so as not to fill all slots."""
        now = time.monotonic()
        earliest = max(now + SOONEST, self.opened_until)
        self.next_return = max(earliest, self.next_return + APART)
        return JobPostponed(reason, delay=self.next_return - now + random.uniform(0, APART))

    def note_success(self) -> None:
        if self.pause:
            log.info("webhook circuit closed", host=self.name)
        self.failures, self.pause, self.opened_until, self.next_return = 0, 0.0, 0.0, 0.0

    def note_failure(self) -> None:
        """Count a stalled delivery that failed; at the bound the circuit opens, or opens again."""
        self.failures += 1
        now = time.monotonic()
        if self.failures < FAILURES or now < self.opened_until:
            return
        self.pause = min(self.pause * 2 or FIRST_PAUSE, MAX_PAUSE)
        self.opened_until = now + self.pause
        log.warning("webhook circuit opened", host=self.name, seconds=self.pause, failures=self.failures)


@dataclass(slots=True, eq=False)
class RunningDelivery:
    """A delivery under way, with the circuits that count it: of its host, then of its address."""

    circuits: list[Circuit]
    stalled: bool = False
    aside: bool = False  # beside the slots


current: ContextVar[RunningDelivery] = ContextVar("delivery")


class Circuits:
    """The circuits of all receivers of this process.

    Args:
        slots: deliveries at once that are not stalled.

    Attributes:
        aside: stalled deliveries beside the slots.
        most_aside: their bound.
        on_room: called when a delivery has given its slot back.
    """

    def __init__(self, slots: int) -> None:
        self.aside = 0
        self.on_room: Callable[[], object] = lambda: None
        self._third = max(1, slots // 3)
        self.most_aside = slots * STALLED_PER_SLOT
        self._hosts: dict[str, Circuit] = {}
        self._addresses: dict[str, Circuit] = {}

    @contextmanager
    def delivery(self, host: str) -> Iterator[None]:
        """Count a delivery to a host until its end.

        The body raises for a receiver that gave no answer, and for nothing that the receiver answered.

        Raises:
            JobPostponed: the delivery may not go now.
        """
        circuit = _circuit(self._hosts, host.lower())
        self._admit(circuit)
        delivery = RunningDelivery([])
        self._enter(delivery, circuit)
        token = current.set(delivery)
        timer = asyncio.get_running_loop().call_later(STALL_SECONDS, self._stall, delivery)
        answered, postponed = False, False
        try:
            yield
            answered = True
        except (JobPostponed, asyncio.CancelledError):
            postponed = True
            raise
        finally:
            timer.cancel()
            current.reset(token)
            self._leave(delivery)
            if answered:
                circuit.note_success()
            elif delivery.stalled and not postponed:
                circuit.note_failure()
            if not postponed:
                for entered in delivery.circuits:
                    entered.quick = answered and not delivery.stalled

    def enter_address(self, address: str) -> None:
        """Count the current delivery at the address that it connects to: several hosts may share one.

        An address has a bound and no circuit: one bad host must not cut off others at a shared address.

        Raises:
            JobPostponed: too many deliveries wait for this address.
        """
        delivery = current.get(None)
        if delivery is None:
            return
        circuit = _circuit(self._addresses, address)
        if circuit not in delivery.circuits:
            self._admit(circuit)
            self._enter(delivery, circuit)

    def _admit(self, circuit: Circuit) -> None:
        if circuit.pause:
            if circuit.running or time.monotonic() < circuit.opened_until:
                raise circuit.postponed("the circuit of the host is open")
        elif circuit.running >= self._bound(circuit):
            raise circuit.postponed("enough deliveries to the receiver are under way")

    def _bound(self, circuit: Circuit) -> float:
        if circuit.quick and not circuit.stalled:
            return float("inf")
        return 1 if self.aside * 2 > self.most_aside else self._third

    def _enter(self, delivery: RunningDelivery, circuit: Circuit) -> None:
        delivery.circuits.append(circuit)
        circuit.running += 1
        circuit.stalled += delivery.stalled

    def _leave(self, delivery: RunningDelivery) -> None:
        self.aside -= delivery.aside
        for circuit in delivery.circuits:
            circuit.running -= 1
            circuit.stalled -= delivery.stalled

    def _stall(self, delivery: RunningDelivery) -> None:
        delivery.stalled = True
        for circuit in delivery.circuits:
            circuit.stalled += 1
        if self.aside < self.most_aside:
            delivery.aside = True
            self.aside += 1
            self.on_room()


def _circuit(known: dict[str, Circuit], name: str) -> Circuit:
    """The circuit of a receiver; the older half of those without deliveries makes room for new ones."""
    if name not in known and len(known) >= MAX_RECEIVERS:
        unused = [other for other, circuit in known.items() if not circuit.running]
        for other in unused[: len(unused) // 2 + 1]:
            del known[other]
    return known.setdefault(name, Circuit(name))
