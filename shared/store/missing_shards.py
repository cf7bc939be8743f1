"""MissingShards: the shards that do not answer, and the errors that name them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError, ResponseError

from shared.errors import QueueUnavailable

REPEAT = "Send the request again once all shards answer, as GET /server/info says: it does the rest."


class MissingShards:
    """The shards that do not answer, as all connections of a process know them.

    Args:
        count: the number of all shards; 1 without shards, and then none is ever missing.

    Attributes:
        numbers: those that do not answer now, from 0.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.numbers: set[int] = set()
        self._notes: list[set[int]] = []

    def add(self, shard: int) -> None:
        self.numbers.add(shard)
        self.note(shard)

    def note(self, shard: int) -> None:
        """Note a shard that takes no part in a call, and answers others."""
        for noted in self._notes:
            noted.add(shard)

    @contextmanager
    def noted(self) -> Iterator[set[int]]:
        """The shards that took no part in a call within the block: replies may lack their jobs."""
        noted = set(self.numbers)
        self._notes.append(noted)
        try:
            yield noted
        finally:
            self._notes = [other for other in self._notes if other is not noted]


class ShardGone(RedisError):
    """A call in which one shard or several took no part.

    Args:
        shards: their numbers, from 0.
        count: the number of all shards.
        reason: the error of one of them.
        effect: the effect of the call on the others; empty if there is none.
    """

    def __init__(self, shards: Collection[int], count: int, reason: Exception, effect: str = "") -> None:
        super().__init__(f"{subject(shards, count)}: {reason}")
        self.shards = shards
        self.count = count
        self.reason = reason
        self.effect = effect


def unavailable(error: Exception) -> QueueUnavailable:
    """The error of a Redis that is away, or refuses: no memory, read-only, loading, wrong password."""
    if not isinstance(error, ShardGone):
        return QueueUnavailable(f"Redis {_fault(error, 'does')}.")
    if len(error.shards) == error.count:
        return unavailable(error.reason)
    if error.effect:
        return partly_done(error.shards, error.count, error.effect)
    verb = "does" if len(error.shards) == 1 else "do"
    message = f"{subject(error.shards, error.count)} {_fault(error.reason, verb)}."
    return QueueUnavailable(message, details=_details(error.shards, "It takes no part in the call."))


def partly_done(shards: Collection[int], count: int, effect: str, hint: str = REPEAT) -> QueueUnavailable:
    """The error of a call that has done its work on some shards alone.

    Args:
        shards: the numbers of those that do not answer.
        count: the number of all shards.
        effect: the effect of the call on the others.
        hint: the next step.
    """
    verb = "does" if len(shards) == 1 else "do"
    message = f"{subject(shards, count)} {verb} not answer. {effect}"
    details = _details(shards, "It does not answer: its part of the work is left undone.")
    return QueueUnavailable(message, hint=hint, details=details)


def subject(shards: Collection[int], count: int) -> str:
    """Shards by their numbers, as the subject of a sentence."""
    *others, last = map(str, sorted(shards))
    return f"Shards {', '.join(others)} and {last} of {count}" if others else f"Shard {last} of {count}"


def _details(shards: Collection[int], message: str) -> list[dict[str, str]]:
    return [
        {"path": f"shards.{shard}", "message": message, "kind": "shard_missing"} for shard in sorted(shards)
    ]


def _fault(error: Exception, verb: str) -> str:
    if not isinstance(error, ResponseError):
        return f"{verb} not answer ({type(error).__name__})"
    reason = str(error).partition(" script: ")[0].partition(". ")[0]  # without the script's name and line
    return f"refuse{'s' if verb == 'does' else ''} the call: {reason[:200].rstrip('.')}"
