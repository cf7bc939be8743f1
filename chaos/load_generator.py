"""Load on the service: jobs submitted at a steady rate, whatever happens to the service."""

import time
from dataclasses import dataclass
from random import Random
from threading import Event, Thread
from types import TracebackType

import httpx

THREADS = 4


@dataclass(frozen=True, slots=True)
class SubmissionAnswer:
    """The answer to one submission, sent at `time.time()`; status 0 if there was no answer."""

    sent: float
    seconds: float
    status: int


class LoadGenerator:
    """Submits `sleep` jobs from THREADS threads within a `with` block.

    Attributes:
        accepted: the ids of the jobs that the API accepted.
        answers: every submission.
    """

    def __init__(
        self, api_url: str, *, rate: float, seconds: tuple[float, float], rng: Random, timeout: float = 10
    ) -> None:
        self.accepted: list[str] = []
        self.answers: list[SubmissionAnswer] = []
        self._url = f"{api_url}/jobs"
        self._pause = THREADS / rate
        self._seconds = seconds
        self._timeout = timeout
        self._end = Event()
        seeds = [rng.random() for _ in range(THREADS)]
        self._threads = [Thread(target=self._submit, args=(Random(seed),), daemon=True) for seed in seeds]

    def __enter__(self) -> "LoadGenerator":
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

    def wait_for_success(self, *, within: float) -> float:
        """Wait for a 202 to a submission sent from now on; returns its time, or the end of the wait."""
        since = time.time()
        while time.time() < since + within:
            found = [a.sent + a.seconds for a in self.answers if a.sent >= since and a.status == 202]
            if found:
                return min(found)
            time.sleep(0.02)
        return time.time()

    def _submit(self, rng: Random) -> None:
        due = time.monotonic() + rng.random() * self._pause
        with httpx.Client(timeout=self._timeout) as client:
            while not self._end.wait(max(0.0, due - time.monotonic())):
                due = max(due + self._pause, time.monotonic() - 1)  # catch up with a second at most
                self._call(client, round(rng.uniform(*self._seconds), 3))

    def _call(self, client: httpx.Client, seconds: float) -> None:
        sent, begin, status = time.time(), time.monotonic(), 0
        try:
            answer = client.post(self._url, json={"type": "sleep", "params": {"seconds": seconds}})
            status = answer.status_code
            if status == 202:
                self.accepted.append(answer.json()["job_id"])
        except httpx.HTTPError:
            pass
        self.answers.append(SubmissionAnswer(sent, time.monotonic() - begin, status))
