"""A Redis primary and its replica behind one address, with fail-over in both directions."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from dev.forwarder import Forwarder
from dev.redis import server_command
from dev.stack import Process, free_port, join, terminate, wait_until


class RedisPair:
    """A primary and its replica, behind a forwarder.

    Attributes:
        forwarder: the address of the primary, whichever server that is.
    """

    def __init__(self, folder: Path) -> None:
        self.forwarder = Forwarder()
        self._ports = [free_port(), free_port()]
        self._processes = [_start(port, folder / str(port)) for port in self._ports]
        self._servers: list[Any] = [Redis(port=port) for port in self._ports]
        wait_until(lambda: all(map(_answers, self._servers)), "both servers answer")
        self.replica.replicaof("127.0.0.1", self._ports[0])
        self.forwarder.target = self._ports[0]

    @property
    def primary(self) -> Any:
        return self._servers[0]

    @property
    def replica(self) -> Any:
        return self._servers[1]

    def fail_over(self) -> None:
        """Swap the roles without loss. Open connections keep their server; new ones reach the new primary."""
        wait_until(self._in_sync, "the replica is in sync")
        self.primary.execute_command("FAILOVER", "TO", "127.0.0.1", self._ports[1], "TIMEOUT", 5000)
        wait_until(lambda: self.replica.role()[0] == b"master", "the replica is the primary")
        self._servers.reverse()
        self._ports.reverse()
        self.forwarder.target = self._ports[0]

    def isolate_replica(self) -> None:
        """Let the replica follow an address where nothing listens, so that new data no longer reaches it."""
        self.replica.replicaof("127.0.0.1", free_port())

    def close(self) -> None:
        self.forwarder.close()
        for server in self._servers:
            server.close()
        for process in self._processes:
            terminate(process)
        for process in self._processes:
            join(process)

    def _in_sync(self) -> bool:
        link: bool = self.replica.info("replication").get("master_link_status") == "up"
        return link and self.primary.wait(1, 100) == 1


@contextlib.contextmanager
def replicated() -> Iterator[RedisPair]:
    """Run a primary and its replica within the block."""
    with TemporaryDirectory(prefix="job-server-pair-") as folder:
        pair = RedisPair(Path(folder))
        try:
            yield pair
        finally:
            pair.close()


def _start(port: int, folder: Path) -> Process:
    folder.mkdir()
    command = [*server_command(port, folder), "--repl-diskless-sync-delay", "0"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _answers(server: Any) -> bool:
    with contextlib.suppress(RedisError):
        return bool(server.ping())
    return False
