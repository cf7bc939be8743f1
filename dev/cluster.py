"""A Redis Cluster of some primaries on free loopback ports, with a replica of each on demand."""

import contextlib
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.exceptions import RedisError

from dev.redis import server_command
from dev.stack import Process, free_port, join, terminate, wait_until

PRIMARIES = 3
NODE_TIMEOUT_MS = 2000


class RedisCluster:
    """A running cluster; each of the first nodes began as the primary of an equal part of the slots.

    Args:
        folder: the folder of its data.
        replicas: whether each primary has a replica; those are the nodes after the primaries.
        primaries: the number of primaries.
    """

    def __init__(self, folder: Path, *, replicas: bool = False, primaries: int = PRIMARIES) -> None:
        self._primaries = primaries
        count = primaries * (2 if replicas else 1)
        self.ports = _free_ports(count)
        self._processes = [_start(port, folder / str(port)) for port in self.ports]
        self._nodes: list[Any] = [Redis(port=port, socket_timeout=5) for port in self.ports]
        try:
            self._form()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The REDIS_URL of processes that use it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def port_of(self, slot: int) -> int:
        """The port of a slot's primary, by the first node that answers."""
        for node in self._nodes:
            with contextlib.suppress(RedisError):
                for first, last, primary, *_ in node.execute_command("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return int(primary[1])
        raise LookupError(f"No node names a primary of slot {slot}; is the cluster up?")

    def await_replicas(self) -> None:
        """Wait until the replicas have all data."""
        for primary in self._nodes[: self._primaries]:
            wait_until(partial(_is_copied, primary), "the replica is in sync")

    def flush(self) -> None:
        """Remove all keys."""
        for node in self._nodes[: self._primaries]:
            node.flushall()

    def kill(self, port: int) -> None:
        """Kill the node on a port."""
        process = self._processes[self.ports.index(port)]
        process.kill()
        process.wait()

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        for process in self._processes:
            terminate(process)
        for process in self._processes:
            join(process)

    def _form(self) -> None:
        wait_until(lambda: all(map(_answers, self._nodes)), "all nodes answer")
        for number, node in enumerate(self._nodes):
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < self._primaries:
                bounds = [SLOTS * n // self._primaries for n in (number, number + 1)]
                node.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[0], bounds[1] - 1)
            if number:
                node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        wait_until(lambda: all(_knows(node, len(self._nodes)) for node in self._nodes), "all nodes have met")
        for primary, replica in zip(self._nodes, self._nodes[self._primaries :], strict=False):
            replica.execute_command("CLUSTER", "REPLICATE", primary.execute_command("CLUSTER", "MYID"))
        for replica in self._nodes[self._primaries :]:
            wait_until(partial(_follows, replica), "each replica follows its primary")


@contextlib.contextmanager
def clustered(*, replicas: bool = False, primaries: int = PRIMARIES) -> Iterator[RedisCluster]:
    """Run a cluster within the block."""
    with TemporaryDirectory(prefix="job-server-cluster-") as folder:
        cluster = RedisCluster(Path(folder), replicas=replicas, primaries=primaries)
        try:
            yield cluster
        finally:
            cluster.close()


def _free_ports(count: int) -> list[int]:
    """Free ports whose companions for the cluster's bus, 10,000 higher, exist."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if port < 55_000 and port not in found:
            found.append(port)
    return found


def _start(port: int, folder: Path) -> Process:
    folder.mkdir()
    command = server_command(port, folder)
    command += ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
    command += ["--repl-diskless-sync-delay", "0", "--appendonly", "no"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _answers(node: Any) -> bool:
    with contextlib.suppress(RedisError):
        return bool(node.ping())
    return False


def _knows(node: Any, count: int) -> bool:
    found = node.execute_command("CLUSTER", "INFO")
    info = (
        found
        if isinstance(found, dict)
        else dict(line.split(":", 1) for line in found.decode().split("\r\n") if ":" in line)
    )
    return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == count


def _is_copied(primary: Any) -> bool:
    return bool(primary.wait(1, 100) == 1)


def _follows(replica: Any) -> bool:
    return bool(replica.info("replication").get("master_link_status") == "up")
