"""Runs of Schemathesis, one after the other, until every operation had its share of cases."""

import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from redis import Redis
from schemathesis.core.result import Ok
from schemathesis.engine import from_schema

from dev.stack import Stack
from fuzz.cases import add_hooks
from fuzz.tally import Tally

CONFIG = Path(__file__).with_name("schemathesis.toml")
ONCE = ("examples", "coverage", "stateful")  # phases that the first run has, and those after it have not


@dataclass(frozen=True, slots=True)
class Plan:
    """How a campaign is to be.

    Attributes:
        seed: where every choice comes from.
        cases: how many each operation gets at least.
        seconds: after how many of them it ends, whatever is left.
    """

    seed: int
    cases: int
    seconds: float


def fuzz(stack: Stack, plan: Plan) -> Tally:
    """Send every operation its cases; the jobs that they make are performed meanwhile."""
    add_hooks()
    end = time.monotonic() + plan.seconds
    tally = Tally(_operations(_load(stack, plan, 0)))
    run = 0
    while (lacking := tally.lacking(plan.cases)) and time.monotonic() < end:
        print(f"Run {run}: {len(lacking)} operations …", file=sys.stderr, flush=True)
        schema = _load(stack, plan, run)
        stream = from_schema(schema.include(name=lacking) if run else schema).execute()
        for event in stream:
            tally.note(event)
            if time.monotonic() > end:
                stream.stop()
        tally.jobs.update(httpx.get(f"{stack.api_url}/server/info").json()["jobs"])
        with Redis.from_url(stack.redis_url) as redis:
            redis.flushall()
        run += 1
    return tally


def _load(stack: Stack, plan: Plan, run: int) -> schemathesis.BaseSchema:
    """The served document, and how it is read in this run."""
    config: dict[str, Any] = tomllib.loads(CONFIG.read_text())
    config["seed"] = plan.seed + run
    config["generation"]["max-examples"] = plan.cases
    if run:
        config["phases"] = {phase: {"enabled": False} for phase in ONCE}
    url = f"{stack.api_url}/openapi.json"
    return schemathesis.openapi.from_url(url, config=schemathesis.Config.from_dict(config))


def _operations(schema: schemathesis.BaseSchema) -> list[str]:
    return [found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)]
