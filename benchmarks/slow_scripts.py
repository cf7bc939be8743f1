"""Calls of this project's scripts that held Redis for more than 5 ms, from the SLOWLOG of each Redis.

The SLOWLOG counts elapsed time: on a busy machine it has calls that waited for a processor as well.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from redis import Redis

from shared.store import scripts
from shared.store.scripts import Script
from shared.store.tags import tagged_shas

LIMIT = 5000  # microseconds
COMMANDS = ("eval", "evalsha", "fcall")
MOST = 100_000  # entries that a Redis keeps
NAMES = {script.sha: name.lower() for name, script in vars(scripts).items() if isinstance(script, Script)}
NAMES |= {tagged_sha: NAMES[sha] for sha, tagged_sha in tagged_shas().items()}


class SlowCall(NamedTuple):
    script: str
    milliseconds: float


class ScriptCalls:
    """The calls of the section that runs: the number of all, and the slow ones."""

    def __init__(self) -> None:
        self.total = 0
        self.slow: list[SlowCall] = []

    def clear(self) -> None:
        self.total, self.slow = 0, []


_calls = ScriptCalls()


@contextmanager
def slow_scripts_recorded(redis_url: str) -> Iterator[None]:
    """Record the slow calls of a Redis within the block."""
    with Redis.from_url(redis_url) as redis:
        watch_scripts(redis)
        yield
        record_slow_scripts(redis)


def watch_scripts(redis: Redis) -> None:
    """Let a Redis keep each call that takes longer than the limit."""
    redis.config_set("slowlog-max-len", MOST)
    redis.config_set("slowlog-log-slower-than", LIMIT)


def record_slow_scripts(redis: Redis) -> None:
    """Add the slow calls of a Redis to those of the section."""
    entries = cast(list[dict[str, Any]], redis.slowlog_get(MOST))
    _calls.slow.extend(call for entry in entries if (call := read_entry(entry)))
    counts = cast(dict[str, dict[str, int]], redis.info("commandstats"))
    _calls.total += sum(counts.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in COMMANDS)


def read_entry(entry: Mapping[str, Any]) -> SlowCall | None:
    """The script and the duration of an entry; None for a command outside of scripts."""
    command, _, rest = entry["command"].decode(errors="replace").partition(" ")
    if command.lower() not in COMMANDS:
        return None
    first = rest.partition(" ")[0]
    name = "a script's first call" if command.lower() == "eval" else NAMES.get(first, first)
    return SlowCall(name, entry["duration"] / 1000)


def report_slow_scripts() -> str:
    """A sentence for the report: the slow calls since the last report."""
    total, slow = _calls.total, _calls.slow
    _calls.clear()
    return describe_calls(total, slow)


def describe_calls(total: int, slow: list[SlowCall]) -> str:
    if not total:
        return "Scripts: no call in this section."
    text = f"Scripts: {len(slow):,} of {total:,} calls held Redis for more than {LIMIT / 1000:g} ms"
    if not slow:
        return f"{text}."
    longest = max(slow, key=lambda call: call.milliseconds)
    return f"{text}; the longest, {longest.script}, took {longest.milliseconds:.1f} ms."
