"""redis-users.acl in Redis: job-server alone may log in, and a restart loses nothing."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from redis import Redis, exceptions
from redis.exceptions import AuthenticationError, NoPermissionError

from dev.redis import server_binary
from dev.stack import PATIENCE, ROOT, free_port, join, wait_until

PASSWORD = "a.Secret_of~the-tests"
USERS = (ROOT / "redis-users.acl").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
ENTRYPOINT = re.compile(r"entrypoint:\n +- sh\n +- -c\n +- \|\n(.*?)\n +- redis-server\n", re.DOTALL)


def entrypoint(users: Path) -> str:
    """The script that starts Redis in its container, with another path of the users' file."""
    [script] = ENTRYPOINT.findall(COMPOSE)
    return dedent(script).replace("$$", "$").replace("/etc/redis-users.acl", str(users))


class Server:
    """A Redis that keeps an append-only file, started in one of the two ways that are documented."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.users = folder / "users.acl"
        self.users.write_text(USERS)
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None
        (folder / "redis-server").symlink_to(server_binary())

    def start_like_compose(self, password: str = PASSWORD) -> subprocess.Popen[str]:
        return self._spawn(["sh", "-c", entrypoint(self.users), "redis-server"], REDISCLI_AUTH=password)

    def start_by_aclfile(self) -> subprocess.Popen[str]:
        self.users.write_text(USERS.replace("user job-server on ", f"user job-server on >{PASSWORD} "))
        return self._spawn(["redis-server", "--aclfile", str(self.users)])

    def login(self, user: str = "job-server", password: str | None = PASSWORD) -> Redis:
        return Redis(port=self.port, username=user, password=password)

    def answers(self) -> bool:
        with suppress(exceptions.ConnectionError), self.login() as redis:
            return bool(redis.ping())
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            join(self.process)  # type: ignore[arg-type]
            self.process.communicate()

    def _spawn(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, *options, "--appendonly", "yes", "--save", "", "--loglevel", "warning"],
            env={"PATH": f"{self.folder}:/usr/bin:/bin", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.process


Start = Callable[[Server], subprocess.Popen[str]]
STARTS = {"compose": Server.start_like_compose, "aclfile": Server.start_by_aclfile}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_job_server_alone_may_log_in(start: Start, server: Server):
    start(server)
    wait_until(server.answers, "Redis lets job-server in")

    for user, password in (("default", PASSWORD), ("default", "wrong"), ("job-server", "wrong")):
        with server.login(user, password) as redis, pytest.raises(AuthenticationError):
            redis.ping()
    with Redis(port=server.port) as redis, pytest.raises(AuthenticationError):
        redis.ping()
    with server.login() as redis, pytest.raises(NoPermissionError):
        redis.flushall()


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_restart_keeps_what_scripts_wrote(start: Start, server: Server):
    """Redis executes the transactions of its append-only file with the rights of the default user."""
    start(server)
    wait_until(server.answers, "Redis lets job-server in")
    with server.login() as redis:
        redis.eval("redis.call('SET', 'jobs:one', 1) redis.call('SET', 'jobs:two', 2)", 0)
    server.stop()

    start(server)

    wait_until(server.answers, "Redis lets job-server in again")
    with server.login() as redis:
        assert redis.mget("jobs:one", "jobs:two") == [b"1", b"2"]


def test_no_command_line_shows_the_password(server: Server):
    process = server.start_like_compose()
    wait_until(server.answers, "Redis lets job-server in")
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(process.pid)], capture_output=True, text=True)
    assert "redis-server" in shown.stdout
    assert PASSWORD not in shown.stdout


@pytest.mark.parametrize("users", [None, "", "user default off\n", USERS.splitlines()[1]])
def test_redis_does_not_start_without_its_two_users(users: str | None, server: Server):
    server.users.unlink()
    if users is not None:
        server.users.write_text(users)
    output, _ = server.start_like_compose().communicate(timeout=PATIENCE)
    assert server.process is not None
    assert server.process.returncode == 2, output
    assert "redis-users.acl: restore its two users, and let everybody read the file\n" in output


def test_redis_does_not_start_with_a_password_that_a_url_would_change(server: Server):
    output, _ = server.start_like_compose("a b").communicate(timeout=PATIENCE)
    assert server.process is not None
    assert server.process.returncode == 2
    assert output == "REDIS_PASSWORD: use letters, digits and . _ ~ - only\n"


def test_the_containers_log_in_as_job_server():
    assert "REDIS_URL: ${CONTAINERS_REDIS_URL:-redis://job-server:${REDIS_PASSWORD:-" in COMPOSE
    assert 'test: ["CMD", "redis-cli", "-e", "--user", "job-server", "ping"]' in COMPOSE
