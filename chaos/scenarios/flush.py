"""All data in Redis is deleted under load, and Redis runs out of memory: the processes go on."""

import time

from chaos import records
from chaos.chaos_service import chaos_service, timed_read
from chaos.checks import Check, at_most, exactly
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.service import Service

FLUSHES, RATE = 10, 100
ANSWER_SECONDS = 1.0
ROOM = 300_000  # bytes below maxmemory


def run(options: SuiteOptions) -> list[Check]:
    with chaos_service(workers=2, WORKER_LEASE_SECONDS="2") as service:
        return [*flushes(service, options), *out_of_memory(service, options)]


def flushes(service: Service, options: SuiteOptions) -> list[Check]:
    rng = options.rng("flush")
    times = options.scaled(FLUSHES, least=2)
    reads: list[tuple[float, int]] = []
    with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.2), rng=rng) as load:
        for _ in range(times):
            time.sleep(rng.uniform(0.3, 0.7))
            known = list(load.accepted)
            service.redis.flushall()
            reads += [timed_read(service, job_id) for job_id in rng.sample(known, k=min(20, len(known)))]
        last = len(load.accepted)
        time.sleep(1)
        new = load.accepted[last:]
    found = records.settled(service.redis, new, seconds=20)
    slowest = max(answer.seconds for answer in load.answers)
    name = f"FLUSHALL × {times}"
    return [
        exactly(f"{name}: reads answered 404 or 503", sum(s in (404, 503) for _, s in reads), len(reads)),
        at_most(f"{name}: slowest read", max(seconds for seconds, _ in reads), ANSWER_SECONDS, "s"),
        at_most(f"{name}: slowest submission", slowest, ANSWER_SECONDS, "s"),
        exactly(
            f"{name}: submissions with another status than 202 or 503",
            sum(a.status not in (202, 503) for a in load.answers),
            0,
        ),
        *records.check_ends(f"{name}, jobs after it", found),
        exactly(f"{name}: processes that exited", service.stack.count_exited(), 0),
    ]


def out_of_memory(service: Service, options: SuiteOptions) -> list[Check]:
    """Fill a small Redis until it refuses, and enlarge it while jobs still run."""
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
    return [
        exactly(f"maxmemory: status after {tries} submissions", refusal, 503),
        *records.check_ends("maxmemory, after relief", found),
        exactly("maxmemory: jobs charged an attempt", records.count_charged(found.values()), 0),
        exactly("maxmemory: processes that exited", service.stack.count_exited(), 0),
    ]
