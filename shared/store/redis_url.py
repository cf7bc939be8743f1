"""URLs of Redis: one server, the primary that Sentinels name, or a cluster.

redis://[user:password@]host[:6379][/database]
rediss://…                                          with TLS
unix:///path.sock
redis+sentinel://[user:password@]host[:26379],host,host/service[/database]
rediss+sentinel://…                                 with TLS, to the Sentinels too
redis+cluster://[user:password@]host[:6379],host    some nodes of a Redis Cluster
rediss+cluster://…                                  with TLS

No error quotes a URL, because it holds a password.
"""

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlencode, urlsplit

from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

REDIS_OPTIONS = ("db", "username", "password")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_ciphers",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
"""Options of a URL with TLS. No other option is safe: it would change replies, time limits or retries."""
SENTINEL_PORT, NODE_PORT = 26379, 6379
PLAIN_FORM = "must be like redis://user:password@host:6379/0, rediss://… or unix:///path.sock"
SENTINEL_FORM = "redis+sentinel://user:password@host:26379,host,host/service/0"
CLUSTER_FORM = "redis+cluster://user:password@host:6379,host,host"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL of Redis, in its parts.

    Attributes:
        server: the URL of the server, with user, database and the options of TLS; behind Sentinels and in a
            cluster its host and port have no meaning.
        sentinels: the addresses of the Sentinels; empty for one server.
        service: the name under which the Sentinels know the servers.
        sentinel_user, sentinel_password: those that the Sentinels ask for.
        nodes: the addresses of some nodes of a cluster; empty without one.
    """

    server: str
    sentinels: tuple[Address, ...] = ()
    service: str = ""
    sentinel_user: str | None = None
    sentinel_password: str | None = None
    nodes: tuple[Address, ...] = ()

    @property
    def tls(self) -> bool:
        return self.server.startswith("rediss:")


def read_redis_url(url: str) -> RedisUrl:
    """The parts of a URL. Raises ValueError, with a line that says what to correct."""
    scheme = url.partition(":")[0].lower()
    _refuse_unknown_options(url)
    if scheme in ("redis+sentinel", "rediss+sentinel"):
        found = _behind_sentinels(url)
    elif scheme in ("redis+cluster", "rediss+cluster"):
        found = _of_cluster(url)
    else:
        found = RedisUrl(url)
    if not _is_server_url(found.server):
        if "," in url.partition("://")[2].rpartition("@")[2].partition("/")[0]:
            raise ValueError(f"names several hosts; write {SENTINEL_FORM}, or {CLUSTER_FORM}")
        raise ValueError(f"{PLAIN_FORM}, {SENTINEL_FORM} or {CLUSTER_FORM}, the password percent-encoded")
    if not _has_usable_tls(found.server):
        raise ValueError(
            "its ssl_ options do not work: let ssl_ca_certs, ssl_certfile and ssl_keyfile name PEM files "
            "that can be read, correct ssl_ciphers, or add ssl_check_hostname=false to ssl_cert_reqs=none"
        )
    return found


def _refuse_unknown_options(url: str) -> None:
    """Refuse options that change replies, time limits or retries. Raises ValueError."""
    try:
        parts = urlsplit(url)
        names = parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        return  # no URL at all
    tls = TLS_OPTIONS if parts.scheme.startswith("rediss") else ()
    sentinel = SENTINEL_OPTIONS if parts.scheme.endswith("+sentinel") else ()
    if not names.keys() <= {*REDIS_OPTIONS, *sentinel, *tls}:
        raise ValueError(
            f"may have no options but {', '.join(REDIS_OPTIONS)}, with redis+sentinel:// also "
            f"{', '.join(SENTINEL_OPTIONS)}, and, with rediss://, {', '.join(TLS_OPTIONS)}; remove the "
            "others, and percent-encode a ? in the password"
        )


def _behind_sentinels(url: str) -> RedisUrl:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"must be like {SENTINEL_FORM}, the password percent-encoded") from None
    user, at, hosts = parts.netloc.rpartition("@")
    service, slash, database = parts.path.removeprefix("/").partition("/")
    if not service:
        raise ValueError(f"must name the service behind the hosts, as the Sentinels do: {SENTINEL_FORM}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    names = {name: options.pop(name, None) or None for name in SENTINEL_OPTIONS}
    scheme = parts.scheme.removesuffix("+sentinel")
    return RedisUrl(
        SplitResult(scheme, f"{user}{at}primary", slash + database, urlencode(options), "").geturl(),
        tuple(_address("a Sentinel", host, SENTINEL_PORT, SENTINEL_FORM) for host in hosts.split(",")),
        service,
        names["sentinel_username"],
        names["sentinel_password"],
    )


def _of_cluster(url: str) -> RedisUrl:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"must be like {CLUSTER_FORM}, the password percent-encoded") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.path.strip("/") not in ("", "0") or options.pop("db", "0") != "0":
        raise ValueError("names a database, and a cluster has the database 0 alone; leave it out")
    user, at, hosts = parts.netloc.rpartition("@")
    scheme = parts.scheme.removesuffix("+cluster")
    return RedisUrl(
        SplitResult(scheme, f"{user}{at}primary", "", urlencode(options), "").geturl(),
        nodes=tuple(_address("a node", host, NODE_PORT, CLUSTER_FORM) for host in hosts.split(",")),
    )


def _address(kind: str, host: str, port_unless_given: int, form: str) -> Address:
    """The host and port of a Sentinel or node. Raises ValueError."""
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or host != host.strip():
        raise ValueError(f"has {kind} without a host, or with a wrong port; separate them by commas: {form}")
    return name, port_unless_given if port is None else port


def _is_server_url(url: str) -> bool:
    """Whether Redis' client can read the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        pool = ConnectionPool.from_url(url)
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):  # RedisError: a value of ssl_cert_reqs that there is not
        return False
    if pool.connection_kwargs.get("db", 0) < 0:
        return False
    if parts.scheme == "unix":
        return bool(pool.connection_kwargs.get("path"))
    database = parts.path.strip("/")
    return "," not in parts.netloc.rpartition("@")[2] and (
        database == "" or (database.isascii() and database.isdigit())
    )


def _has_usable_tls(url: str) -> bool:
    """Whether the TLS options work. At a later connection the error would look as if Redis were away."""
    if urlsplit(url).scheme != "rediss":
        return True
    connection = ConnectionPool.from_url(url, ssl_check_hostname=True).make_connection()  # type: ignore[no-untyped-call]
    try:
        connection.ssl_context.get()
    except (OSError, ValueError):
        return False
    return True
