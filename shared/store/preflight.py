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
from shared.store.cluster import topology_of
from shared.store.redis_url import read_redis_url
from shared.store.scripts import PROBE
from shared.store.sentinels import UnknownService
from shared.store.slots import slot_of, tag_of
from shared.store.tags import tagged_command

OLDEST = {"Redis": 7, "Valkey": 8}  # major versions
A_CLUSTER = "this is a Redis Cluster; write redis+cluster:// and its nodes, or name a single primary"
NO_CLUSTER = "this is no Redis Cluster; write redis:// and its one address"
RIGHTS = "give it the rights of the user job-server in redis-users.acl"


def obstacle(url: str, *, ack_replicas: int = 0) -> str | None:
    """The reason why the Redis behind `url` can't serve this project; None if it can, or is away for now.

    Blocks for a few seconds at most.

    Args:
        url: in one of the forms of `redis_url`.
        ack_replicas: replicas that submissions wait for, which needs a right of its own.
    """
    try:
        server = _server_of(url)
    except UnknownService as error:
        return f"{error} Correct the name behind the hosts"
    except AuthenticationError as error:
        return f"the Sentinels refuse its user or password ({error}); correct sentinel_password"
    except REDIS_GONE:
        return None
    in_cluster = bool(read_redis_url(url).nodes)
    with Redis.from_url(server, socket_timeout=1.0, socket_connect_timeout=1.0) as redis:
        try:
            clustered = bool(redis.info("cluster").get("cluster_enabled"))
            if clustered != in_cluster:
                return NO_CLUSTER if in_cluster else A_CLUSTER
            if old := too_old(redis.info("server")):
                return f"this is {old}; Redis 7.0, Valkey 8.0 and later ones are supported: upgrade it"
            missing = _missing_rights(redis, tag_of(0) if in_cluster else "")
            if ack_replicas and not missing:
                redis.wait(0, 1)
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
    if address.sentinels:
        sentinels = sentinels_of(connect(url))
        assert sentinels is not None  # noqa: S101  # the URL names them
        asking = sentinels.primary()
    elif address.nodes:
        asking = topology_of(connect(url)).primary_of(slot_of(tag_of(0)))
    else:
        return url
    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have an event loop that runs
        host, port = thread.submit(asyncio.run, asking).result()
    return address.server.replace("@primary", f"@{_bracketed(host)}:{port}", 1).replace(
        "//primary", f"//{_bracketed(host)}:{port}", 1
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def lacking(right: str) -> str:
    """The sentence about a right, in Redis' words, that the user of Redis lacks."""
    return f"its user lacks a right that this server needs ({right.strip()}); {RIGHTS}"


def _missing_rights(redis: Redis, tag: str) -> str | None:
    """The first missing right; None if all are there. A Redis that can't write now raises REDIS_GONE."""
    name = f"probe:{token_hex(6)}"
    probe = tagged_command(tag, "EVAL", (PROBE.source, 0, name)) if tag else ("EVAL", PROBE.source, 0, name)
    missing: list[bytes] = redis.execute_command(*probe)  # type: ignore[no-untyped-call]
    if missing:
        return missing[0].decode()
    redis.blpop([tag + redis_keys.WAKE + name], 0.01)  # type: ignore[arg-type]
    channels = [tag + redis_keys.CHANGES + name, tag + redis_keys.CANCEL]
    with redis.pubsub() as subscription:  # type: ignore[no-untyped-call]
        if tag:
            subscription.ssubscribe(*channels)
        else:
            subscription.subscribe(*channels)
        subscription.get_message(timeout=1.0)
    return None
