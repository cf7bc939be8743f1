"""Redis is stopped, killed, or its clock jumps, for less than a lease and for more: no attempt is charged."""

import signal
import time

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly
from chaos.suite_options import SuiteOptions
from dev.service import Service, started
from dev.stack import wait_until
from shared.store import redis_keys

WORKERS, SLOTS, LEASE = 2, 8, 3
LEASES = (0.2, 1.0, 3.0)
KINDS = ("stopped for", "killed for", "its clock stepped by")
SETTLE_SECONDS = 1.0  # for the first heartbeats, so that the leases are as old as possible
AGE = """
local by = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    redis.call('ZINCRBY', key, -by, member)
  end
end
for _, field in ipairs({'seen_at', 'rescue_from'}) do
  if redis.call('HEXISTS', ARGV[2], field) == 1 then
    redis.call('HINCRBY', ARGV[2], field, -by)
  end
end
"""


def run(options: SuiteOptions) -> list[Check]:
    kinds = KINDS if options.scale >= 1 else KINDS[:2]
    shares = LEASES if options.scale >= 1 else LEASES[1:2]
    checks: list[Check] = []
    with chaos_service(
        workers=WORKERS, WORKER_CONCURRENCY=str(SLOTS), WORKER_LEASE_SECONDS=str(LEASE)
    ) as service:
        for kind in kinds:
            for share in shares:
                checks += outage(service, kind, share * LEASE, f"Redis, {kind} {share:g} leases")
        checks += death(service)
        dead = sum(not worker.alive for worker in service.workers)
    return [*checks, exactly("outages: workers that exited, without the killed one", dead - 1, 0)]


def outage(service: Service, kind: str, seconds: float, name: str) -> list[Check]:
    """Run a job on every slot; half of the jobs end while Redis is away, half after it."""
    jobs = start_jobs(service, short=SETTLE_SECONDS + seconds / 2, long=SETTLE_SECONDS + seconds + 2)
    time.sleep(SETTLE_SECONDS)
    take_away(service, kind, seconds)
    found = records.settled(service.redis, jobs, seconds=30)
    charged = records.count_charged(found.values())
    return [*records.check_ends(name, found), exactly(f"{name}: jobs charged an attempt", charged, 0)]


def death(service: Service) -> list[Check]:
    """Kill a worker in an outage: its jobs alone are rescued, within a lease of Redis' return."""
    jobs = start_jobs(service, short=15, long=20)
    victim = service.workers[0]
    name = victim.worker_id
    lost = {
        job_id for job_id in jobs if service.redis.hget(redis_keys.RECORD + job_id, "worker") == name.encode()
    }
    redis = started(service.stack.redis)
    redis.send_signal(signal.SIGSTOP)
    victim.kill()
    time.sleep(2 * LEASE)
    redis.send_signal(signal.SIGCONT)
    back = time.monotonic()
    wait_until(lambda: all(is_rescued(service, job_id) for job_id in lost), "the jobs are rescued")
    seconds = time.monotonic() - back
    found = records.settled(service.redis, jobs, seconds=60)
    charged = {job_id for job_id, record in found.items() if "errors" in record}
    title = "a worker dies while Redis is stopped for 2 leases"
    return [
        *records.check_ends(title, found),
        exactly(f"{title}: other jobs charged an attempt", len(charged - lost), 0),
        at_most(f"{title}: from Redis' return to the rescue", seconds, LEASE + 1.0, "s"),
    ]


def is_rescued(service: Service, job_id: str) -> bool:
    return bool(service.redis.hexists(redis_keys.RECORD + job_id, "lost"))


def start_jobs(service: Service, *, short: float, long: float) -> list[str]:
    """Start a job on every slot."""
    seconds = [short, long] * (WORKERS * SLOTS // 2)
    jobs = [service.submit("sleep", seconds=duration) for duration in seconds]
    wait_until(lambda: service.redis.zcard(redis_keys.LEASES + "default") == len(jobs), "every slot is taken")
    return jobs


def take_away(service: Service, kind: str, seconds: float) -> None:
    """Make Redis unavailable for `seconds`, or let its clock jump by as much."""
    redis = started(service.stack.redis)
    if kind == "stopped for":
        redis.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        redis.send_signal(signal.SIGCONT)
    elif kind == "killed for":
        service.kill_redis()
        time.sleep(seconds)
        service.stack.start_redis()
    else:
        queues = (
            redis_keys.LEASES + "default",
            redis_keys.WORKERS,
        )  # whose scores Redis compares with its clock
        service.redis.eval(AGE, len(queues), *queues, round(seconds * 1000), redis_keys.UPKEEP)
