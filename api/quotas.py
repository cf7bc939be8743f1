"""Quotas: bounds on the jobs, files and open requests of one caller."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

from starlette.types import Scope

from api.errors import TooManyAtOnce
from shared.store.file_records import FileQuota
from shared.store.submission import JobQuota

AtOnce = Literal["uploads", "streams", "waits"]
V6_NETWORK = 64  # bits of an IPv6 address that name its network; one host may use all addresses in it


@dataclass(frozen=True, slots=True)
class Quotas:
    """The quotas of one caller; None for the server's default.

    Attributes:
        jobs_waiting: jobs that wait for a worker.
        kept_bytes: bytes of the params and results that are kept.
        files: uploaded files.
        file_bytes: bytes of all uploaded files together.
        uploads_at_once: uploads that run at the same time.
        streams_at_once: event streams that are open at the same time.
        waits_at_once: requests that wait for a job at the same time.
    """

    jobs_waiting: int | None = None
    kept_bytes: int | None = None
    files: int | None = None
    file_bytes: int | None = None
    uploads_at_once: int | None = None
    streams_at_once: int | None = None
    waits_at_once: int | None = None


class CallerQuotas:
    """The quotas of all callers, and the count of uploads, streams and waits of each in this process.

    Args:
        defaults: the quotas of a caller without its own; 0 and None for no bound.
    """

    def __init__(self, defaults: Quotas) -> None:
        self._defaults = defaults
        self._held: Counter[tuple[AtOnce, str]] = Counter()

    def of_jobs(self, scope: Scope) -> JobQuota | None:
        """The bounds of the caller's jobs; None without a bound, or without a key."""
        if (key := scope.get("key")) is None:
            return None
        waiting, kept = self._limit(key, "jobs_waiting"), self._limit(key, "kept_bytes")
        return JobQuota(key.name, waiting, kept) if waiting or kept else None

    def of_files(self, scope: Scope) -> FileQuota | None:
        """The bounds of the caller's files; None without a bound, or without a key."""
        if (key := scope.get("key")) is None:
            return None
        files, total = self._limit(key, "files"), self._limit(key, "file_bytes")
        return FileQuota(key.name, files, total) if files or total else None

    def waiting(self, scope: Scope, seconds: float | None) -> AbstractContextManager[None]:
        """Count one wait of the caller within the block, if the request waits.

        Raises:
            TooManyAtOnce: the caller has reached its quota of waits.
        """
        return self.one_of("waits", scope) if seconds else nullcontext()

    @contextmanager
    def one_of(self, kind: AtOnce, scope: Scope) -> Iterator[None]:
        """Count one upload, stream or wait of the caller within the block.

        Raises:
            TooManyAtOnce: the caller has reached its quota of them.
        """
        held, limit = (kind, counted_caller(scope)), self._limit(scope.get("key"), f"{kind}_at_once")
        if limit and self._held[held] >= limit:
            raise TooManyAtOnce(
                f"{kind.capitalize()} of this caller that run here: {self._held[held]} of {limit}."
            )
        self._held[held] += 1
        try:
            yield
        finally:
            self._held[held] -= 1
            if not self._held[held]:
                del self._held[held]

    def _limit(self, key: Any, quota: str) -> int:
        own = None if key is None else getattr(key.quotas, quota)
        limit: int | None = getattr(self._defaults, quota) if own is None else own
        return limit or 0


def counted_caller(scope: Scope) -> str:
    """The caller that a request is counted for: its key's name, else its address; of IPv6, the network."""
    if name := scope.get("caller"):
        return f"key {name}"
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and not address.ipv4_mapped:
        return f"{int(address) >> 128 - V6_NETWORK:x}::/{V6_NETWORK}"
    return host
