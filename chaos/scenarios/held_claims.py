"""Fast, slow and blocking jobs, while jobs are cancelled and workers leave: held claims stay true."""

import asyncio
import signal
import time
from random import Random

import orjson

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_least, at_most, exactly
from chaos.direct_queue import direct_queue
from chaos.handlers.watched_jobs import WATCHED, HandlerEvent, most_at_once, read_events
from chaos.records import Record
from chaos.suite_options import SuiteOptions
from dev.service import Service
from shared.store.cancel_results import CancelResult
from shared.store.submission import NewJob

WORKERS, SLOTS, ROUNDS = 3, 10, 8
JOBS, BATCH = 4000, 200  # of a round
BLOCK_SECONDS, START_WITHIN = 2.0, 3.0
LATE = 0.05  # between the start of a job and that of its handler, on a loop that is not blocked


def run(options: SuiteOptions) -> list[Check]:
    rng = options.rng("held_claims")
    rounds = options.scaled(ROUNDS, least=2)
    found: dict[str, Record] = {}
    acknowledged: dict[str, float] = {}
    with chaos_service(api=False, workers=WORKERS, WORKER_CONCURRENCY=str(SLOTS)) as service:
        for _ in range(rounds):
            ids = asyncio.run(submit(service, rng, acknowledged))
            leaving = service.workers[-1]
            service.start_worker().wait_ready()
            leaving.send(signal.SIGTERM)
            found |= records.settled(service.redis, ids, seconds=60)
            leaving.wait_exit()
        events = read_events(service.stack.folder)
    return [*check_records(found, rounds), *check_starts(found, events, acknowledged, rounds)]


async def submit(service: Service, rng: Random, acknowledged: dict[str, float]) -> list[str]:
    """Submit the jobs of a round, and cancel some; notes the time of each answer `cancelled`."""
    ids: list[str] = []
    async with direct_queue(service.stack.redis_url) as queue:
        for _ in range(JOBS // BATCH):
            accepted = await queue.submit_all([new_job(rng) for _ in range(BATCH)])
            ids += [submitted.record.job_id for submitted in accepted]
            for job_id in rng.sample(ids[-2 * BATCH :], 5):
                answer, _ = await queue.cancel(job_id)
                if answer is CancelResult.CANCELLED:
                    acknowledged[job_id] = time.time()
        blocker = NewJob(WATCHED, orjson.dumps({"block": BLOCK_SECONDS}), "chaos")
        more = await queue.submit_all([blocker, *(new_job(rng) for _ in range(BATCH))])
    return ids + [submitted.record.job_id for submitted in more]


def new_job(rng: Random) -> NewJob:
    slow = rng.random() < 0.05
    within = START_WITHIN if rng.random() < 0.1 else None
    params = orjson.dumps({"sleep": 0.05 if slow else 0})
    return NewJob(WATCHED, params, "chaos", start_within_seconds=within)


def check_records(found: dict[str, Record], rounds: int) -> list[Check]:
    charged = [
        r for r in found.values() if int(r.get("attempt", 0)) > 1 or "worker_lost" in r.get("errors", "")
    ]
    again = sum(int(record.get("claims", 0)) > 1 for record in found.values())
    uncancelled = {i: record for i, record in found.items() if "cancel_requested" not in record}
    name = label(rounds)
    return [
        *records.check_ends(name, uncancelled),
        exactly(f"{name}: jobs charged an attempt", len(charged), 0),
        at_least(f"{name}: claims that were returned", again, 1),
        at_most(f"{name}: jobs claimed twice", again, len(found) // 10, note=f" of {len(found):,}"),
    ]


def check_starts(
    found: dict[str, Record], events: list[HandlerEvent], acknowledged: dict[str, float], rounds: int
) -> list[Check]:
    starts = [event for event in events if event.change == 1]
    begun = {event.job_id: event.at for event in starts}
    completed = {job_id for job_id, record in found.items() if record.get("state") == "completed"}
    dead = [job_id for job_id, at in acknowledged.items() if begun.get(job_id, 0) > at]
    early = [i for i in completed if begun[i] - float(found[i]["started_at"]) / 1000 > LATE]
    after = [i for i in completed if begun[i] > float(found[i].get("start_by", "inf")) / 1000 + LATE]
    blocked = rounds * SLOTS  # jobs that had a slot of a blocked worker
    name = label(rounds)
    return [
        exactly(f"{name}: jobs that ran twice", len(starts) - len(begun), 0),
        exactly(f"{name}: completed jobs that did not run", len(completed - begun.keys()), 0),
        at_most(f"{name}: handlers at once in one worker", most_at_once(events), SLOTS),
        exactly(f"{name}: jobs that started once cancelled", len(dead), 0, note=f" of {len(acknowledged)}"),
        at_most(f"{name}: starts in records before the handlers'", len(early), blocked),
        at_most(f"{name}: jobs that started too late", len(after), blocked),
    ]


def label(rounds: int) -> str:
    return f"fast, slow and blocking jobs × {rounds}"
