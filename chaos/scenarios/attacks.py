"""Hostile clients attack the API: other callers stay fast, and its memory stays small."""

import contextlib
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import httpx

from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.suite_options import SuiteOptions
from dev.percentiles import percentile
from dev.service import Service, started
from dev.stack import ROOT
from shared.store import redis_keys

ROUNDS, QUIET_SECONDS, ATTACK_SECONDS = 3, 3.0, 6.0
OTHERS_PAUSE = 0.01
MAX_CONNECTIONS = 300
BIG_JOBS, BIG = 40, 900_000  # bytes of the params of each job, and of its result
SLOWER = 2.0  # times
NOT_SLOW_MS = 10.0  # a p99 below this on two shared cores is the machine's, not the attack's
HEALTH_MS = 100.0
MEMORY_MB = 512.0
ATTACKS = {"heads": 12, "uploads": 48, "drips": MAX_CONNECTIONS + 100, "lists": 2}  # clients of each
TITLES = {
    "heads": "12 endless heads and trailers",
    "uploads": "48 slow uploads",
    "drips": f"400 dripping heads, {MAX_CONNECTIONS} connections allowed",
    "lists": f"2 readers of lists of {BIG_JOBS} jobs of 2 MB",
}
ATTACKER, OTHER = "key-of-the-attacker", "key-of-another-caller"
PAGE = {"Origin": "https://evil.example"}
REBOUND = {"Host": "evil.example"}


@dataclass
class Times:
    """Milliseconds of the requests of one phase, and the statuses of those refused."""

    requests: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    uploads: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


class OtherCaller:
    """A caller that submits and reads jobs, uploads files and reads `/healthz`, within a `with` block."""

    def __init__(self, service: Service) -> None:
        self._port = service.stack.api_port
        self._http = httpx.Client(
            base_url=service.stack.api_url, headers={"X-API-Key": OTHER}, timeout=30, trust_env=False
        )
        self._end = Event()
        self._threads = [
            Thread(target=self._run_jobs),
            Thread(target=self._probe),
            Thread(target=self._upload),
        ]
        self.times = Times()

    def __enter__(self) -> "OtherCaller":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _run_jobs(self) -> None:
        job = {"type": "echo", "params": {"message": 1}}
        while not self._end.wait(OTHERS_PAUSE):
            submitted = self._timed("requests", "POST", "/jobs", json=job)
            if submitted is not None:
                self._timed("requests", "GET", f"/jobs/{submitted.json()['job_id']}")

    def _upload(self) -> None:
        while not self._end.wait(0.2):
            self._timed("uploads", "POST", "/files", content=b"small")

    def _timed(self, kind: str, method: str, path: str, **options: object) -> httpx.Response | None:
        """Send a request and keep its duration; returns None if it was refused."""
        begin, times = time.perf_counter(), self.times
        try:
            answer = self._http.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.HTTPError:
            times.refused.append(0)
            return None
        getattr(times, kind).append(1000 * (time.perf_counter() - begin))
        if answer.is_success:
            return answer
        times.refused.append(answer.status_code)
        return None

    def _probe(self) -> None:
        """Read `/healthz`, each time over a new connection, as a probe does."""
        while not self._end.wait(OTHERS_PAUSE):
            begin, times = time.perf_counter(), self.times
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            with contextlib.closing(connection):
                try:
                    connection.request("GET", "/healthz")
                    status = connection.getresponse().status
                except (OSError, http.client.HTTPException):
                    status = 0
            times.health.append(1000 * (time.perf_counter() - begin))
            if status != 200:
                times.refused.append(status)


def run(options: SuiteOptions) -> list[Check]:
    entries = ",".join(f"{name}:read+write:{sha256(name.encode()).hexdigest()}" for name in (ATTACKER, OTHER))
    rounds = options.scaled(ROUNDS)
    with chaos_service(workers=1, API_KEYS=entries, API_MAX_CONNECTIONS=str(MAX_CONNECTIONS)) as service:
        service.http.headers["X-API-Key"] = ATTACKER
        for _ in range(BIG_JOBS):
            service.submit("echo", message="x" * BIG)
        rows = [row for name in ATTACKS for row in attack(service, name, rounds)]
        rows.append(at_most("attacks: the API's memory, peak", memory(service), MEMORY_MB, "MB"))
        rows.append(exactly("attacks: processes that exited", service.stack.count_exited(), 0))
    return [*rows, *foreign_pages()]


def attack(service: Service, name: str, rounds: int) -> list[Check]:
    """Alternate quiet and attacked phases, so that both meet the same machine."""
    quiet, attacked = Times(), Times()
    with OtherCaller(service) as caller:
        for _ in range(rounds):
            caller.times = quiet
            time.sleep(QUIET_SECONDS)
            with attackers(service, name):
                caller.times = Times()  # the start of the attackers' process is not part of the attack
                time.sleep(1.0)
                caller.times = attacked
                time.sleep(ATTACK_SECONDS)
                caller.times = Times()
            time.sleep(0.5)
    title = TITLES[name]
    before, during = percentile(quiet.requests, 99), percentile(attacked.requests, 99)
    limit = max(SLOWER * before, NOT_SLOW_MS)
    quiet_note = f" (quiet {max(quiet.health):.2f} ms)"  # shows a stall of the machine itself
    return [
        Check(f"{title}: others' p99", *_compared(before, during, limit)),
        at_most(f"{title}: /healthz, slowest", max(attacked.health), HEALTH_MS, "ms", note=quiet_note),
        at_most(f"{title}: others' uploads, slowest", max(attacked.uploads) / 1000, 1.0, "s"),
        exactly(f"{title}: others' requests refused", len(attacked.refused), 0, note=_codes(attacked)),
        figure(f"{title}: others' requests", f"{len(attacked.requests) + len(attacked.health):,}"),
    ]


def _compared(before: float, during: float, limit: float) -> tuple[str, str, bool]:
    figure = f"{during:.1f} ms ({during / before:.2f} x, quiet {before:.1f} ms)"
    return figure, f"≤ {SLOWER:.2f} x, or {NOT_SLOW_MS:.0f} ms", during <= limit


def _codes(times: Times) -> str:
    return f" ({', '.join(map(str, sorted(set(times.refused))))})" if times.refused else ""


@contextlib.contextmanager
def attackers(service: Service, name: str) -> Iterator[None]:
    command = [sys.executable, "-m", "chaos.attackers", name, str(service.stack.api_port), ATTACKER]
    with subprocess.Popen([*command, str(ATTACKS[name])], cwd=ROOT) as process:  # noqa: S603
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError(f"The process of the attackers {name!r} has exited; see above why.")
        finally:
            process.kill()


def memory(service: Service) -> float:
    """The peak of the API's resident memory, in MB."""
    status = Path(f"/proc/{started(service.stack.api).pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else float("inf")


def foreign_pages() -> list[Check]:
    """Send the requests that any web page can send to an API without keys on its visitor's machine."""
    with chaos_service() as service:
        job_id = service.submit("sleep", seconds=0)
        http, url = service.http, service.stack.api_url
        answers = [
            http.post(f"{url}{path}", headers=headers, content=b"x")
            for path in ("/files", f"/jobs/{job_id}/retry", f"/jobs/{job_id}/webhook/redeliver")
            for headers in (PAGE, REBOUND)
        ]
        answers += [http.get(f"{url}/jobs/{job_id}", headers=REBOUND)]
        jobs = int(service.redis.zcard(redis_keys.INDEX))
    accepted = sum(answer.status_code not in (403, 421) for answer in answers)
    return [
        exactly("foreign web pages: requests accepted", accepted, 0, note=f" of {len(answers)}"),
        exactly("foreign web pages: jobs made", jobs - 1, 0),
    ]
