"""Jobs submitted at times fixed by a clock, each again and again until the API accepts it."""

import asyncio
import json
import time
from dataclasses import dataclass
from math import inf
from random import Random

from chaos.open_loop import Connections, OpenLoop

REPEAT_SECONDS = (1.0, 2.0, 4.0)  # before each repeat, the last for all further ones
ACCEPTED = 202


@dataclass(slots=True)
class Submission:
    """A job to submit, and what became of it. Times are those of `time.time()`.

    Attributes:
        sent: the time of its first request.
        accepted_at: the time of the 202; infinite before it.
        job_id: the id in the 202.
        refused: answers other than 202.
        unanswered: requests without an answer.
    """

    sent: float
    accepted_at: float = inf
    job_id: str = ""
    refused: int = 0
    unanswered: int = 0


class OpenLoad(OpenLoop):
    """Submits `sleep` jobs at a fixed rate within a `with` block, whatever the answers.

    A submission without a 202 is repeated with its Idempotency-Key. The end of the block waits for the last
    202, for END_SECONDS of `open_loop` at most.

    Args:
        port: the API's.
        rate: new submissions a second; repeats come besides.
        seconds: bounds of the jobs' durations.
        rng: chooses durations and keys.

    Attributes:
        submissions: all of them, in the order of their first requests.
    """

    def __init__(self, port: int, *, rate: float, seconds: tuple[float, float], rng: Random) -> None:
        self.submissions: list[Submission] = []
        self._seconds = seconds
        self._rng = rng
        self._name = f"{rng.getrandbits(64):016x}"
        super().__init__(port, rate, self._submit)

    @property
    def repeated(self) -> int:
        """The number of submissions that were sent more than once."""
        return sum(submission.refused + submission.unanswered > 0 for submission in self.submissions)

    @property
    def accepted(self) -> list[str]:
        """The ids of accepted jobs."""
        return [submission.job_id for submission in self.submissions if submission.job_id]

    def offered(self, since: float, until: float) -> int:
        """The number of submissions that were first sent within a span of time."""
        return sum(since <= submission.sent < until for submission in self.submissions)

    def wait_for_success(self, *, within: float) -> float:
        """Wait for the 202 to a submission first sent from now on; returns its time, or that of giving up."""
        since, known = time.time(), len(self.submissions)
        while time.time() < since + within:
            found = [s.accepted_at for s in self.submissions[known:] if s.accepted_at < inf]
            if found:
                return min(found)
            time.sleep(0.02)
        return time.time()

    async def _submit(self, connections: Connections, number: int, due: float) -> None:
        submission = Submission(time.time())
        self.submissions.append(submission)
        body = {"type": "sleep", "params": {"seconds": round(self._rng.uniform(*self._seconds), 3)}}
        data, key, tries = json.dumps(body).encode(), f"{self._name}-{number}", 0
        while True:
            status, answer = await connections.request("POST", "/jobs", data, key=key)
            if status == ACCEPTED:
                submission.accepted_at, submission.job_id = time.time(), json.loads(answer)["job_id"]
                return
            if status not in (0, 503):
                raise RuntimeError(f"A submission got {status}: {answer[:500]!r}")
            submission.refused += status != 0
            submission.unanswered += status == 0
            await asyncio.sleep(REPEAT_SECONDS[min(tries, len(REPEAT_SECONDS) - 1)])
            tries += 1
