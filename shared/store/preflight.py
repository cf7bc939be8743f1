"""Preflight: the check, before a process starts, that the Redis behind a URL can serve it."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from shared.store import redis_keys
from shared.store.client import REDIS_GONE, connect, sentinels_of
from shared.store.redis_url import read_redis_url
from shared.store.scripts import PROBE
from shared.store.sentinels import UnknownService

OLDEST = {"Redis": 7, "Valkey": 8}  # major versions
RIGHTS = "give it the rights of the user job-server in redis-users.acl"


def obstacle(url: str) -> str | None:
    """The reason why the Redis behind `url` can't serve this project; None if it can, or is away for now.

    Blocks for a few seconds at most.
    """
    try:
        server = _server_of(url)
    except UnknownService as error:
        return f"{error} Correct the name behind the hosts"
    except AuthenticationError as error:
        return f"the Sentinels refuse its user or password ({error}); correct sentinel_password"
    except REDIS_GONE:
        return None
    with Redis.from_url(server, socket_timeout=1.0, socket_connect_timeout=1.0) as redis:
        try:
            if redis.info("cluster").get("cluster_enabled"):
                return "this is a Redis Cluster; name a single primary, or one behind Sentinel"
            if old := too_old(redis.info("server")):
                return f"this is {old}; Redis 7.0, Valkey 8.0 and later ones are supported: upgrade it"
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


def too_old(server: Mapping[str, Any]) -> str | None:
    """Name and version of a server that is not supported; None for one that is, or does not tell.

    Args:
        server: the section `server` of INFO.
    """
    name = "Valkey" if server.get("server_name") == "valkey" else "Redis"
    version = str(server.get(f"{name.lower()}_version", ""))
    major = version.partition(".")[0]
    return f"{name} {version}" if major.isdigit() and int(major) < OLDEST[name] else None


def _server_of(url: str) -> str:
    """The URL of the server that can be asked now: Sentinels are asked for the primary."""
    address = read_redis_url(url)
    if not address.sentinels:
        return url
    sentinels = sentinels_of(connect(url))
    assert sentinels is not None  # noqa: S101  # the URL names them
    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have an event loop that runs
        host, port = thread.submit(asyncio.run, sentinels.primary()).result()
    return address.server.replace("@primary", f"@{_bracketed(host)}:{port}", 1).replace(
        "//primary", f"//{_bracketed(host)}:{port}", 1
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


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
