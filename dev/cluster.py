"""A Redis Cluster of some primaries on free loopback ports, with a replica of each on demand."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.exceptions import RedisError

from dev.redis import PASSWORD, USER, acl_options, server_command
from dev.stack import Process, free_port, is_free, join, terminate, wait_until

PRIMARIES = 3
BUS = 10_000  # from the port of a node to that of its bus
NODE_TIMEOUT_MS = 2000
FAILOVER_SECONDS = (
    5.5  # a CLUSTER FAILOVER ends after 5 s; no node votes twice for a primary's shards within 4 s
)


class RedisCluster:
    """A running cluster; each of the first nodes began as the primary of an equal part of the slots.

    Args:
        folder: the folder of its data.
        replicas: whether each primary has a replica; those are the nodes after the primaries.
        primaries: the number of primaries.
    """

    def __init__(self, folder: Path, *, replicas: bool = False, primaries: int = PRIMARIES) -> None:
        self._primaries = primaries
        self._folder = folder
        count = primaries * (2 if replicas else 1)
        self.ports = free_ports(count)
        self._processes = [self._start(port) for port in self.ports]
        self._nodes: list[Any] = [Redis(port=port, socket_timeout=5) for port in self.ports]
        try:
            self._form()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The REDIS_URL of processes that use it, with the few rights that they have."""
        return f"redis+cluster://{USER}:{PASSWORD}@" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def admin_url(self) -> str:
        """The same for a user who may do everything."""
        return self.url.replace(f"{USER}:{PASSWORD}@", "")

    def port_of(self, slot: int) -> int:
        """The port of a slot's primary, by the first node that answers."""
        for node in self._nodes:
            with contextlib.suppress(RedisError):
                for first, last, primary, *_ in node.execute_command("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return int(primary[1])
        raise LookupError(f"No node names a primary of slot {slot}; is the cluster up?")

    def primary_of(self, slot: int) -> Any:
        """A client of a slot's primary."""
        return self.client(self.port_of(slot))

    def client(self, port: int) -> Any:
        """A client of the node on a port, as a user who may do everything."""
        return self._nodes[self.ports.index(port)]

    def replica_of(self, port: int) -> int:
        """The port of the replica of the primary on a port."""
        return int(self.client(port).role()[2][0][1])

    def is_in_step(self) -> bool:
        """Whether all nodes name the same primaries, each of which has a replica with all data."""
        try:
            views = [_primaries(node) for node in self._nodes]
            if any(view != views[0] for view in views) or len(views[0]) != self._primaries:
                return False
            return all(_is_copied(self.client(port)) for port in views[0])
        except RedisError:
            return False

    def fail_over(self, port: int) -> None:
        """Let the replica of the primary on a port take over, by CLUSTER FAILOVER; the primary lives."""
        replica = self.client(self.replica_of(port))
        asked = float("-inf")

        def is_primary() -> bool:
            nonlocal asked
            if time.monotonic() > asked + FAILOVER_SECONDS:
                replica.execute_command("CLUSTER", "FAILOVER")
                asked = time.monotonic()
            return bool(_follows_none(replica))

        wait_until(is_primary, "the replica is the primary")

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

    @contextlib.contextmanager
    def frozen(self, *ports: int) -> Iterator[None]:
        """The nodes on these ports do nothing within the block."""
        processes = [self._processes[self.ports.index(port)] for port in ports]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def rejoin(self, port: int) -> None:
        """Start a node that was killed; it follows the primary that has taken over its slots."""
        self._processes[self.ports.index(port)] = self._start(port)
        wait_until(self.is_in_step, "the nodes agree, and each primary has a replica")

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        for process in self._processes:
            terminate(process)
        for process in self._processes:
            join(process)

    def _start(self, port: int) -> Process:
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        command = [*server_command(port, folder), *acl_options(folder)]
        command += ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        command += ["--cluster-require-full-coverage", "no"]
        command += ["--repl-diskless-sync-delay", "0", "--appendonly", "no"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

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


def free_ports(count: int) -> list[int]:
    """Free ports whose companions for the cluster's bus are free too."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if is_free(port + BUS) and not {port, port + BUS} & {*found, *(other + BUS for other in found)}:
            found.append(port)
    return found


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


def _primaries(node: Any) -> dict[int, list[tuple[int, int]]]:
    """The slots of each primary that has some, by its port, as a node knows them."""
    found: dict[int, list[tuple[int, int]]] = {}
    for first, last, primary, *_ in sorted(node.execute_command("CLUSTER", "SLOTS")):
        found.setdefault(int(primary[1]), []).append((first, last))
    return found


def _is_copied(primary: Any) -> bool:
    return bool(primary.wait(1, 100) == 1)


def _follows_none(node: Any) -> bool:
    return bool(node.info("replication")["role"] == "master")


def _follows(replica: Any) -> bool:
    return bool(replica.info("replication").get("master_link_status") == "up")
