"""Backups of a running service, made and restored by the commands of docs/operations.md."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from dev.redis import server_command
from dev.service import Service, serving
from dev.stack import ROOT, Stack, free_port, join, wait_until

PAGE = (ROOT / "docs" / "operations.md").read_text()
SCRIPT = str(ROOT / "deploy" / "backup" / "copy-redis.sh")
QUOTED = shlex.quote(SCRIPT)
SETTINGS = {"WORKER_LEASE_SECONDS": "1", "WORKER_CONCURRENCY": "1", "WORKER_PROCESSES": "1"}
COPIES = 3


def commands(heading: str, folder: Path, archive: Path) -> str:
    """The commands of a section, for the data of a stack in `folder` and the archives in `archive`."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n###")[0]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block, f"docs/operations.md has no commands under {heading!r}"
    text = block[1]
    places = {
        "/var/lib/redis": folder,
        "/var/lib/job-server/artifacts": folder / "artifacts",
        "/srv/backup": archive,
    }
    for written, place in places.items():
        assert written in text
        text = text.replace(written, str(place))
    return text


def run(script: str) -> None:
    done = subprocess.run(
        ["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def redis_on(folder: Path, *options: str) -> Iterator[Redis]:
    """A Redis on the data in a folder, ended with SIGTERM."""
    port = free_port()
    process = subprocess.Popen([*server_command(port, folder), *options], stdout=subprocess.DEVNULL)
    client = Redis(port=port)
    try:
        wait_until(lambda: answers(client), "Redis has loaded its data")
        yield client
    finally:
        client.close()
        process.terminate()
        join(process)


def answers(client: Redis) -> bool:
    """Whether Redis is up, and has loaded its data."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


def test_jobs_go_on_after_a_restore(tmp_path: Path):
    archive, fresh = tmp_path / "archive", tmp_path / "fresh"
    archive.mkdir()
    fresh.mkdir()
    with serving(workers=1, **SETTINGS) as service:
        drawn = service.run("mandelbrot", size=64)
        picture = picture_of(service, drawn["job_id"])
        later = service.job(service.submit_for_later("echo", message="later"))
        running = service.submit_running("sleep", seconds=1)
        waiting = [service.submit("echo", message=number) for number in range(20)]
        for worker in service.workers:
            worker.kill()  # so that the copy has a job that runs
        service.sync_redis()  # while a slow disk syncs, Redis keeps up to 2 s of writes in memory
        run(commands("Backup", service.stack.folder, archive))

    stack = Stack(fresh, **SETTINGS)
    restored = Service(stack)
    try:
        run(commands("Restore", fresh, archive))
        stack.start_redis()
        stack.start_api()
        assert restored.job(drawn["job_id"]) == drawn
        assert picture_of(restored, drawn["job_id"]) == picture
        assert restored.job(later["job_id"]) == later
        restored.start_workers(1)
        assert restored.wait_for(running, "completed")["attempt"] == 2
        records = [restored.wait_for(job_id, "completed") for job_id in waiting]
        assert [record["attempt"] for record in records] == [1] * len(waiting)
        assert restored.run("echo", message="new")["result"] == {"message": "new"}
    finally:
        restored.close()


def picture_of(service: Service, job_id: str) -> bytes:
    (artifact,) = service.job(job_id)["artifacts"]
    answer = service.call("GET", artifact["url"])
    assert answer.status_code == 200
    return answer.content


def test_every_copy_of_a_busy_redis_holds_all_that_was_acknowledged(tmp_path: Path, pool: ThreadPoolExecutor):
    """Redis writes, and replaces its files, while they are copied."""
    source, end = tmp_path / "source", Event()
    source.mkdir()
    with redis_on(source) as redis:

        def write() -> None:
            while not end.is_set():
                with redis.pipeline(transaction=True) as both:
                    both.incr("count").rpush("list", "x" * 1000).execute()

        def rewrite() -> None:
            while not end.is_set():
                with suppress(ResponseError):  # one is under way
                    redis.bgrewriteaof()
                end.wait(0.3)

        tasks = [pool.submit(write), pool.submit(rewrite)]
        try:
            acknowledged = [copy_of(redis, source, tmp_path / f"copy-{number}") for number in range(COPIES)]
        finally:
            end.set()
            for task in tasks:
                task.result()
    for number, least in enumerate(acknowledged):
        with redis_on(tmp_path / f"copy-{number}") as copy:
            count = int(copy.get("count") or 0)
            assert count >= least
            assert copy.llen("list") == count
    assert not list(source.glob(".backup*"))


LN = """#!{python}
import os, sys, time
from pathlib import Path
from redis import Redis
begun = Path({begun!r})
if not begun.exists():
    begun.touch()
    Redis(port={port}).bgrewriteaof()
    while Path(sys.argv[1]).exists():
        time.sleep(0.01)
os.execv({ln!r}, ["ln", *sys.argv[1:]])
"""


def test_files_that_redis_replaces_meanwhile_are_linked_again(tmp_path: Path):
    """The first link waits until Redis has replaced its file."""
    source, target, tools = (tmp_path / name for name in ("source", "target", "tools"))
    for folder in (source, target, tools):
        folder.mkdir()
    with redis_on(source) as redis:
        redis.set("kept", 1)
        port = redis.connection_pool.connection_kwargs["port"]
        places = {"python": sys.executable, "begun": str(tmp_path / "begun"), "ln": shutil.which("ln")}
        (tools / "ln").write_text(LN.format(port=port, **places))
        (tools / "ln").chmod(0o755)
        run(f"PATH={tools}:$PATH sh {QUOTED} {source} > {target}.tar && tar -C {target} -xf {target}.tar")
    with redis_on(target) as redis:
        assert redis.get("kept") == b"1"


def copy_of(redis: Redis, source: Path, target: Path) -> int:
    """Make a copy and unpack it; returns the number of transactions that were acknowledged before."""
    target.mkdir()
    wait_until(lambda: redis.get("count"), "there is something to copy")
    least = int(redis.get("count") or 0)
    run(f"sh {QUOTED} {source} > {target}.tar && tar -C {target} -xf {target}.tar")
    return least


def test_a_folder_without_the_files_of_redis_is_named(tmp_path: Path):
    done = subprocess.run(["sh", SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "name the folder of Redis' data" in done.stderr


def test_a_snapshot_is_restored_only_by_a_start_without_the_append_only_file(tmp_path: Path):
    source, restored, empty = (tmp_path / name for name in ("source", "restored", "empty"))
    for folder in (source, restored, empty):
        folder.mkdir()
    with redis_on(source) as redis:
        redis.set("kept", 1)
        redis.save()
    for folder in (restored, empty):
        shutil.copy(source / "dump.rdb", folder)
    with redis_on(empty) as redis:
        assert redis.get("kept") is None
    with redis_on(restored, "--appendonly", "no") as redis:
        assert redis.get("kept") == b"1"
        redis.config_set("appendonly", "yes")
        wait_until(
            lambda: (
                redis.info("persistence")["aof_rewrite_in_progress"] == 0
                and redis.info("persistence")["aof_rewrite_scheduled"] == 0
            ),
            "the append-only file is written",
        )
    with redis_on(restored) as redis:
        assert redis.get("kept") == b"1"
