"""Everything in Redis is deleted under load, and Redis runs out of memory: the processes live on."""

import time

from chaos import records
from chaos.checks import Check, at_most, exactly
from chaos.load_generator import LoadGenerator
from chaos.service import chaos_service
from chaos.suite_options import SuiteOptions
from dev.service import Service

FLUSHES, RATE = 10, 100
ANSWER_SECONDS = 1.0
ROOM = 300_000  # bytes


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(workers=2, WORKER_LEASE_SECONDS="2") as service:
        return [*flushes(service, options), *out_of_memory(service, options)]


def flushes(service: Service, options: SuiteOptions) -> list[Check]:
    rng = options.rng("flush")
    times = options.scaled(FLUSHES, least=2)
    asked: list[tuple[float, int]] = []
    with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.2), rng=rng) as load:
        for _ in range(times):
            time.sleep(rng.uniform(0.3, 0.7))
            known = list(load.accepted)
            service.redis.flushall()
            asked += [get(service, job_id) for job_id in rng.sample(known, k=min(20, len(known)))]
        last = len(load.accepted)
        time.sleep(1)
        new = load.accepted[last:]
    found = records.settled(service.redis, new, seconds=20)
    slowest = max(answer.seconds for answer in load.answers)
    name = f"FLUSHALL × {times}"
    return [
        exactly(f"{name}: reads answered 404 or 503", sum(s in (404, 503) for _, s in asked), len(asked)),
        at_most(f"{name}: slowest read", max(seconds for seconds, _ in asked), ANSWER_SECONDS, "s"),
        at_most(f"{name}: slowest submission", slowest, ANSWER_SECONDS, "s"),
        exactly(
            f"{name}: submissions answered oddly", sum(a.status not in (202, 503) for a in load.answers), 0
        ),
        *records.check_ends(f"{name}, jobs after it", found),
        exactly(f"{name}: processes that exited", exits(service), 0),
    ]


def get(service: Service, job_id: str) -> tuple[float, int]:
    """The seconds and the status of a read."""
    begin = time.monotonic()
    status = service.http.get(f"{service.stack.api_url}/jobs/{job_id}").status_code
    return time.monotonic() - begin, status


def out_of_memory(service: Service, options: SuiteOptions) -> list[Check]:
    """Fill a small Redis until it refuses, and give it room again while jobs still run."""
    wait = 1.0 + options.rng("memory").random()
    accepted = [service.submit("sleep", seconds=wait) for _ in range(20)]
    used = int(service.redis.info("memory")["used_memory"])
    service.redis.config_set("maxmemory", used + ROOM)
    refusal, tries = 202, 0
    while refusal == 202 and tries < 5000:
        answer = service.post("sleep", seconds=0)
        refusal, tries = answer.status_code, tries + 1
        if refusal == 202:
            accepted.append(answer.json()["job_id"])
    time.sleep(2 * wait)
    service.redis.config_set("maxmemory", 0)
    found = records.settled(service.redis, [*accepted, service.submit("sleep", seconds=0)], seconds=20)
    again = sum(r.get("attempt") != "1" for r in found.values())
    return [
        exactly(f"maxmemory: status after {tries} submissions", refusal, 503),
        *records.check_ends("maxmemory, after relief", found),
        exactly("maxmemory: jobs that needed a second attempt", again, 0),
        exactly("maxmemory: processes that exited", exits(service), 0),
    ]


def exits(service: Service) -> int:
    processes = [service.stack.api, *service.stack.workers]
    return sum(process is None or process.poll() is not None for process in processes)
