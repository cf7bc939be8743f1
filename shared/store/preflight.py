"""Preflight: the check, before a process starts, that the Redis behind a URL can serve it."""

from secrets import token_hex

from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from shared.store import redis_keys
from shared.store.client import REDIS_GONE
from shared.store.scripts import PROBE

RIGHTS = "give it the rights of the user job-server in redis-users.acl"


def obstacle(url: str) -> str | None:
    """The reason why the Redis behind `url` can't serve this project; None if it can, or is away for now.

    Blocks for a few seconds at most.
    """
    with Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0) as redis:
        try:
            if redis.info("cluster").get("cluster_enabled"):
                return "this is a Redis Cluster; name a single primary, or one behind Sentinel"
            missing = _missing_rights(redis)
        except AuthenticationError as error:
            return f"Redis refuses its user or password ({error}); correct them"
        except NoPermissionError as error:
            missing = str(error)
        except ResponseError as error:  # of a script: it has no class of its own
            missing = str(error) if "ACL failure" in str(error) else None
        except REDIS_GONE:
            return None
    return missing and lacking(missing)


def lacking(right: str) -> str:
    """The sentence about a right, in Redis' words, that the user of Redis lacks."""
    return f"its user lacks a right that this server needs ({right.strip()}); {RIGHTS}"


def _missing_rights(redis: Redis) -> str | None:
    """The first missing right; None if all are there. A Redis that can't write now raises REDIS_GONE."""
    name = f"probe:{token_hex(6)}"
    missing: list[bytes] = redis.eval(PROBE.source, 0, name)  # type: ignore[assignment]
    if missing:
        return missing[0].decode()
    redis.blpop([redis_keys.WAKE + name], 0.01)  # type: ignore[arg-type]
    with redis.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(redis_keys.CHANGES + name, redis_keys.CANCEL)
        subscription.get_message(timeout=1.0)
    return None
