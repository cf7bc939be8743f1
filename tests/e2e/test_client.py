"""The client and its command line with the real service."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from client import AsyncClient, Client, JobFailed, JobServerError, NewJob, NotDoneInTime, ServerUnreachable
from client.retries import Retries
from dev.service import Service
from dev.stack import ROOT, free_port, wait_until

DOCUMENT = (ROOT / "docs" / "client.md").read_text()
SLEEP_FOREVER = {"seconds": 3600}


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.stack.api_url) as client:
        yield client


@pytest.fixture
def label() -> dict[str, str]:
    """A label for the jobs of this test alone."""
    return {"test": uuid4().hex}


class LosesFirstAnswer(httpx.HTTPTransport):
    """Transport that loses the response to its first request."""

    lost = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self.lost:
            return answer
        self.lost = True
        answer.read()
        answer.close()
        raise httpx.ReadError("the connection broke", request=request)


def command(service: Service, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `python -m client` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env=environment(service),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def environment(service: Service) -> dict[str, str]:
    return {**os.environ, "JOB_SERVER_URL": service.stack.api_url, "PYTHONIOENCODING": "utf-8"}


def code_block(language: str, words: str = "") -> str:
    """The first block of docs/client.md in this language with these words."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(next(block for block in blocks if words in block))


def run_example(service: Service, code: str) -> subprocess.CompletedProcess[str]:
    """Run an example of docs/client.md in a process of its own, against the service."""
    code = code.replace("http://127.0.0.1:8000", service.stack.api_url)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


# -- in Python


def test_a_job_from_its_submission_to_its_result(client: Client) -> None:
    job = client.submit("word_count", {"text": "to be or not to be"})

    assert client.wait(job, 20).state == "completed"
    assert client.result(job)["words"] == 6
    assert client.get(job).raw["params"] == {"text": "to be or not to be", "top": 10}


async def test_the_same_with_await(service: Service) -> None:
    async with AsyncClient(service.stack.api_url) as client:
        job = await client.submit("sleep", {"seconds": 1})
        changes = [change async for change in client.stream(job)]

        assert await client.result(job) == {"slept": 1}
    assert [change.version for change in changes] == sorted({change.version for change in changes})
    assert (changes[-1].state, changes[-1].done) == ("completed", True)


def test_a_stream_shows_each_change(service: Service, client: Client) -> None:
    with service.paused():
        stream = client.stream(client.submit("sleep", {"seconds": 1}))
        changes = [next(stream)]
    changes += stream

    fractions = [change.progress.fraction for change in changes if change.progress]
    assert fractions == sorted(fractions)
    assert len(fractions) > 3
    assert changes[-1].state == "completed"


def test_the_stream_of_a_finished_job_is_its_end(client: Client) -> None:
    job = client.submit("echo", {"message": 1}, wait=20)

    assert list(client.stream(job)) == [client.get(job)]


def test_a_stream_outlives_a_restart_of_the_api(service: Service, client: Client) -> None:
    job = client.submit("sleep", SLEEP_FOREVER)
    changes = client.stream(job)
    assert next(change.state for change in changes if change.state == "running")

    assert service.stack.api
    service.stack.api.kill()
    service.stack.api.wait()
    service.stack.start_api()
    client.cancel(job)

    assert [change.state for change in changes][-1] == "cancelled"


def test_submitting_may_wait_for_the_result(client: Client) -> None:
    assert client.submit("echo", {"message": "hi"}, wait=20).result == {"message": "hi"}


def test_a_job_that_is_not_done_in_time_goes_on(client: Client) -> None:
    job = client.submit("sleep", SLEEP_FOREVER)

    with pytest.raises(NotDoneInTime):
        client.wait(job, 0.3)

    assert not client.get(job).done
    client.cancel(job)
    with pytest.raises(JobFailed, match="is cancelled"):
        client.result(job, 20)


def test_a_failure_has_the_code_of_the_job(client: Client) -> None:
    job = client.submit("flaky", {"final": True})

    with pytest.raises(JobFailed, match="This job was asked to fail for good") as caught:
        client.result(job, 20)
    assert caught.value.code == "flaky_final"


def test_a_finished_job_is_retried_as_a_new_job(client: Client) -> None:
    job = client.submit("echo", {"message": 1}, wait=20)

    again = client.retry(job)

    assert again.retry_of == job.job_id
    assert client.result(again, 20) == {"message": 1}


def test_a_submission_whose_response_is_lost_makes_one_job(service: Service, label: dict[str, str]) -> None:
    with Client(service.stack.api_url, transport=LosesFirstAnswer()) as client:
        job = client.submit("echo", {"message": 1}, labels=label)

        assert [found.job_id for found in client.iter_jobs(label=label)] == [job.job_id]


def test_a_batch_is_listed_page_by_page(client: Client, label: dict[str, str]) -> None:
    jobs = client.submit_batch([NewJob("echo", {"message": n}, labels=label) for n in range(250)])

    listed = [job.job_id for job in client.iter_jobs(label=label)]

    assert listed == sorted((job.job_id for job in jobs), reverse=True)
    assert [job.job_id for job in client.iter_jobs(label=label, limit=3)] == listed[:3]
    for job in jobs:
        assert client.wait(job, 20).state == "completed"
    assert len(list(client.iter_jobs(label=label, state="completed", type="echo"))) == 250
    assert list(client.iter_jobs(label=label, state="failed")) == []


def test_a_refusal_names_the_fault(client: Client) -> None:
    with pytest.raises(JobServerError, match=r"params\.seconds: .*less than or equal to 3600") as caught:
        client.submit("sleep", {"seconds": 9999})
    assert (caught.value.status, caught.value.code) == (422, "invalid_request")
    assert caught.value.request_id


def test_a_missing_server_is_unreachable() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", retries=Retries(most=1))
    with client, pytest.raises(ServerUnreachable, match="Check the address"):
        client.get("7")


# -- on the command line


def test_watching_prints_the_progress_and_then_the_result(
    service: Service, client: Client, label: dict[str, str]
) -> None:
    [(name, value)] = label.items()
    arguments = ("submit", "sleep", "--param", "seconds=1", "--label", f"{name}={value}", "--watch")
    with service.paused():
        watching = subprocess.Popen(
            [sys.executable, "-m", "client", *arguments],
            cwd=ROOT,
            env=environment(service),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(
            lambda: any(service.watched(job.job_id) for job in client.iter_jobs(label=label)),
            "the command watches its job",
        )
    printed, said = watching.communicate(timeout=60)

    assert (watching.returncode, json.loads(printed)) == (0, {"slept": 1})
    *changes, last = said.splitlines()
    assert any("%  slept 0." in change for change in changes)
    assert last == "completed   100%"


def test_text_may_be_piped(service: Service) -> None:
    arguments = ("submit", "word_count", "--param", "text=@-", "--wait", "20")
    done = command(service, *arguments, stdin="to be\nor not\n")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["lines"] == 2


def test_a_failed_job_is_exit_code_1(service: Service) -> None:
    done = command(service, "submit", "flaky", "--param", "final=true", "--watch")

    assert (done.returncode, done.stdout) == (1, "")
    assert "This job was asked to fail for good." in done.stderr.splitlines()[-1]


def test_a_submission_that_is_repeated_is_one_job(service: Service) -> None:
    key = uuid4().hex
    runs = [
        command(service, "submit", "echo", "--param", "message=1", "--idempotency-key", key) for _ in "ab"
    ]

    assert [run.returncode for run in runs] == [0, 0]
    assert runs[0].stdout == runs[1].stdout


def test_an_unknown_type_is_exit_code_3(service: Service) -> None:
    done = command(service, "submit", "ehco")

    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"There is no job type 'ehco'\. .*word_count.*\n", done.stderr)


def test_records_are_listed_for_programs(service: Service, client: Client, label: dict[str, str]) -> None:
    [(name, value)] = label.items()
    job = client.submit("echo", {"message": "ü"}, labels=label, wait=20)

    done = command(service, "list", "--label", f"{name}={value}", "--json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [job.raw]


@pytest.mark.usefixtures("sigint_at_default")
def test_ctrl_c_leaves_the_job_running(service: Service, client: Client, tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    arguments = ("-m", "client", "submit", "sleep", "--param", "seconds=3600", "--watch")
    with said.open("w") as stderr:
        watching = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment(service), stderr=stderr
        )
    try:
        wait_until(lambda: "running" in said.read_text(), "the job is seen running")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=20) == 130
    finally:
        watching.kill()
        watching.wait()

    found = re.fullmatch(r"The job (\S+) goes on; .*", said.read_text().splitlines()[-1])
    assert found
    assert client.get(found[1]).state == "running"
    client.cancel(found[1])


# -- examples of docs/client.md


def test_the_first_example_prints_the_documented_output(service: Service) -> None:
    done = run_example(service, code_block("python"))

    assert (done.stdout, done.stderr) == (code_block("text"), "")


def test_the_example_that_follows_a_job_shows_its_progress(service: Service) -> None:
    done = run_example(service, code_block("python", "client.stream(job)"))

    assert done.stderr == ""
    *changes, types = done.stdout.splitlines()
    assert any("Progress(fraction=0." in change for change in changes)
    assert " completed " in changes[-1]
    assert types == "['sleep']"


def test_the_first_command_prints_what_is_shown(service: Service) -> None:
    first, _bar, *printed = code_block("console").splitlines()
    _prompt, _python, _m, _client, *arguments = shlex.split(first)

    done = command(service, *arguments)

    assert done.stdout.splitlines() == printed


def test_the_other_commands_work_one_after_the_other(service: Service) -> None:
    job_id = ""
    for line in code_block("sh").splitlines():
        _python, _m, _client, *arguments = shlex.split(line.replace("ID", job_id))
        done = command(service, *arguments)
        assert done.returncode == 0, done.stderr
        job_id = job_id or done.stdout.strip()
        assert job_id in done.stdout or json.loads(done.stdout) == {"slept": 1}
    assert job_id
