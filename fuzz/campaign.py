"""Runs of Schemathesis, one after the other, until every operation had its share of cases."""

import sys
import time
import tomllib
from collections.abc import Sequence
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
from fuzz.protocol import attack
from fuzz.tally import Tally

CONFIG = Path(__file__).with_name("schemathesis.toml")
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass(frozen=True, slots=True)
class Plan:
    """How a campaign is to be.

    Attributes:
        seed: where every choice comes from.
        cases: how many each operation gets at least, and how many links are followed.
        seconds: after how many of them it ends, whatever is left.
    """

    seed: int
    cases: int
    seconds: float


def fuzz(stack: Stack, plan: Plan) -> Tally:
    """Send every operation its cases, and as many by links; the jobs that they make are performed meanwhile.

    Requests that the document does not describe come first. The first run has all phases; each after it adds
    what was too little, with a seed of its own.
    """
    add_hooks()
    end = time.monotonic() + plan.seconds
    tally = Tally(_operations(_load(stack, plan, 0, PHASES)))
    for answer in attack(stack.api_url, plan.cases, plan.seed):
        tally.note_answer(*answer)
    run = 0
    while time.monotonic() < end and ((lacking := tally.lacking(plan.cases)) or tally.chained < plan.cases):
        phases = PHASES if run == 0 else ("fuzzing",) if lacking else ("stateful",)
        print(f"Run {run}: {', '.join(phases)} …", file=sys.stderr, flush=True)
        schema = _load(stack, plan, run, phases)
        stream = from_schema(schema.include(name=lacking) if run and lacking else schema).execute()
        for event in stream:
            tally.note(event)
            if time.monotonic() > end:
                stream.stop()
        tally.jobs.update(httpx.get(f"{stack.api_url}/server/info").json()["jobs"])
        with Redis.from_url(stack.admin_url) as redis:
            redis.flushall()
        run += 1
    return tally


def _load(stack: Stack, plan: Plan, run: int, phases: Sequence[str]) -> schemathesis.BaseSchema:
    """The served document, and how it is read in this run."""
    config: dict[str, Any] = tomllib.loads(CONFIG.read_text())
    config["seed"] = plan.seed + run
    config["generation"]["max-examples"] = plan.cases
    for phase in PHASES:
        config["phases"].setdefault(phase, {})["enabled"] = phase in phases
    url = f"{stack.api_url}/openapi.json"
    return schemathesis.openapi.from_url(url, config=schemathesis.Config.from_dict(config))


def _operations(schema: schemathesis.BaseSchema) -> list[str]:
    return [found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)]
