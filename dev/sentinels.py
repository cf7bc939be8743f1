"""A primary, its replicas and their Sentinels on free loopback ports, for the tests and the fault suite."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from dev.redis import PASSWORD, USER, acl_options, server_binary, server_command
from dev.stack import Process, free_port, join, terminate, wait_until

SERVICE = "jobs"
QUORUM = 2


class SentinelGroup:
    """Redis servers that replicate one primary, and three Sentinels that watch over them.

    Attributes:
        down_after: seconds of silence after which a Sentinel takes a server for dead.
        ports: the ports of the servers; any of them may be the primary.
        sentinel_ports: the ports of the Sentinels.
    """

    def __init__(self, folder: Path, *, replicas: int = 2, down_after: float = 3.0) -> None:
        self.down_after = down_after
        self.ports = [free_port() for _ in range(1 + replicas)]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self._folder = folder
        self._processes: dict[int, Process] = {}
        self._sentinels: list[Process] = []
        self._clients = {port: _client(port) for port in (*self.ports, *self.sentinel_ports)}

    def open(self) -> None:
        """Start all processes; each server and Sentinel knows the others when this returns."""
        first, replicas = self.ports[0], len(self.ports) - 1
        for port in self.ports:
            self.start(port, primary=None if port == first else first)
        wait_until(lambda: self._linked(first) == replicas, "every replica follows the primary")
        for port in self.sentinel_ports:
            self._sentinels.append(self._start_sentinel(port))
        wait_until(self.complete, "every Sentinel knows the others and the replicas")

    @property
    def url(self) -> str:
        """The URL for the service, with the few rights that it has."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/{SERVICE}/0"

    def client(self, port: int) -> Any:
        """A client of a server or Sentinel, as a user who may do everything."""
        return self._clients[port]

    def primary_port(self) -> int:
        """The port of the primary by the word of most Sentinels; 0 if none answers."""
        answers = []
        for port in self.sentinel_ports:
            with contextlib.suppress(RedisError):
                _, number = self._clients[port].sentinel_get_master_addr_by_name(SERVICE)
                answers.append(int(number))
        return max(set(answers), key=answers.count, default=0)

    def primary(self) -> Any:
        return self._clients[self.primary_port()]

    def start(self, port: int, *, primary: int | None) -> None:
        """Start a server, on the data that it had, as a replica of `primary`."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        command = [*server_command(port, folder), "--repl-diskless-sync-delay", "0", *acl_options(folder)]
        if primary is not None:
            command += ["--replicaof", "127.0.0.1", str(primary)]
        self._processes[port] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(lambda: _answers(self._clients[port]), "the server answers")

    def fail_over(self) -> int:
        """Let the Sentinels fail over from a primary that lives; returns the port of the former one."""
        former = self.primary_port()
        wait_until(lambda: self._ask_for_failover(), "a Sentinel begins the fail-over")
        return former

    def kill_primary(self) -> int:
        """Kill the primary; returns its port."""
        former = self.primary_port()
        self._processes[former].kill()
        self._processes[former].wait()
        return former

    def freeze_primary(self) -> int:
        """Stop the primary with SIGSTOP; returns its port."""
        former = self.primary_port()
        self._processes[former].send_signal(signal.SIGSTOP)
        return former

    def rejoin(self, former: int) -> None:
        """Let a server that was the primary follow the present one, and wait until it does."""
        wait_until(lambda: self.primary_port() != former, "another server is the primary")
        process = self._processes[former]
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            self._clients[former].replicaof("127.0.0.1", self.primary_port())  # Sentinels take 10 s for that
        else:
            self.start(former, primary=self.primary_port())
        replicas = len(self.ports) - 1
        wait_until(lambda: self._linked(self.primary_port()) == replicas, "every replica follows the primary")
        wait_until(self.complete, "the Sentinels agree")

    def kill(self, port: int) -> None:
        """Kill a server or a Sentinel."""
        process = self._process(port)
        process.kill()
        process.wait()

    @contextlib.contextmanager
    def frozen(self, *ports: int) -> Iterator[None]:
        """The servers and Sentinels on these ports do nothing within the block."""
        processes = [self._process(port) for port in ports]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        processes = [*self._sentinels, *self._processes.values()]
        for process in processes:
            terminate(process)
        for process in processes:
            join(process)

    def _process(self, port: int) -> Process:
        return self._processes.get(port) or self._sentinels[self.sentinel_ports.index(port)]

    def _start_sentinel(self, port: int) -> Process:
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir()
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"bind 127.0.0.1\nport {port}\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports[0]} {QUORUM}\n"
            f"sentinel down-after-milliseconds {SERVICE} {round(self.down_after * 1000)}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        command = [server_binary(), str(configuration), "--sentinel"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _ask_for_failover(self) -> bool:
        try:
            return bool(self._clients[self.sentinel_ports[0]].sentinel_failover(SERVICE))
        except RedisError:
            time.sleep(0.2)  # INPROG, or no good replica yet
            return False

    def _linked(self, port: int) -> int:
        """The number of replicas that follow this server and have its data."""
        try:
            info = self._clients[port].info("replication")
        except RedisError:
            return 0
        return sum(
            info[f"slave{number}"]["state"] == "online" for number in range(info.get("connected_slaves", 0))
        )

    def complete(self) -> bool:
        """Whether every Sentinel knows the others, the primary and its replicas, all in step."""
        primary = self.primary_port()
        for port in self.sentinel_ports:
            try:
                state = self._clients[port].sentinel_master(SERVICE)
                replicas = self._clients[port].sentinel_slaves(SERVICE)
            except RedisError:
                return False
            good = sum(r["flags"] == "slave" and r["master-link-status"] == "ok" for r in replicas)
            others = int(state["num-other-sentinels"])
            if (state["port"], others, good) != (primary, 2, len(self.ports) - 1):
                return False
        return True


@contextlib.contextmanager
def watched_over(*, replicas: int = 2, down_after: float = 3.0) -> Iterator[SentinelGroup]:
    """Run a primary, its replicas and three Sentinels within the block."""
    with TemporaryDirectory(prefix="job-server-sentinels-") as folder:
        group = SentinelGroup(Path(folder), replicas=replicas, down_after=down_after)
        try:
            group.open()
            yield group
        finally:
            group.close()


def _client(port: int) -> Any:
    return Redis(port=port, socket_timeout=2, socket_connect_timeout=2)


def _answers(server: Any) -> bool:
    with contextlib.suppress(RedisError):
        return bool(server.ping())
    return False
