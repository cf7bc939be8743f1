"""A client that submits jobs at a steady rate, whatever happens to the service."""

import time
from dataclasses import dataclass
from random import Random
from threading import Event, Thread
from types import TracebackType

import httpx

THREADS = 4


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: when it was sent, in `time.time()`, how long it took, and what came back; 0 for nothing."""

    sent: float
    seconds: float
    status: int


class Load:
    """Submits `sleep` jobs from some threads within a `with` block.

    Attributes:
        accepted: ids of the jobs that the API acknowledged.
        answers: every call.
    """

    def __init__(
        self, api_url: str, *, rate: float, seconds: tuple[float, float], chance: Random, timeout: float = 10
    ) -> None:
        self.accepted: list[str] = []
        self.answers: list[Answer] = []
        self._url = f"{api_url}/jobs"
        self._pause = THREADS / rate
        self._seconds = seconds
        self._timeout = timeout
        self._end = Event()
        seeds = [chance.random() for _ in range(THREADS)]
        self._threads = [Thread(target=self._submit, args=(Random(seed),), daemon=True) for seed in seeds]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=self._timeout + 1)

    @property
    def refused(self) -> int:
        return sum(answer.status != 202 for answer in self.answers)

    def first_success(self, since: float) -> float | None:
        """When the first call was answered well that was sent after a moment."""
        found = [a.sent + a.seconds for a in self.answers if a.sent >= since and a.status == 202]
        return min(found, default=None)

    def _submit(self, chance: Random) -> None:
        due = time.monotonic() + chance.random() * self._pause
        with httpx.Client(timeout=self._timeout) as client:
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._pause, time.monotonic() - 1)  # catch up with a second at most
                self._call(client, round(chance.uniform(*self._seconds), 3))

    def _call(self, client: httpx.Client, seconds: float) -> None:
        sent, begin, status = time.time(), time.monotonic(), 0
        try:
            answer = client.post(self._url, json={"type": "sleep", "params": {"seconds": seconds}})
            status = answer.status_code
            if status == 202:
                self.accepted.append(answer.json()["job_id"])
        except httpx.HTTPError:
            pass
        self.answers.append(Answer(sent, time.monotonic() - begin, status))
