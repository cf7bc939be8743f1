"""Pods of Redis without Kubernetes: the scripts of an overlay, run with real servers on loopback.

Where busybox is installed, its shell and its commands alone run them, as in the image of Redis.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from dev.redis import server_binary
from dev.service import Service
from dev.stack import ROOT, Process, Stack, join, terminate, wait_until

FOLDER = ROOT / "deploy" / "kubernetes"
needs_redis_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="needs redis-cli")


class Pods:
    """Processes of one overlay; each pod is known by its host and port, and keeps its data in a folder.

    Args:
        overlay: its name.
        folder: for secrets and data.
    """

    def __init__(self, overlay: str, folder: Path) -> None:
        self.scripts = FOLDER / "overlays" / overlay
        self.secrets = folder / "secrets"
        self._folder = folder
        self._processes: dict[str, Process] = {}
        subprocess.run(["sh", FOLDER / "redis-secrets.sh", overlay, self.secrets], check=True)
        self._password = self.secret("servers")
        self._environment = {"PATH": make_path(folder / "bin"), "REDISCLI_AUTH": self._password}

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text()

    def options(self) -> list[str]:
        """The options of Redis in the manifest."""
        manifests = yaml.safe_load_all((self.scripts / "redis.yaml").read_text())
        [workload] = [manifest for manifest in manifests if manifest["kind"] == "StatefulSet"]
        [container] = workload["spec"]["template"]["spec"]["containers"]
        return [word for word in container["args"] if word != "start"]

    def data(self, place: str) -> Path:
        folder = self._folder / place.rpartition(":")[2]
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, place: str, *words: str, users: str = "users.acl", **variables: str) -> None:
        """Start the pod at a place by a script, on the data that it had."""
        with (self.data(place) / "log").open("a") as log:
            self._processes[place] = subprocess.Popen(
                self._command(*words),
                env=self._variables(place, users, variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, place: str, *words: str, **variables: str) -> int:
        """The exit code of a script that ends, such as a probe."""
        ended = subprocess.run(
            self._command(*words),
            env=self._variables(place, "users.acl", variables),
            stdout=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        return ended.returncode

    def kill(self, place: str) -> None:
        process = self._processes.pop(place)
        process.kill()
        process.wait()

    def stop(self, *places: str) -> None:
        """End pods as Kubernetes does, by SIGTERM, and wait for it."""
        processes = [self._processes.pop(place) for place in places]
        for process in processes:
            terminate(process)
        for process in processes:
            join(process)

    def close(self) -> None:
        self.stop(*self._processes)

    def ask(self, place: str, *words: str) -> Any:
        """The answer to a command of the user `servers`; None without one."""
        host, _, port = place.rpartition(":")
        options: dict[str, Any] = {"username": "servers", "password": self._password, "socket_timeout": 5}
        with suppress(RedisError), Redis(host, int(port), **options) as client:
            return client.execute_command(*words)
        return None

    def log(self, place: str) -> str:
        return (self.data(place) / "log").read_text()

    def _command(self, script: str, *words: str) -> list[str]:
        return ["sh", str(self.scripts / script), *words]

    def _variables(self, place: str, users: str, more: Mapping[str, str]) -> dict[str, str]:
        own = {"SELF": place, "USERS": str(self.secrets / users), "DATA": str(self.data(place))}
        return {**self._environment, **own, **more}


def make_path(folder: Path) -> str:
    """The PATH of the scripts: Redis and the commands of busybox, or those of this machine without it."""
    programs = {"redis-server": server_binary(), "redis-cli": shutil.which("redis-cli") or "redis-cli"}
    busybox = shutil.which("busybox")
    if busybox:
        listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        programs |= dict.fromkeys(listed.stdout.split(), busybox)
    folder.mkdir()
    for name, program in programs.items():
        (folder / name).symlink_to(program)
    return str(folder) if busybox else f"{folder}:{os.environ['PATH']}"


def start_service(folder: Path, **settings: str) -> Service:
    """An API and a worker on the Redis of pods."""
    service = Service(Stack(folder, **settings))
    try:
        service.stack.start_api()
        service.start_worker()
        wait_until(lambda: service.call("GET", "/workers").json()["items"], "the worker is ready")
    except BaseException:
        service.close()
        raise
    return service


def runs_a_job(service: Service) -> bool:
    """Whether a job is accepted; it must run then. Reads may be refused meanwhile: a fail-over goes on."""
    answer = service.post("echo", message="a")
    if answer.status_code != 202:
        return False
    path = f"/jobs/{answer.json()['job_id']}"
    wait_until(lambda: is_completed(service.call("GET", path)), "the accepted job has run", seconds=60)
    return True


def is_completed(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and answer.json()["state"] == "completed"
