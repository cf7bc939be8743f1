"""A fuzz campaign: raw requests, then runs of Schemathesis until every operation has had enough cases."""

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
from fuzz.campaign_result import CampaignResult
from fuzz.hooks import add_hooks
from fuzz.raw_requests import send_raw_requests

CONFIG = Path(__file__).with_name("schemathesis.toml")
ENDLESS = "/v1/events"  # a stream that ends with its reader alone
PHASES = ("examples", "coverage", "fuzzing", "stateful")
SMALL = 100  # cases of each operation, below which a campaign is small


@dataclass(frozen=True, slots=True)
class CampaignOptions:
    """The size of a campaign.

    Attributes:
        seed: the seed of every random choice.
        cases: the least number of cases of each operation, and of links to follow.
        seconds: the longest duration, complete or not.
    """

    seed: int
    cases: int
    seconds: float


def run_campaign(stack: Stack, options: CampaignOptions) -> CampaignResult:
    """Send each operation its cases while workers perform the submitted jobs.

    Raw requests come first. The first run of Schemathesis has all phases, but for the coverage of all bounds
    in a small campaign: that takes 1,270 cases of each submission. Each later run has its own seed and adds
    cases to the operations that lack them.
    """
    add_hooks()
    end = time.monotonic() + options.seconds
    result = CampaignResult(_operations(_load(stack, options, 0, PHASES)))
    for answer in send_raw_requests(stack.api_url, options.cases, options.seed):
        result.add_raw_answer(*answer)
    first_phases = tuple(phase for phase in PHASES if phase != "coverage" or options.cases >= SMALL)
    run = 0
    while time.monotonic() < end and (
        (short := result.short_of(options.cases)) or result.linked < options.cases
    ):
        phases = first_phases if run == 0 else ("fuzzing",) if short else ("stateful",)
        print(f"Run {run}: {', '.join(phases)} …", file=sys.stderr, flush=True)
        schema = _load(stack, options, run, phases)
        stream = from_schema(schema.include(name=short) if run and short else schema).execute()
        for event in stream:
            result.add_event(event)
            if time.monotonic() > end:
                stream.stop()
        result.jobs.update(httpx.get(f"{stack.api_url}/server/info").json()["jobs"])
        with Redis.from_url(stack.admin_url) as redis:
            redis.flushall()
        run += 1
    return result


def _load(stack: Stack, options: CampaignOptions, run: int, phases: Sequence[str]) -> schemathesis.BaseSchema:
    """The served document, with the configuration of this run."""
    config: dict[str, Any] = tomllib.loads(CONFIG.read_text())
    config["seed"] = options.seed + run
    config["generation"]["max-examples"] = options.cases
    for phase in PHASES:
        config["phases"].setdefault(phase, {})["enabled"] = phase in phases
    url = f"{stack.api_url}/openapi.json"
    schema = schemathesis.openapi.from_url(url, config=schemathesis.Config.from_dict(config))
    return schema.exclude(path=ENDLESS)


def _operations(schema: schemathesis.BaseSchema) -> list[str]:
    return [found.ok().label for found in schema.get_all_operations() if isinstance(found, Ok)]
