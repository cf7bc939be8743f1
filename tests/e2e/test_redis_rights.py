"""Missing rights of the user of Redis: named at start and by /readyz, and nothing is half done."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from dev.redis import PASSWORD, USER
from dev.service import Service, serving
from dev.stack import Stack, free_port, wait_until
from shared.store.preflight import obstacle
from tests.e2e.commands import finish, run_python

COMMANDS = {
    "API": ("uvicorn", "api.main:app", "--port", "0"),
    "worker": ("worker",),
}
LACKS = {
    "channels": (["resetchannels"], "No permissions to access a channel"),
    "publish": (["-publish"], "'publish' command"),
    "subscribe": (["-subscribe"], "'subscribe' command"),
    "blpop": (["-blpop"], "'blpop' command"),
    "scripts": (["-eval", "-evalsha"], "'eval' command"),
    "arq's keys": (["resetkeys", "~jobs:*"], "SET arq:job:"),
    "writes": (["resetkeys", "%R~jobs:*", "%R~arq:*"], "SET jobs:record:"),
    "a command of one script": (["-zremrangebyrank"], "'zremrangebyrank' command"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Redis alone."""
    stack = Stack(tmp_path_factory.mktemp("rights"))
    try:
        stack.start_redis()
        yield stack
    finally:
        stack.close()


def url_of(user: str, stack: Stack) -> str:
    return f"redis://{user}:{PASSWORD}@127.0.0.1:{stack.redis_port}/0"


@pytest.fixture
def admin(stack: Stack) -> Iterator[Any]:
    with Redis.from_url(stack.admin_url) as admin:
        yield admin
        assert admin.keys() == []


def own_rules(admin: Any) -> list[str]:
    """Rules of the user in redis-users.acl."""
    [own] = [line for line in admin.acl_list() if line.startswith(f"user {USER} ")]
    return list(own.split()[2:])


@pytest.mark.parametrize("lack", LACKS)
def test_a_right_that_is_missing_is_an_obstacle(lack: str, stack: Stack, admin: Any) -> None:
    rules, words = LACKS[lack]
    admin.execute_command("ACL", "SETUSER", lack.replace(" ", "-"), *own_rules(admin), *rules)

    reason = obstacle(url_of(lack.replace(" ", "-"), stack))

    assert reason is not None
    assert reason.startswith("its user lacks a right that this server needs (")
    assert words in reason
    assert "redis-users.acl" in reason


def test_the_right_to_wait_for_replicas_is_needed_by_those_who_wait(stack: Stack, admin: Any) -> None:
    admin.execute_command("ACL", "SETUSER", "impatient", *own_rules(admin), "-wait")

    assert obstacle(url_of("impatient", stack)) is None
    reason = obstacle(url_of("impatient", stack), ack_replicas=1)

    assert reason is not None
    assert reason.startswith("its user lacks a right that this server needs (")
    assert "'wait' command" in reason


def test_the_rights_that_are_shipped_are_no_obstacle(stack: Stack, admin: Any) -> None:
    assert obstacle(stack.redis_url, ack_replicas=1) is None
    assert obstacle(stack.admin_url) is None


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
)
def test_a_redis_that_takes_no_writes_now_is_waited_for(
    begin: Any, end: Any, stack: Stack, admin: Any
) -> None:
    admin.execute_command(*begin)
    try:
        assert obstacle(stack.redis_url) is None
    finally:
        admin.execute_command(*end)


def test_a_wrong_password_is_an_obstacle_that_does_not_show_it(stack: Stack) -> None:
    reason = obstacle(f"redis://{USER}:hunter2@127.0.0.1:{stack.redis_port}/0")

    assert reason is not None
    assert reason.startswith("Redis refuses its user or password")
    assert "hunter2" not in reason


@pytest.mark.parametrize("process", COMMANDS)
def test_a_process_that_may_not_do_all_it_needs_does_not_start(
    process: str, stack: Stack, admin: Any
) -> None:
    admin.execute_command("ACL", "SETUSER", "mute", *own_rules(admin), "resetchannels")

    command = run_python("-m", *COMMANDS[process], **{**os.environ, "REDIS_URL": url_of("mute", stack)})
    code, output = finish(command)

    assert code == 2, output
    [line] = output.splitlines()
    assert line.startswith("Configuration error: REDIS_URL: its user lacks a right that this server needs (")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=1) as service:
        yield service


def readiness(service: Service) -> tuple[int, str]:
    answer = service.call("GET", "/readyz")
    return answer.status_code, str(answer.json()["checks"]["redis"])


def is_ready(service: Service) -> bool:
    return readiness(service) == (200, "pass")


def test_readyz_tells_of_a_right_that_was_taken_away(service: Service) -> None:
    assert is_ready(service)
    rules = own_rules(service.redis)
    for rule in ("-publish", "resetchannels", "-hset", "resetkeys"):
        service.redis.execute_command("ACL", "SETUSER", USER, rule)
        wait_until(lambda: readiness(service)[0] == 503, "it is not ready")
        assert "redis-users.acl" in readiness(service)[1]
        service.redis.execute_command("ACL", "SETUSER", USER, *rules)
        wait_until(lambda: is_ready(service), "it is ready again")


def test_readyz_tells_of_a_redis_that_takes_no_writes(service: Service) -> None:
    for begin, end, reason in (
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0), "maxmemory"),
        (("REPLICAOF", "127.0.0.1", str(free_port())), ("REPLICAOF", "NO", "ONE"), "is a replica"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", 1),
            ("CONFIG", "SET", "min-replicas-to-write", 0),
            "good replicas",
        ),
    ):
        service.redis.execute_command(*begin)
        wait_until(lambda: reason in readiness(service)[1], "it is not ready")  # noqa: B023
        assert readiness(service)[0] == 503
        service.redis.execute_command(*end)
        wait_until(lambda: is_ready(service), "it is ready again")


def test_jobs_are_accepted_and_performed_without_channels_that_went_away(service: Service) -> None:
    """Announcements are lost then, and nothing else."""
    rules = own_rules(service.redis)
    service.redis.execute_command("ACL", "SETUSER", USER, "resetchannels")
    try:
        records: list[Any] = [service.run("echo", message=number) for number in range(12)]
    finally:
        service.redis.execute_command("ACL", "SETUSER", USER, *rules)
    assert [(record["attempt"], record["errors"]) for record in records] == [(1, [])] * 12


def test_the_probe_leaves_nothing(service: Service) -> None:
    for _ in range(3):
        assert is_ready(service)
    assert service.redis.keys("*probe*") == []
